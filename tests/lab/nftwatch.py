# SPDX-License-Identifier: GPL-2.0-or-later
"""NftWatch: every transaction of nf_tables in a namespace, as the kernel announces it.

It answers what no sampling can: was there ever a moment in which one of our tables did not stand?
"""
import ctypes
import os
import re
import socket
import struct
import threading

NETLINK_NETFILTER = 12
NFNLGRP_NFTABLES = 7
NFNL_SUBSYS_NFTABLES = 10
NEWTABLE, DELTABLE, NEWGEN = 0, 2, 15
FAMILIES = {1: "inet", 3: "arp", 7: "bridge"}
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
TABLE_ATTRIBUTE = 1

libc = ctypes.CDLL(None, use_errno=True)


def socket_in(path):
    """A netlink socket of the namespace behind this path."""
    made = []

    def make():
        with open(path) as there:
            if libc.setns(there.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), path)
        made.append(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER))

    thread = threading.Thread(target=make)  # only this thread goes there
    thread.start()
    thread.join()
    return made[0]


def messages(data):
    """(type, family, name of the table) of each message of nf_tables."""
    at = 0
    while at + 20 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind >> 8 == NFNL_SUBSYS_NFTABLES:
            yield kind & 255, data[at + 16], table_of(data[at + 20 : at + length])
        at += max(length + 3 & ~3, 16)


def table_of(attributes):
    at = 0
    while at + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, at)
        if kind & 0x3FFF == TABLE_ATTRIBUTE:
            return attributes[at + 4 : at + length].rstrip(b"\0").decode(errors="replace")
        at += max(length + 3 & ~3, 4)
    return None


class NftWatch:
    """Follows the tables called microseg."""

    def __init__(self, namespace):
        self.lock = threading.Lock()
        self.tables = set()  # of our name, by family, as far as seen
        self.touched = False  # by the transaction that has not ended yet
        self.n_transactions = 0  # that said anything of our tables
        self.gaps = []  # what was missing after a transaction
        self.required = set()
        self.sock = socket_in(namespace.path)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.sock.bind((0, 1 << NFNLGRP_NFTABLES - 1))
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            try:
                data = self.sock.recv(1 << 17)
            except OSError as error:  # ENOBUFS: what was not seen proves nothing
                self.gaps.append("the watch itself lost announcements: %s" % os.strerror(error.errno))
                continue
            with self.lock:
                for kind, family, table in messages(data):
                    self._note(kind, FAMILIES.get(family), table)

    def _note(self, kind, family, table):
        if kind == NEWGEN:
            self.n_transactions += self.touched
            if self.touched and self.required - self.tables:
                self.gaps.append("%s missing after transaction %d" % (self.required - self.tables, self.n_transactions))
            self.touched = False
        elif table == "microseg":
            self.touched = True
            if kind == NEWTABLE:
                self.tables.add(family)
            elif kind == DELTABLE:
                self.tables.discard(family)

    def require(self, *families):
        """From now on these must stand after every transaction. They stand now."""
        with self.lock:
            self.required = set(families)
            self.tables |= self.required
            self.gaps.clear()
            self.n_transactions = 0


def canonical(listing):
    """A listing without what is chance in it: the order of chains and sets in a table and of elements in a set, and the
    elements that the kernel adds itself."""
    blocks, table = [], ""
    for block in re.split(r"^(?=table )|^(?=\t(?:chain|set|map) )", listing, flags=re.MULTILINE):
        if block.startswith("table "):
            table = block.split("{")[0]
        head, _, tail = block.partition("elements = {")
        inside, _, rest = tail.partition("}")
        words = [] if "flags dynamic" in head else sorted(" ".join(word.split()) for word in inside.split(","))
        blocks.append((table, head.strip("}\n\t "), words, rest.strip("}\n\t ")))
    return sorted(blocks)
