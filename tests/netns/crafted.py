# SPDX-License-Identifier: GPL-2.0-or-later
"""Crafted: every class of frame that test_frames.py sends, with the reason it must be refused for."""
import itertools
import json
import struct

import scenario  # noqa: F401  finds tests/lab

import frames as f
from frames import Frame
from lab import run

BROADCAST = b"\xff" * 6
ALL_NODES, ALL_ROUTERS = "ff02::1", "ff02::2"
SYN, ACK, FIN, XMAS = 0x02, 0x10, 0x01, 0x29
HELD = "held"  # an incomplete or impossible datagram: reassembly keeps or discards it, so there is no verdict and no event

marks = itertools.count(1)


class Aim:
    """The attacker, one target, and what frames to it are refused for."""

    def __init__(self, parties, name, attacker="attacker"):
        attacker, other, host = parties[attacker], parties["other"], parties["host"]
        self.name, self.party, self.attacker = name, parties[name], attacker
        self.routed, self.host = name == "behind", name == "host"
        self.mac, self.ll = own_link(attacker)
        self.me = attacker.addr
        self.other, self.other_mac = other.addr, own_link(other)[0]
        self.gateway = attacker.bridge.gateway
        self.gateway_mac, self.gateway_ll = host_link(host, attacker.bridge.name)
        self.uplink = host.addr
        self.to = self.party.address_for(attacker, 4), self.party.address_for(attacker, 6)
        self.to_mac, self.to_ll = ((self.gateway_mac, self.gateway_ll) if self.routed or self.host
                                   else own_link(self.party))
        self.judged = "no-grant" if self.host else "fence"


def own_link(container):
    links = json.loads(run("ip", "-n", container.netns, "-j", "addr", "show", "dev", "eth0").stdout)
    return f.mac(links[0]["address"]), link_local(links[0])


def host_link(host, name):
    links = json.loads(run("ip", "-n", host.netns, "-j", "addr", "show", "dev", name).stdout)
    return f.mac(links[0]["address"]), link_local(links[0])


def link_local(link):
    return [addr["local"] for addr in link["addr_info"] if addr["scope"] == "link"][0]


class Table:
    """Frames under construction: each gets a mark of its own."""

    def __init__(self, aim):
        self.aim = aim
        self.frames = []

    def add(self, name, reason, make):
        """make(mark) returns the bytes of one frame, or a list of them."""
        mark = b"MS%04x" % next(marks)
        parts = make(mark)
        self.frames.append(Frame(name, tuple(parts if isinstance(parts, list) else [parts]), mark, reason))

    def ip4(self, name, reason, make, src=None, dst=None, eth_src=None, eth_dst=None, proto=f.UDP, **header):
        aim = self.aim
        src, dst = src or aim.me[4], dst or aim.to[0]
        self.add("IPv4 " + name, reason, lambda mark: f.ether(
            eth_dst or aim.to_mac, eth_src or aim.mac, 0x0800,
            f.ip4(src, dst, proto, make(src, dst, mark), **header)))

    def ip6(self, name, reason, make, src=None, dst=None, eth_src=None, eth_dst=None, hops=64):
        """make(src, dst, mark) returns the headers behind IPv6: [(number, body), …, (number, bytes)]."""
        aim = self.aim
        src, dst = src or aim.me[6], dst or aim.to[1]

        def frame(mark):
            number, payload = f.chain6(*make(src, dst, mark))
            return f.ether(eth_dst or aim.to_mac, eth_src or aim.mac, 0x86DD, f.ip6(src, dst, number, payload, hops))

        self.add("IPv6 " + name, reason, frame)

    def pieces4(self, name, reason, cuts, data=b"", **header):
        """One UDP datagram in fragments."""
        aim = self.aim

        def make(mark):
            whole = f.udp(aim.me[4], aim.to[0], 4000, 8080, mark + data + b"x" * 32)
            return [f.ether(aim.to_mac, aim.mac, 0x0800, packet) for packet in
                    f.fragments4(aim.me[4], aim.to[0], f.UDP, whole, ends(cuts, whole), int(mark[2:], 16), **header)]

        self.add("IPv4 " + name, reason, make)

    def pieces6(self, name, reason, cuts, make, dst=None, eth_dst=None, src=None, hops=64):
        """make as in ip6(): what stands behind the fragment header, cut at every (first, last)."""
        aim = self.aim
        src, dst = src or aim.me[6], dst or aim.to[1]

        def pieces(mark):
            number, whole = f.chain6(*make(src, dst, mark))
            return [f.ether(eth_dst or aim.to_mac, aim.mac, 0x86DD, packet) for packet in
                    f.fragments6(src, dst, number, whole, ends(cuts, whole), int(mark[2:], 16), hops)]

        self.add("IPv6 " + name, reason, pieces)


