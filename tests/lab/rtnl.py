# SPDX-License-Identifier: GPL-2.0-or-later
"""Rtnl: links, addresses, routes and neighbours by rtnetlink itself, where a process of ip(8) for each would be too slow."""
import ctypes
import os
import socket
import struct
import threading

CLONE_NEWNET = 0x40000000
AF_UNSPEC, AF_INET, AF_INET6 = 0, socket.AF_INET, socket.AF_INET6
NLMSG_ERROR = 2
REQUEST, ACK, CREATE, EXCL, REPLACE = 1, 4, 0x400, 0x200, 0x100
NEWLINK, DELLINK, GETLINK, SETLINK = 16, 17, 18, 19
NEWADDR, NEWROUTE, NEWNEIGH = 20, 24, 28
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MASTER, IFLA_LINKINFO, IFLA_NET_NS_PID, IFLA_IFALIAS = 1, 3, 10, 18, 19, 20
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL, IFA_F_NODAD = 1, 2, 2
RTA_OIF, RTA_GATEWAY = 4, 5
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
IFF_UP = 1

libc = ctypes.CDLL(None, use_errno=True)


def in_namespace(path, make):
    """What make() returns, called in the namespace behind this path. Only a thread of its own goes there."""
    made = []

    def go():
        with open(path) as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), path)
        made.append(make())

    thread = threading.Thread(target=go)
    thread.start()
    thread.join()
    if not made:
        raise OSError("nothing could be made in %s" % path)
    return made[0]


def attribute(kind, value):
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)


def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def packed(address):
    family = AF_INET6 if ":" in address else AF_INET
    return family, socket.inet_pton(family, address)


def link_message(index=0, up=False):
    return struct.pack("=BxHiII", AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP if up else 0)


class Rtnl:
    """A socket in the namespace behind this path, or in the caller's own. Every call waits for the kernel's answer, and what
    the kernel refuses is an OSError."""

    def __init__(self, path=None):
        def make():
            return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self.sock = in_namespace(path, make) if path else make()
        self.sock.bind((0, 0))
        self.lock = threading.Lock()

    def request(self, kind, flags, body):
        with self.lock:
            self.sock.send(struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags, 1, 0) + body)
            answer = b""
            while True:
                data = self.sock.recv(1 << 16)
                answer_kind, = struct.unpack_from("=H", data, 4)
                if answer_kind != NLMSG_ERROR:
                    answer = data
                    continue
                error, = struct.unpack_from("=i", data, 16)
                if error:
                    raise OSError(-error, os.strerror(-error))
                return answer

    def add_veth(self, name, index, pid, peer_name, peer_mac, master=0):
        """A veth whose peer is in the namespace of a process, and is not up. Ours is, as a port of the bridge with this index."""
        peer = link_message() + attribute(IFLA_IFNAME, peer_name) + attribute(IFLA_ADDRESS, mac_bytes(peer_mac)) \
            + attribute(IFLA_NET_NS_PID, pid)
        info = attribute(IFLA_INFO_KIND, "veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, peer))
        body = link_message(index, up=True) + attribute(IFLA_IFNAME, name) + attribute(IFLA_LINKINFO, info)
        if master:
            body += attribute(IFLA_MASTER, master)
        self.request(NEWLINK, CREATE | EXCL, body)

    def set_link(self, index, **what):
        """alias, name (texts), master (an index), up."""
        kinds = {"alias": IFLA_IFALIAS, "name": IFLA_IFNAME, "master": IFLA_MASTER}
        body = link_message(index, what.pop("up", False))  # the message's own word, not an attribute
        self.request(NEWLINK, 0, body + b"".join(attribute(kinds[key], value) for key, value in what.items()))

    def delete_link(self, name):
        self.request(DELLINK, 0, link_message() + attribute(IFLA_IFNAME, name))

    def index(self, name):
        """0: there is none."""
        try:
            answer = self.request(GETLINK, 0, link_message() + attribute(IFLA_IFNAME, name))
        except OSError:
            return 0
        return struct.unpack_from("=i", answer, 20)[0]

    def add_address(self, index, address, length):
        family, data = packed(address)
        self.request(NEWADDR, CREATE | REPLACE, struct.pack("=BBBBi", family, length, IFA_F_NODAD if family == AF_INET6 else 0, 0,
                                                            index) + attribute(IFA_LOCAL, data) + attribute(IFA_ADDRESS, data))

    def add_default_route(self, index, gateway):
        family, data = packed(gateway)
        self.request(NEWROUTE, CREATE | REPLACE, struct.pack("=BBBBBBBBI", family, 0, 0, 0, 254, 4, 0, 1, 0)
                     + attribute(RTA_GATEWAY, data) + attribute(RTA_OIF, index))

    def set_neighbour(self, index, address, mac):
        family, data = packed(address)
        self.request(NEWNEIGH, CREATE | REPLACE, struct.pack("=BxxxiHBB", family, index, NUD_PERMANENT, 0, 0)
                     + attribute(NDA_DST, data) + attribute(NDA_LLADDR, mac_bytes(mac)))

    def close(self):
        self.sock.close()
