# SPDX-License-Identifier: GPL-2.0-or-later
"""Connections that carry something in both directions all the time, and when it arrived last: for what must end at a moment.

Times are CLOCK_MONOTONIC, which all namespaces share.
"""
import socket
import struct
import threading
import time

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
PERIOD = 0.05
LIFETIME = 120.0  # a test that forgets its tickers is over by then

lock = threading.Lock()
arrivals = {}  # key -> [how many, when last]


def note(key):
    with lock:
        count = arrivals.setdefault(key, [0, 0.0])
        count[0] += 1
        count[1] = time.monotonic()


def every_period(send):
    """Sends on and on; what is refused is tried again."""
    end = time.monotonic() + LIFETIME
    while time.monotonic() < end:
        try:
            send()
        except (BlockingIOError, ConnectionRefusedError, PermissionError):
            pass
        except OSError as error:
            if not isinstance(error, TimeoutError) and error.errno not in (101, 111, 113, 13, 1):
                return
        time.sleep(PERIOD)


def start(function, *args):
    threading.Thread(target=function, args=args, daemon=True).start()


def key_of(proto, port, peer):
    return "%s/%d %s" % (proto, port, peer)


def read_stream(conn, key):
    try:
        while conn.recv(4096):
            note(key)
    except OSError:
        pass


def serve_stream(sock, port):
    while True:
        conn, peer = sock.accept()
        start(every_period, lambda conn=conn: conn.send(b"tick"))
        start(read_stream, conn, key_of("tcp", port, peer[0]))


def serve_datagrams(sock, port):
    known = set()
    while True:
        try:
            _, peer = sock.recvfrom(4096)
        except OSError:
            continue
        note(key_of("udp", port, peer[0]))
        if peer not in known:
            known.add(peer)
            start(every_period, lambda peer=peer: sock.sendto(b"tick", peer))


def op_ticks(request):
    """Takes {proto, family, port}: ticks to whoever calls, from the first word on, and whatever comes of that."""
    kind = socket.SOCK_STREAM if request["proto"] == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(FAMILY[request["family"]], kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if request["family"] == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", request["port"]))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    start(serve_stream if kind == socket.SOCK_STREAM else serve_datagrams, sock, request["port"])
    return {"ok": True}


def read_datagrams(sock, key):
    while True:
        try:
            sock.recv(4096)
            note(key)
        except OSError:
            pass  # an ICMP error for what was sent


def open_ping(request, version):
    proto = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    sock = socket.socket(FAMILY[version], socket.SOCK_DGRAM, proto)
    sock.connect((request["dst"], 0))
    message = struct.pack("!BBHHH", 8 if version == 4 else 128, 0, 0, 0, 1) + b"tick"
    return sock, message


def op_follow(request):
    """Opens {proto} to {dst, port} and ticks there, as {key}; proto may be ping."""
    version = 6 if ":" in request["dst"] else 4
    message = b"tick"
    if request["proto"] == "ping":
        sock, message = open_ping(request, version)
    else:
        kind = socket.SOCK_STREAM if request["proto"] == "tcp" else socket.SOCK_DGRAM
        sock = socket.socket(FAMILY[version], kind)
        sock.settimeout(3)
        sock.connect((request["dst"], request["port"]))
        sock.settimeout(None)
    if request["proto"] == "tcp":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    start(every_period, lambda: sock.send(message, socket.MSG_DONTWAIT))
    start(read_stream if request["proto"] == "tcp" else read_datagrams, sock, request["key"])
    return {"result": "ok"}


def op_ticked(request):
    """How many ticks came by {key}, and when the last one did."""
    with lock:
        count, last = arrivals.get(request["key"], [0, 0.0])
    return {"count": count, "last": last}