def ends(cuts, whole):
    return [(first, len(whole) if last is None else last) for first, last in cuts]


def udp_of(sport, dport):
    return lambda src, dst, mark: f.udp(src, dst, sport, dport, mark)


def tcp_of(sport, dport, flags):
    return lambda src, dst, mark: f.tcp(src, dst, sport, dport, flags, mark)


def plain(_src, _dst, mark):
    return mark.ljust(32, b"\0")


def echo(_src, _dst, mark):
    return f.icmp(8, 0, struct.pack("!HH", 1, 1) + mark)


def error4(kind, code, rest=b"\0" * 4):
    """An ICMP error around a connection that nobody has."""
    return lambda src, dst, mark: f.icmp(kind, code, rest + f.ip4(dst, src, f.UDP, f.udp(dst, src, 8080, 4000, mark)))


def udp6(src, dst, mark):
    return [(f.UDP, f.udp(src, dst, 4000, 8080, mark))]


def icmp6_of(kind, code=0, body=b"\0" * 4):
    return lambda src, dst, mark: [(f.ICMP6, f.icmp6(src, dst, kind, code, body + tail(mark)))]


def tail(mark):
    """The mark as an ND option for experiments: every receiver skips it."""
    return struct.pack("!BB", 253, 1) + mark


def behind(headers, make):
    return lambda src, dst, mark: headers + make(src, dst, mark)


# ---- the classes -------------------------------------------------------------------------------------------------


def transport4(t):
    j = t.aim.judged
    t.ip4("UDP", j, udp_of(4000, 8080))
    t.ip4("UDP from port 53", j, udp_of(53, 8081))  # nobody listens there: two echo servers would never end
    t.ip4("TCP SYN", j, tcp_of(4000, 8080, SYN), proto=f.TCP)
    t.ip4("TCP ACK without a connection", j, tcp_of(4001, 8080, ACK), proto=f.TCP)
    t.ip4("TCP SYN+ACK without a connection", "invalid", tcp_of(4002, 8080, SYN | ACK), proto=f.TCP)
    t.ip4("TCP FIN", "invalid", tcp_of(4003, 8080, FIN), proto=f.TCP)
    t.ip4("TCP without flags", "invalid", tcp_of(4004, 8080, 0), proto=f.TCP)
    t.ip4("TCP xmas", "invalid", tcp_of(4005, 8080, XMAS), proto=f.TCP)
    t.ip4("echo request", j, echo, proto=f.ICMP)
    t.ip4("timestamp request", j, lambda s, d, m: f.icmp(13, 0, b"\0\1\0\1" + m.ljust(12, b"\0")), proto=f.ICMP)
    t.ip4("ICMP unreachable around no connection", "invalid", error4(3, 1), proto=f.ICMP)
    t.ip4("ICMP fragmentation needed around no connection", "invalid", error4(3, 4, b"\0\0\2\0"), proto=f.ICMP)
    t.ip4("ICMP redirect", "invalid", error4(5, 1, f.packed(t.aim.me[4])), proto=f.ICMP)
    t.ip4("ICMP time exceeded", "invalid", error4(11, 0), proto=f.ICMP)
    t.ip4("IP in IP", j, lambda s, d, m: f.ip4(t.aim.other[4], d, f.UDP, f.udp(t.aim.other[4], d, 1, 8080, m)), proto=4)
    t.ip4("IPv6 in IP", j, lambda s, d, m: f.ip6(t.aim.other[6], t.aim.to[1], f.NO_NEXT, m), proto=41)
    t.ip4("GRE", j, lambda s, d, m: b"\0\0\x08\0" + m, proto=47)
    t.ip4("ESP", j, plain, proto=50)
    t.ip4("AH", j, plain, proto=51)
    t.ip4("SCTP INIT", j, lambda s, d, m: sctp_init(m), proto=f.SCTP)
    t.ip4("protocol 253", j, plain, proto=253)
    t.ip4("record route", j, udp_of(4010, 8080), options=b"\x07\x0b\x04" + b"\0" * 8)
    t.ip4("loose source route", "ethertype", udp_of(4011, 8080), options=b"\x83\x07\x04" + f.packed(t.aim.to[0]))
    t.ip4("strict source route", "ethertype", udp_of(4012, 8080), options=b"\x89\x07\x04" + f.packed(t.aim.to[0]))


