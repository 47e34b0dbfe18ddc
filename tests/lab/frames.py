# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames: what an attacker with raw sockets can put on the wire, and sockets that see what arrived.

A Frame is bytes and a signature: a run of its bytes that no other frame has and no stack rewrites, so that an arrival is
told from everything else. Crafting is plain struct: half of these frames are wrong on purpose.
"""
import ctypes
import ipaddress
import os
import select
import socket
import struct
import time
from dataclasses import dataclass

ETH_P_ALL = 3
CLONE_NEWNET = 0x40000000
PACKET_OUTGOING = 4
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20
QUIET = 0.15  # seconds without a packet after which nothing more is under way

TCP, UDP, ICMP, ICMP6, SCTP = 6, 17, 1, 58, 132
HOP, ROUTING, FRAGMENT, DESTINATION, NO_NEXT = 0, 43, 44, 60, 59

_libc = ctypes.CDLL(None, use_errno=True)


# ---- sockets in other namespaces ---------------------------------------------------------------------------------


class inside:
    """with inside(namespace): sockets made here belong to it, wherever they are used later."""

    def __init__(self, namespace):
        self.path = namespace.path

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self._enter(os.open(self.path, os.O_RDONLY))

    def __exit__(self, *_):
        self._enter(self.home)

    @staticmethod
    def _enter(fd):
        if _libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)


class Sender:
    """Puts raw frames on the wire of a namespace."""

    def __init__(self, namespace, interface="eth0"):
        with inside(namespace):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.sock.bind((interface, 0))

    def send(self, data):
        self.sock.send(data)


class Tap:
    """Everything that reaches a namespace: an interface of it, or with deliver=True only what its IP layer lets
    through to sockets, which is what reached a host whose rules stand behind its interfaces."""

    def __init__(self, namespace, interface="eth0", deliver=False):
        self.socks = []
        with inside(namespace):
            self._open(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)).bind((interface, 0))
            for proto in range(1, 255) if deliver else ():
                for family in (socket.AF_INET, socket.AF_INET6):
                    self._open(family, socket.SOCK_RAW, proto)
        self.interface_only = not deliver

    def _open(self, *kind):
        sock = socket.socket(*kind)
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        sock.setblocking(False)
        self.socks.append(sock)
        return sock

    def read(self):
        """[bytes, …] of all that came since, once it is quiet."""
        poll = select.epoll()
        for sock in self.socks:
            poll.register(sock, select.EPOLLIN)
        by_fd = {sock.fileno(): sock for sock in self.socks}
        found, deadline = [], time.monotonic() + 5
        while time.monotonic() < deadline:
            ready = poll.poll(QUIET)
            if not ready:
                break
            for fd, _ in ready:
                found += self._drain(by_fd[fd])
        poll.close()
        return found

    def saw(self, mark, patience=0.04):
        """Does a packet with this mark come within so many seconds? A veth delivers in microseconds; what came before it
        is thrown away."""
        deadline = time.monotonic() + patience
        while True:
            if any(mark in data for sock in self.socks for data in self._drain(sock)):
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.002)

    def now(self):
        """[bytes, …] of what is here, without waiting for more."""
        return [data for sock in self.socks for data in self._drain(sock)]

    def count(self, mark):
        """How many of what came since carry the mark."""
        return sum(mark in data for data in self.read())

    def _drain(self, sock):
        while True:
            try:
                data, address = sock.recvfrom(65535)
            except BlockingIOError:
                return
            except OSError:
                return  # an ICMP error for a raw socket
            if sock.family != socket.AF_PACKET:
                yield data
            elif address[2] != PACKET_OUTGOING and (self.interface_only or not is_ip(data)):
                yield data

    def close(self):
        for sock in self.socks:
            sock.close()


def is_ip(data):
    return data[12:14] in (b"\x08\x00", b"\x86\xdd")


# ---- bytes -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    name: str
    parts: tuple  # the frames on the wire, in this order
    mark: bytes  # is in what arrives, and in nothing else
    reason: str  # of its refusal

    @property
    def is_group(self):
        return bool(self.parts[0][0] & 1)


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def packed(address):
    return ipaddress.ip_address(address).packed


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def ether(dst, src, kind, payload):
    return dst + src + struct.pack("!H", kind) + payload


def llc(dst, src, payload):
    return dst + src + struct.pack("!H", len(payload)) + payload


def ip4(src, dst, proto, payload, options=b"", ttl=64, ident=0x4D53, frag=0):
    options += b"\0" * (-len(options) % 4)
    head = struct.pack("!BBHHHBBH4s4s", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), ident, frag, ttl,
                       proto, 0, packed(src), packed(dst)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(src, dst, proto, payload, hops=64):
    return struct.pack("!IHBB16s16s", 0x60000000, len(payload), proto, hops, packed(src), packed(dst)) + payload


def pseudo(src, dst, proto, length):
    """The header that a checksum of an upper protocol also covers."""
    if ":" in src:
        return struct.pack("!16s16sII", packed(src), packed(dst), length, proto)
    return struct.pack("!4s4sBBH", packed(src), packed(dst), 0, proto, length)


def udp(src, dst, sport, dport, data):
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    total = checksum(pseudo(src, dst, UDP, len(head) + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + data


def tcp(src, dst, sport, dport, flags, data=b"", seq=0x4D530000):
    head = struct.pack("!HHIIBBHHH", sport, dport, seq, 1 if flags & 0x10 else 0, 0x50, flags, 8192, 0, 0) + data
    return head[:16] + struct.pack("!H", checksum(pseudo(src, dst, TCP, len(head)) + head)) + head[18:]


def icmp(kind, code, rest):
    head = struct.pack("!BBH", kind, code, 0) + rest
    return head[:2] + struct.pack("!H", checksum(head)) + head[4:]


def icmp6(src, dst, kind, code, rest):
    head = struct.pack("!BBH", kind, code, 0) + rest
    total = checksum(pseudo(src, dst, ICMP6, len(head)) + head)
    return head[:2] + struct.pack("!H", total) + head[4:]


def option6(number, payload=b"\0" * 4):
    """The body of a hop-by-hop or destination header of one option, 8 bytes a unit; the caller puts the next header."""
    body = struct.pack("!BB", number, len(payload)) + payload
    body += b"\x01" + bytes([-(len(body) + 3) % 8]) + b"\0" * (-(len(body) + 3) % 8) if (len(body) + 2) % 8 else b""
    return struct.pack("!B", (len(body) + 2) // 8 - 1) + body


def chain6(*headers):
    """(payload of the first header's number): each is (number, body without its next header) and the last (number, bytes)."""
    data, following = b"", None
    for number, body in reversed(headers):
        data = body if following is None else bytes([following]) + body + data
        following = number
    return following, data


def fragment6(following, offset, more, ident):
    return struct.pack("!BBHI", following, 0, offset | more, ident)


def fragments4(src, dst, proto, payload, cuts, ident, **options):
    """IPv4 packets that carry payload[first:last] for each (first, last) of cuts."""
    return [ip4(src, dst, proto, payload[first:last], ident=ident,
                frag=first // 8 | (0x2000 if last < len(payload) else 0), **options) for first, last in cuts]


def fragments6(src, dst, following, payload, cuts, ident, hops=64):
    return [ip6(src, dst, FRAGMENT, fragment6(following, first, last < len(payload), ident) + payload[first:last], hops)
            for first, last in cuts]


def arp(op, sha, spa, tha, tpa, htype=1, ptype=0x0800, hlen=6, plen=4):
    return struct.pack("!HHBBH6s4s6s4s", htype, ptype, hlen, plen, op, sha, packed(spa), tha, packed(tpa))


def lladdr(kind, address):
    return struct.pack("!BB", kind, 1) + address


def solicited(target):
    return str(ipaddress.ip_address(bytes.fromhex("ff0200000000000000000001ff") + packed(target)[13:]))


def mac_of(group):
    """The Ethernet address of a multicast address."""
    raw = packed(group)
    return b"\x33\x33" + raw[12:] if len(raw) == 16 else b"\x01\x00\x5e" + bytes([raw[1] & 0x7F]) + raw[2:]
