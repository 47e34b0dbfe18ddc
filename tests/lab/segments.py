#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Segments: one bare TCP segment for each of many flows, as fast as they go, from whoever runs it.

segments.py syn|answer|ack CLIENT COUNT: the three of a handshake between CLIENT and servers that do not exist, 50,000
flows to each. The answers are sent by whoever the servers' addresses are routed to.
"""
import socket
import struct
import sys

SERVERS = "198.51.100.%d"
PER_SERVER = 50000
FIRST_PORT = 10000
SERVER_PORT = 80
SYN, ACK = 2, 16
KINDS = {"syn": (True, 1, 0, SYN), "answer": (False, 1000, 2, SYN | ACK), "ack": (True, 2, 1001, ACK)}


def ones_sum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def send(kind, client, count):
    from_client, seq, ack, flags = KINDS[kind]
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    for number in range(count):
        server = SERVERS % (1 + number // PER_SERVER)
        port = FIRST_PORT + number % PER_SERVER
        if number % PER_SERVER == 0:
            ends = [socket.inet_aton(client), socket.inet_aton(server)]
            src, dst = ends if from_client else reversed(ends)
            header = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + src + dst
            rest = struct.pack("!IIBBHHH", seq, ack, 0x50, flags, 65535, 0, 0)
            base = ones_sum(src + dst + struct.pack("!HHH", 6, 20, SERVER_PORT) + rest)
        ports = (port, SERVER_PORT) if from_client else (SERVER_PORT, port)
        total = base + port
        checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
        segment = struct.pack("!HH", *ports) + rest[:12] + struct.pack("!H", checksum) + rest[14:]
        sock.sendto(header + segment, (socket.inet_ntoa(header[16:20]), 0))


if __name__ == "__main__":
    send(sys.argv[1], sys.argv[2], int(sys.argv[3]))