def sctp_init(mark):
    chunk = struct.pack("!BBHIIHHI", 1, 0, 28, 1, 65535, 1, 1, 1) + mark + b"\0\0"
    head = struct.pack("!HHI", 4000, 8080, 0)
    return head + struct.pack("<I", f.crc32c(head + b"\0" * 4 + chunk)) + chunk


def pieces4(t):
    t.pieces4("fragments in order", t.aim.judged, [(0, 16), (16, None)])
    t.pieces4("fragments out of order", t.aim.judged, [(16, None), (0, 16)])
    t.pieces4("tiny fragments", t.aim.judged, [(0, 8), (8, 16), (16, None)])
    t.pieces4("first fragment alone", HELD, [(0, 16)])
    t.pieces4("later fragment alone", HELD, [(8, None)])
    t.pieces4("overlapping fragments", HELD, [(0, 16), (8, 24), (24, None)])


def forged4(t):
    aim = t.aim
    for name, src in (("another container's address", aim.other[4]), ("the gateway's address", aim.gateway[4]),
                      ("the host's uplink address", aim.uplink[4]), ("an outside address", "198.51.100.9"),
                      ("loopback", "127.0.0.1"), ("link-local", "169.254.7.7"), ("no address", "0.0.0.0"),
                      ("broadcast", "255.255.255.255"), ("multicast", "224.0.0.9")):
        t.ip4("UDP from %s" % name, "spoof", udp_of(4020, 8080), src=src)
    t.ip4("UDP with another container's MAC", "spoof", udp_of(4021, 8080), eth_src=aim.other_mac)
    t.ip4("UDP with the gateway's MAC", "spoof", udp_of(4022, 8080), eth_src=aim.gateway_mac)
    t.ip4("UDP as another container entirely", "spoof", udp_of(4023, 8080), src=aim.other[4], eth_src=aim.other_mac)
    t.ip4("DHCP offer", "ethertype", udp_of(67, 68))


def groups4(t):
    """What goes to more than one."""
    subnet = str(t.aim.attacker.bridge.net4.broadcast_address)
    for name, dst, eth in (("limited broadcast", "255.255.255.255", BROADCAST), ("subnet broadcast", subnet, BROADCAST),
                           ("mDNS", "224.0.0.251", None), ("SSDP", "239.255.255.250", None), ("all hosts", "224.0.0.1", None)):
        t.ip4("UDP " + name, "unidentified" if dst == subnet else "no-grant", udp_of(4030, 5353), dst=dst, eth_dst=eth or f.mac_of(dst))
    for name, dst in () if t.aim.host else (("subnet broadcast", subnet), ("mDNS", "224.0.0.251")):
        t.ip4("UDP %s to one MAC" % name, "unidentified" if dst == subnet else "no-grant", udp_of(4031, 5353), dst=dst)
    t.ip4("IGMP report", "no-grant", lambda s, d, m: f.icmp(0x16, 0, f.packed("239.1.2.3") + m), dst="239.1.2.3", proto=2,
          eth_dst=f.mac_of("239.1.2.3"), ttl=1)
    t.ip4("DHCP offer, broadcast", "ethertype", udp_of(67, 68), dst="255.255.255.255", eth_dst=BROADCAST)


