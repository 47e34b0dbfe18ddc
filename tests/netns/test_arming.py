#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Arming a host whose containers talk already: what the policy allows goes on, even where the server speaks first.

Nothing tracks these connections before: no rule of anybody asks for it, and frames within a bridge do not pass netfilter.
"""
import os
import socket
import struct
import sys
import time

import scenario  # noqa: F401, for the path of the lab

from lab import Lab, wait_for
from node import Node, events_mark
from tap import Report

SILENT = 2.5  # seconds in which nothing may arrive
POLICY = """
apiVersion: microseg/v1
kind: Environments
identity: {{env: [io.microseg.env], service: [io.microseg.service]}}
unidentified: {{mode: {mode}}}
environments: {{prod: {{mode: {mode}}}, dev: {{mode: {mode}}}}}
---
apiVersion: microseg/v1
kind: Service
service: api
env: prod
allow:
  - {{from: web, ports: [tcp/8080, udp/9000]}}
---
apiVersion: microseg/v1
kind: Service
service: web
env: prod
allow:
  - {{from: host, ports: [tcp/8081]}}
  - {{from: {{net: [192.0.2.0/24, "2001:db8:2::/64"]}}, ports: [tcp/8082]}}
needs:
  - {{to: {{net: [192.0.2.0/24, "2001:db8:2::/64"]}}, ports: [tcp/443]}}
  - {{to: host, ports: [tcp/22]}}
