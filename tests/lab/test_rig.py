#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab without microseg: everything must get through, and refusals of the kernel must be told apart.

This is the positive control of all other tests: a zero there means something only because the same probes succeed here.
"""
import sys

from lab import Lab
from tap import Report


def main():
    report = Report("the rig itself")
    with Lab() as lab:
        lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
        lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
        nodes = [lab.container(name, bridge) for name, bridge in (("a", "br-one"), ("b", "br-one"), ("c", "br-two"))]
        nodes += [lab.host, lab.outside]
        for node in nodes:
            node.listen(tcp=[8080], udp=[8080])
        lab.settle()
        waiting = []
        for src in nodes:
            for dst in nodes:
                if src is dst:
                    continue
                for family in (4, 6):
                    for op in ("tcp", "udp", "ping"):
                        number = src.agent.send(op, dst=dst.address_for(src, family), port=8080)
                        waiting.append((src, "%s -> %s %s v%d" % (src.name, dst.name, op, family), number))
        for src, what, number in waiting:
            answer = src.agent.wait(number)
            report.equal(answer["result"], "ok", what, answer)
        a, b = nodes[:2]
        for family in (4, 6):
            report.equal(a.agent.do("tcp", dst=b.addr[family], port=9)["result"], "refused", "closed tcp port, v%d" % family)
            report.equal(a.agent.do("udp", dst=b.addr[family], port=9)["result"], "refused", "closed udp port, v%d" % family)
        b.run("nft", "add table inet t; add chain inet t i { type filter hook input priority 0; }; "
              "add rule inet t i tcp dport 81 drop; add rule inet t i tcp dport 82 reject with icmpx admin-prohibited; "
              "add rule inet t i udp dport 82 reject with icmpx admin-prohibited; "
              "add rule inet t i udp dport 81 drop")
        for family in (4, 6):
            for op in ("tcp", "udp"):
                for port, want in ((81, "timeout"), (82, "prohibited")):
                    report.equal(a.agent.do(op, dst=b.addr[family], port=port)["result"], want,
                                 "%s to a port with a %s, v%d" % (op, want, family))
        arrived = {tuple(entry[:4]) for entry in b.agent.do("sniffed")["seen"]}
        report.check((a.addr[4], b.addr[4], "tcp", 8080) in arrived, "the sniffer sees TCP", arrived)
        report.check((a.addr[6], b.addr[6], "icmpv6", 128) in arrived, "the sniffer sees ICMPv6", arrived)
        report.equal(lab.host.run("nft", "list", "ruleset").stdout, "", "no rules in the host")
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