def transport6(t):
    j = t.aim.judged
    t.ip6("UDP", j, udp6)
    t.ip6("TCP SYN", j, lambda s, d, m: [(f.TCP, f.tcp(s, d, 4000, 8080, SYN, m))])
    t.ip6("TCP ACK without a connection", j, lambda s, d, m: [(f.TCP, f.tcp(s, d, 4001, 8080, ACK, m))])
    t.ip6("TCP xmas", "invalid", lambda s, d, m: [(f.TCP, f.tcp(s, d, 4002, 8080, XMAS, m))])
    t.ip6("echo request", j, icmp6_of(128))
    t.ip6("node information query", j, icmp6_of(139))
    t.ip6("ICMPv6 unreachable around no connection", "invalid", lambda s, d, m: error6(1, s, d, m))
    t.ip6("ICMPv6 packet too big around no connection", "invalid", lambda s, d, m: error6(2, s, d, m))
    t.ip6("SCTP INIT", j, lambda s, d, m: [(f.SCTP, sctp_init(m))])
    for name, number in (("IP in IPv6", 4), ("IPv6 in IPv6", 41), ("GRE", 47), ("ESP", 50), ("mobility header", 135), ("protocol 253", 253)):
        t.ip6(name, j, lambda s, d, m, number=number: [(number, plain(s, d, m))])
    t.ip6("no next header", "invalid", lambda s, d, m: [(f.NO_NEXT, m)])
    options = (f.DESTINATION, f.option6(1))
    t.ip6("hop-by-hop, UDP", j, behind([(f.HOP, f.option6(1))], udp6))
    t.ip6("3 destination headers, UDP", j, behind([options] * 3, udp6))
    t.ip6("8 destination headers, UDP", j, behind([options] * 8, udp6))
    t.ip6("routing header 0", "ethertype", behind([(f.ROUTING, b"\2\0\1" + b"\0" * 4 + f.packed(t.aim.other[6]))], udp6))
    t.ip6("routing header 4", "ethertype", behind([(f.ROUTING, b"\2\4\0\0\0\0\0" + f.packed(t.aim.other[6]))], udp6))
    t.ip6("routing header behind a destination header", "ethertype",
          behind([options, (f.ROUTING, b"\2\0\1" + b"\0" * 4 + f.packed(t.aim.other[6]))], udp6))


def error6(kind, src, dst, mark):
    inner = f.ip6(dst, src, f.UDP, f.udp(dst, src, 8080, 4000, mark))
    return [(f.ICMP6, f.icmp6(src, dst, kind, 0, struct.pack("!I", 1280 if kind == 2 else 0) + inner))]


def pieces6(t):
    j, options = t.aim.judged, (f.DESTINATION, f.option6(1))
    long = lambda s, d, m: [(f.UDP, f.udp(s, d, 4000, 8080, m + b"x" * 32))]  # noqa: E731
    t.pieces6("fragments in order", j, [(0, 16), (16, None)], long)
    t.pieces6("fragments out of order", j, [(16, None), (0, 16)], long)
    t.pieces6("atomic fragment", j, [(0, None)], long)
    t.pieces6("port behind the first fragment", j, [(0, 8), (8, None)], behind([options] * 2, long))
    t.pieces6("first fragment alone", HELD, [(0, 16)], long)
    t.pieces6("later fragment alone", HELD, [(8, None)], long)
    t.pieces6("overlapping fragments", HELD, [(0, 16), (8, 24), (24, None)], long)
    t.pieces6("routing header behind the first fragment", "ethertype", [(0, 8), (8, None)],
              behind([options, (f.ROUTING, b"\2\0\1" + b"\0" * 4 + f.packed(t.aim.other[6]))], long))