"""
# Client, server, protocol, port, why it is refused.
TALK = (
    ("web", "api", "tcp", 8080, None),
    ("web", "far", "tcp", 8080, None),
    ("web", "outside", "tcp", 443, None),
    ("outside", "web", "tcp", 8082, None),
    ("host", "web", "tcp", 8081, None),
    ("web", "host", "tcp", 22, None),
    ("web", "api", "udp", 9000, None),
    ("web", "far", "udp", 9000, None),
    ("dev", "api", "tcp", 8080, "fence"),
    ("dev", "far", "tcp", 8080, "fence"),
    ("api", "web", "tcp", 8080, "no-grant"),
    ("dev", "api", "udp", 9000, "fence"),
)
# A table that has the kernel track what passes, as any engine's does.
TRACKING = "add table inet other; add chain inet other c {type filter hook forward priority 0;}; add rule inet other c ct state new"


def make_lab():
    lab = Lab()
    lab.bridge("br-one", "10.61.0.0/24", "fd61::/64")
    lab.bridge("br-two", "10.62.0.0/24", "fd62::/64")
    parties = {name: lab.container(name, bridge, env, service) for name, bridge, env, service in (
        ("web", "br-one", "prod", "web"), ("api", "br-one", "prod", "api"), ("far", "br-two", "prod", "api"),
        ("dev", "br-one", "dev", "web"), ("bad", "br-one", "prod", "api"))}
    parties.update(host=lab.host, outside=lab.outside)
    lab.settle()
    return lab, parties


def key_of(client, server, proto, port, family):
    return "%s %s %s/%d IPv%d" % (client, server, proto, port, family)


def all_talk():
    for client, server, proto, port, reason in TALK:
        for family in (4, 6):
            yield client, server, proto, port, reason, family, key_of(client, server, proto, port, family)


def serve(parties):
    served = set()
    for _, server, proto, port, _, family, _ in all_talk():
        key = "%s/%d/%d" % (proto, port, family)
        if (server, key) not in served:
            served.add((server, key))
            parties[server].agent.do("serve", key=key, proto=proto, family=family, port=port)


def connect(parties):
    """Opens all of TALK, the refused ones too: there is nobody yet to refuse them."""
    wrong = []
    for client, server, proto, port, _, family, key in all_talk():
        op = "hold_quiet" if proto == "tcp" else "hold_udp"
        answer = parties[client].agent.do(op, dst=parties[server].address_for(parties[client], family), port=port, key=key)
        if answer["result"] != "ok":
            wrong.append("%s: %s" % (key, answer))
    return wrong


def speak(parties, seconds=4):
    """All servers speak, none of the clients does. Returns {key: what the client heard}."""
    waiting = [(key, parties[client].agent, parties[client].agent.send("await", key=key, timeout=seconds))
               for client, _, _, _, _, _, key in all_talk()]
    spoken = {(server, "%s/%d/%d" % (proto, port, family)) for _, server, proto, port, _, family, _ in all_talk()}
    speaking = [(parties[server].agent, parties[server].agent.send("speak", key=key, times=3 if key.startswith("udp") else 1))
                for server, key in spoken]
    heard = {key: agent.wait(number)["result"] for key, agent, number in waiting}
    for agent, number in speaking:
        agent.wait(number)
    return heard


def check_heard(report, heard, what, refused_too=False):
    for _, _, _, _, reason, _, key in all_talk():
        if reason is None or refused_too:
            report.equal(heard[key], "ok", "%s: %s: the client hears its server" % (what, key))
        else:
            report.equal(heard[key], "timeout", "%s: %s: nothing comes through (%s)" % (what, key, reason))


def close(parties):
    for party in parties.values():
        party.agent.do("close", prefix="")


def write_policy(lab, mode):
    path = os.path.join(lab.dir, "policy-%s.yaml" % mode)
    with open(path, "w") as file:
        file.write(POLICY.format(mode=mode))
    return path


def arm(report, lab, parties, node, loose):
    """Armed in the middle of it all, with untracked connections."""
    what = "loose %d" % loose
    lab.host.sysctl({"net.netfilter.nf_conntrack_tcp_loose": loose})
    report.equal(connect(parties), [], "%s: all connections were opened before" % what)
    report.equal(set(speak(parties).values()), {"ok"}, "%s: and all servers are heard (the control)" % what)
    node.start(policy=write_policy(lab, "enforce"))
    node.wait_endpoints([party for party in parties.values() if hasattr(party, "port")])
    since = events_mark()
    check_heard(report, speak(parties), what)
    again = speak(parties, 2)
    check_heard(report, again, what + ", once more")
    told = {(event["src"]["identity"], event["dst"]["identity"], event["reason"]) for event in node.events(since)}
    report.check(("prod/api", "dev/web", "fence") in told or ("prod/api", "dev/web", "invalid") in told,
                 "%s: what is refused has its events" % what, told)
    adopted = [event for event in node.events(since) if "older than our tables" in event["nearest"]]
    report.check(adopted, "%s: packets of adopted connections are told of as such" % what)


def segment(src, dst, sport, dport, flags):
    """A TCP segment with its checksum, for a raw IPv4 socket that writes the header itself."""
    pseudo = socket.inet_aton(src) + socket.inet_aton(dst) + struct.pack("!HH", 6, 20)
    tcp = struct.pack("!HHIIBBHHH", sport, dport, 1000, 1000, 0x50, flags, 1024, 0, 0)
    total = sum(struct.unpack("!16H", pseudo + tcp))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return tcp[:16] + struct.pack("!H", ~total & 0xFFFF) + tcp[18:]


def send_raw(party, dst, segments):
    script = ("import socket,sys,time\ns=socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_TCP)\n"
              "for word in sys.argv[2:]:\n s.sendto(bytes.fromhex(word),(sys.argv[1],0));time.sleep(.4)")
    party.run("/usr/bin/python3", "-c", script, dst, *(word.hex() for word in segments))


def abused(report, parties):
    """A server that uses adoption to call its client: no connection opens, and no datagram reaches a service."""
    bad, web = parties["bad"], parties["web"]
    target, source = web.addr[4], bad.addr[4]
    web.listen(tcp=[2222], udp=[53, 1024, 32767])
    probe = {"dst": target, "port": 2222, "src": source, "sport": 8080, "timeout": 3}
    ack, syn = 0x10, 0x02
    for name, flags in (("an ACK", [ack]), ("ACKs", [ack] * 4), ("FIN and ACK", [0x11, 0x11]), ("ACK, data", [ack, 0x18])):
        web.agent.do("forget")
        # What the bad one's own kernel would say to the answers must not be what stops it.
        send_raw(bad, target, [segment(source, target, 8080, 2222, each) for each in flags] +
                 [segment(source, target, 8080, 2222, syn)] * 3)
        arrived = [entry for entry in web.agent.do("sniffed")["seen"] if entry[0] == source and entry[2] == "tcp"]
        report.equal(arrived, [], "%s first, then a SYN: no SYN arrives" % name)
        result = bad.agent.do("tcp", **probe)["result"]
        report.check(result in ("timeout", "refused"), "and no connection opens", result)
    web.agent.do("forget")
    for port in (53, 1024, 32767):
        for _ in range(3):
            bad.agent.do("udp", dst=target, port=port, src=source, sport=9000, timeout=0.5)
    arrived = [entry for entry in web.agent.do("sniffed")["seen"] if entry[0] == source and entry[2] == "udp"]
    report.equal(arrived, [], "datagrams from the server's port to other ports than a client's do not arrive")


def without_microseg(report, parties):
    """The control of that abuse: without microseg the same SYN and datagrams arrive."""
    bad, web = parties["bad"], parties["web"]
    target, source = web.addr[4], bad.addr[4]
    web.agent.do("forget")
    send_raw(bad, target, [segment(source, target, 8080, 2222, 0x02)])
    bad.agent.do("udp", dst=target, port=1024, src=source, sport=9000, timeout=0.5)
    arrived = {entry[2] for entry in web.agent.do("sniffed")["seen"] if entry[0] == source}
    report.equal(arrived, {"tcp", "udp"}, "both arrive")


def tracked(report, lab, node, parties, mode):
    """Armed again while others have the kernel track: what it would refuse is told of, and in audit only told of."""
    node.cli("apply", "-p", write_policy(lab, mode), "--yes")
    node.cli("off")
    wait_for(lambda: node.status().get("state") == "off", "off")
    close(parties)
    if mode == "enforce":
        lab.host.run("nft", TRACKING)
    for bridge in lab.bridges:
        lab.host.ip("link set %s type bridge nf_call_iptables 1 nf_call_ip6tables 1" % bridge)
    report.equal(connect(parties), [], "%s: all connections were opened before" % mode)
    since = events_mark()
    node.cli("on")
    wait_for(lambda: node.status().get("state") == "enforcing", "armed again")
    wanted = {("fence", "dev/web", "prod/api", "tcp", 8080), ("fence", "dev/web", "prod/api", "udp", 9000),
              ("no-grant", "prod/api", "prod/web", "tcp", 8080)}

    def told():
        return {(event["reason"], event["src"]["identity"], event["dst"]["identity"], event["proto"], event["dport"])
                for event in node.events(since) if event.get("tracked") and event["verdict"] == "audited"}

    wait_for(lambda: wanted <= told(), "tracked connections to be told of")
    # Servers still repeat what they said on connections of before: those are told of by their port.
    allowed = {(reason, src, dst, proto, port) for reason, src, dst, proto, port in told() - wanted if port < 32768}
    report.equal(allowed, set(), "%s: just those that are refused are told of" % mode)
    check_heard(report, speak(parties), mode, refused_too=mode == "audit")


def enforced_later(report, lab, node, parties):
    """Audit met connections by their server's packets; enforcing cuts none that is allowed."""
    node.cli("off")
    wait_for(lambda: node.status().get("state") == "off", "off")
    close(parties)
    lab.host.run("nft", "delete table inet other")
    report.equal(connect(parties), [], "all connections were opened before")
    node.cli("on")
    wait_for(lambda: node.status().get("state") == "enforcing", "armed again")
    check_heard(report, speak(parties), "audit", refused_too=True)
    node.cli("apply", "-p", write_policy(lab, "enforce"), "--yes")
    time.sleep(1)
    check_heard(report, speak(parties), "then enforced")


def main():
    report = Report("arming")
    lab, parties = make_lab()
    with lab:
        serve(parties)
        for number, loose in enumerate((1, 0)):
            node = Node(lab, name="node%d" % number)
            report.section(arm, report, lab, parties, node, loose)
            if loose:
                report.section(abused, report, parties)
                node.cli("off")
                node.stop()
                report.section(without_microseg, report, parties)
            close(parties)
        lab.host.sysctl({"net.netfilter.nf_conntrack_tcp_loose": 1})
        for mode in ("enforce", "audit"):
            report.section(tracked, report, lab, node, parties, mode)
        report.section(enforced_later, report, lab, node, parties)
        if report.failed:
            report.note("microsegd said:\n" + node.log_text()[-4000:])
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