def forged6(t):
    aim = t.aim
    for name, src in (("another container's address", aim.other[6]), ("the gateway's address", aim.gateway[6]),
                      ("the host's uplink address", aim.uplink[6]), ("an outside address", "2001:db8:99::9"),
                      ("loopback", "::1"), ("no address", "::"), ("an IPv4-mapped address", "::ffff:10.61.0.99"),
                      ("another's link-local address", "fe80::1234"), ("multicast", "ff02::5")):
        t.ip6("UDP from %s" % name, "spoof", udp6, src=src)
    t.ip6("UDP with another container's MAC", "spoof", udp6, eth_src=aim.other_mac)
    t.ip6("UDP as another container entirely", "spoof", udp6, src=aim.other[6], eth_src=aim.other_mac)
    t.ip6("DHCPv6 reply", "ethertype", lambda s, d, m: [(f.UDP, f.udp(s, d, 547, 546, m))])
    t.pieces6("DHCPv6 reply, ports behind the first fragment", "ethertype", [(0, 8), (8, None)],
              behind([(f.DESTINATION, f.option6(1))] * 2, lambda s, d, m: [(f.UDP, f.udp(s, d, 547, 546, m + b"x" * 32))]))


def groups6(t):
    aim = t.aim
    t.ip6("UDP link-local", aim.judged, udp6, src=aim.ll, dst=aim.to_ll)
    for name, dst in (("all nodes", ALL_NODES), ("mDNS", "ff02::fb"), ("LLMNR", "ff02::1:3"), ("interface-local", "ff01::1"),
                      ("site", "ff05::2")):
        t.ip6("UDP to %s" % name, "no-grant", udp6, dst=dst, eth_dst=f.mac_of(dst))


def neighbours(t):
    """ND and router messages. All of these lie."""
    aim = t.aim
    own, theirs = f.lladdr(2, aim.mac), f.lladdr(2, aim.other_mac)
    source, foreign = f.lladdr(1, aim.mac), f.lladdr(1, aim.other_mac)
    override, unsolicited = b"\x60\0\0\0", b"\x20\0\0\0"
    nonce = b"\x0e\x01abcdef"
    options = (f.DESTINATION, f.option6(1))

    def advert(name, target, lladdr, flags=override, hops=255, headers=(), eth_src=None, src=None, dst=None):
        t.ip6("NA " + name, "ethertype" if headers or hops != 255 else "spoof", behind(list(headers), icmp6_of(136, 0, flags + f.packed(target) + lladdr)), hops=hops,
              eth_src=eth_src, src=src, dst=dst, eth_dst=dst and f.mac_of(dst))

    advert("for the gateway", aim.gateway[6], own)
    advert("for the gateway's link-local address", aim.gateway_ll, own)
    advert("for another container", aim.other[6], own)
    advert("for another container, to all", aim.other[6], own, unsolicited, dst=ALL_NODES)
    advert("for another container, from its address", aim.other[6], own, src=aim.other[6])
    advert("for another container, with its MAC", aim.other[6], theirs, eth_src=aim.other_mac)
    advert("for itself, with another's MAC", aim.me[6], theirs)
    advert("for itself, another option before the forged one", aim.me[6], nonce + theirs)
    advert("for itself, the forged option of 16 bytes", aim.me[6], b"\x02\x02" + aim.other_mac + b"\0" * 8)
    advert("hop limit 64", aim.me[6], own, hops=64)
    advert("behind hop-by-hop, for the gateway", aim.gateway[6], own, headers=[(f.HOP, f.option6(1))])
    advert("behind a destination header", aim.me[6], own, headers=[options])
    t.pieces6("NA for the gateway, in fragments", "ethertype", [(0, 24), (24, None)],
              icmp6_of(136, 0, override + f.packed(aim.gateway[6]) + own), hops=255)
    t.pieces6("NA for the gateway, type behind the first fragment", "ethertype", [(0, 8), (8, None)],
              behind([options] * 2, icmp6_of(136, 0, override + f.packed(aim.gateway[6]) + own)), hops=255)

    def solicit(name, lladdr, src=None, target=None, hops=255, dst=None):
        t.ip6("NS " + name, "spoof" if hops == 255 else "ethertype", icmp6_of(135, 0, b"\0" * 4 + f.packed(target or aim.to[1]) + lladdr), src=src, hops=hops,
              dst=dst, eth_dst=dst and f.mac_of(dst))

    solicit("with another's MAC", foreign)
    solicit("another option before the forged one", nonce + foreign)
    solicit("from the gateway's address", source, src=aim.gateway[6])
    solicit("from another container's address", source, src=aim.other[6])
    solicit("hop limit 64", source, hops=64)
    solicit("for an address that is another's, as if it were its own", b"", src="::", target=aim.to[1], dst=f.solicited(aim.to[1]))
    t.pieces6("NS with another's MAC, type behind the first fragment", "ethertype", [(0, 8), (8, None)],
              behind([options] * 2, icmp6_of(135, 0, b"\0" * 4 + f.packed(aim.to[1]) + foreign)), hops=255)

    t.ip6("RS with another's MAC", "spoof", icmp6_of(133, 0, b"\0" * 4 + foreign), dst=ALL_ROUTERS, hops=255,
          eth_dst=f.mac_of(ALL_ROUTERS))
    routers(t, source, options)


def routers(t, source, options):
    aim = t.aim
    life = struct.pack("!BBHII", 64, 0, 1800, 0, 0)
    t.ip6("RA to all", "ethertype", icmp6_of(134, 0, life + source), src=aim.ll, dst=ALL_NODES, hops=255, eth_dst=f.mac_of(ALL_NODES))
    t.ip6("RA to one", "ethertype", icmp6_of(134, 0, life + source), src=aim.ll, dst=aim.to_ll, hops=255)
    t.ip6("RA behind hop-by-hop", "ethertype", behind([(f.HOP, f.option6(1))], icmp6_of(134, 0, life + source)), src=aim.ll,
          dst=ALL_NODES, hops=255, eth_dst=f.mac_of(ALL_NODES))
    t.pieces6("RA in fragments", "ethertype", [(0, 16), (16, None)], icmp6_of(134, 0, life + source), src=aim.ll, dst=aim.to_ll, hops=255)
    t.pieces6("RA, type behind the first fragment", "ethertype", [(0, 8), (8, None)], behind([options] * 2, icmp6_of(134, 0, life + source)),
              src=aim.ll, dst=aim.to_ll, hops=255)
    t.ip6("redirect", "ethertype", icmp6_of(137, 0, b"\0" * 4 + f.packed(aim.me[6]) + f.packed(aim.uplink[6])), src=aim.ll, dst=aim.to_ll,
          hops=255)


def listeners(t):
    """MLD is for groups: no container may send it to another's own address."""
    for kind in (130, 131, 132, 143):
        t.ip6("MLD type %d to one" % kind, t.aim.judged, icmp6_of(kind, 0, b"\0" * 20), hops=2 if t.aim.routed else 1)


def link_layer(t):
    aim = t.aim
    inner = lambda m: f.ip4(aim.me[4], aim.to[0], f.UDP, f.udp(aim.me[4], aim.to[0], 4000, 8080, m))  # noqa: E731

    def ether(name, reason, kind, make, dst=None, src=None):
        t.add(name, reason, lambda mark: f.ether(dst or aim.to_mac, src or aim.mac, kind, make(mark)))

    tag = lambda number, kind: struct.pack("!HH", number, kind)  # noqa: E731
    ether("VLAN 0", "ethertype", 0x8100, lambda m: tag(0, 0x0800) + inner(m))
    ether("VLAN 5", "ethertype", 0x8100, lambda m: tag(5, 0x0800) + inner(m))
    ether("VLAN 0 in VLAN 0", "ethertype", 0x8100, lambda m: tag(0, 0x8100) + tag(0, 0x0800) + inner(m))
    ether("QinQ 0", "ethertype", 0x88A8, lambda m: tag(0, 0x8100) + tag(0, 0x0800) + inner(m))
    ether("QinQ 5 in 0x9100", "ethertype", 0x9100, lambda m: tag(5, 0x8100) + tag(0, 0x0800) + inner(m))
    ether("VLAN 0 with a forged ARP reply", "ethertype", 0x8100,
          lambda m: tag(0, 0x0806) + f.arp(2, aim.mac, aim.gateway[4], m, aim.to[0]))
    ether("VLAN 0 with a router advertisement", "ethertype", 0x8100, lambda m: tag(0, 0x86DD) + f.ip6(
        aim.ll, ALL_NODES, f.ICMP6, f.icmp6(aim.ll, ALL_NODES, 134, 0, struct.pack("!BBHII", 64, 0, 1800, 0, 0) + tail(m)), 255),
        dst=f.mac_of(ALL_NODES))
    snap = b"\xaa\xaa\x03\0\0\0"
    t.add("LLC/SNAP", "ethertype", lambda m: f.llc(aim.to_mac, aim.mac, snap + b"\x08\0" + inner(m)))
    t.add("LLC", "ethertype", lambda m: f.llc(aim.to_mac, aim.mac, b"\x42\x42\x03" + m.ljust(40, b"\0")))
    ether("PPPoE session", "ethertype", 0x8864, lambda m: b"\x11\0\0\1" + struct.pack("!HH", 46, 0x21) + inner(m))
    ether("MPLS", "ethertype", 0x8847, lambda m: b"\0\0\x11\xff" + inner(m))
    ether("EAPOL", "ethertype", 0x888E, lambda m: b"\2\1\0\0" + m.ljust(42, b"\0"))
    ether("RARP", "ethertype", 0x8035, lambda m: f.arp(3, aim.mac, aim.me[4], m, aim.to[0]))
    ether("TIPC", "ethertype", 0x88CA, lambda m: m.ljust(46, b"\0"))
    ether("LLDP to one", "ethertype", 0x88CC, lambda m: m.ljust(46, b"\0"))
    ether("local experiment 0x88b5", "ethertype", 0x88B5, lambda m: m.ljust(46, b"\0"))
    ether("local experiment 0x88b5, broadcast", "ethertype", 0x88B5, lambda m: m.ljust(46, b"\0"), dst=BROADCAST)
    ether("spanning tree group", "ethertype", 0x88B5, lambda m: m.ljust(46, b"\0"), dst=f.mac("01:80:c2:00:00:00"))


def address_resolution(t):
    aim = t.aim

    def arp(name, op, sha, spa, dst=None, src=None, **header):
        t.add("ARP " + name, "spoof", lambda mark: f.ether(dst or aim.to_mac, src or aim.mac, 0x0806,
                                                            f.arp(op, sha, spa, mark, aim.to[0], **header)))

    arp("reply for the gateway", 2, aim.mac, aim.gateway[4])
    arp("reply for another container", 2, aim.mac, aim.other[4])
    arp("request as another container", 1, aim.mac, aim.other[4], dst=BROADCAST)
    arp("gratuitous for another container", 1, aim.mac, aim.other[4], dst=BROADCAST)
    arp("reply with another's MAC", 2, aim.other_mac, aim.me[4])
    arp("as another container entirely", 2, aim.other_mac, aim.other[4], src=aim.other_mac)
    arp("of another hardware type", 2, aim.mac, aim.gateway[4], htype=6)
    arp("of another protocol", 2, aim.mac, aim.me[4], ptype=0x86DD)
    arp("with long addresses", 2, aim.mac, aim.me[4], hlen=8)


# What a host drops by itself: martian sources, options it does not follow, what it cannot put together, an unknown tag.
NEVER_ROUTED = {
    "VLAN 5", "IPv4 loose source route", "IPv4 strict source route", "IPv4 first fragment alone", "IPv4 later fragment alone",
    "IPv4 overlapping fragments", "IPv6 mobility header", "IPv6 UDP from no address", "IPv6 UDP from another's link-local address",
    *("IPv%d UDP from %s" % (family, what) for family in (4, 6) for what in ("loopback", "multicast")),
    *("IPv4 UDP from " + what for what in ("the gateway's address", "the host's uplink address", "no address", "broadcast")),
}

ON_LINK = (groups4, groups6, neighbours, address_resolution)
ANYWHERE = (transport4, pieces4, forged4, transport6, pieces6, forged6, listeners, link_layer)


def craft(aim):
    table = Table(aim)
    for group in ANYWHERE if aim.routed else ANYWHERE + ON_LINK:
        group(table)
    return table.frames
