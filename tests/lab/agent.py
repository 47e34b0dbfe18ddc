#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""One helper process in one lab namespace: it listens, probes with real sockets, and watches what arrives.

Requests and answers are JSON objects, one a line, on stdin and stdout. A request carries an "id" and an "op"; the answer
carries the same id. Every request runs in a thread of its own, so many probes can be under way at once. The process ends
with its standard input, so it cannot outlive the test that started it.

What a probe reports: "ok" (the payload came back), "refused" (a reset or port unreachable), "prohibited" (an ICMP error,
administratively prohibited), "timeout" (silence), or "error NAME".
"""
import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time

from ticker import op_follow, op_ticked, op_ticks  # noqa: F401: found by their names

FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
ECHO_REQUEST = {4: 8, 6: 128}
ETH_P_ALL = 3
PACKET_OUTGOING = 4
IP_PKTINFO = 8  # Python 3.11 has no name for it
LATER, LATER_SECONDS = b"later", 0.5
EPHEMERAL = 32768  # replies go to ports from here on; they are no probes

OUTCOME = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "refused",
    errno.EHOSTUNREACH: "prohibited",  # ICMP 3/13
    errno.EACCES: "prohibited",  # ICMPv6 1/1
    errno.EPERM: "prohibited",  # a verdict of this host's own output chain
    errno.ETIMEDOUT: "timeout",
    errno.EAGAIN: "timeout",
}


def outcome(error):
    if isinstance(error, TimeoutError):
        return "timeout"
    return OUTCOME.get(error.errno) or "error " + errno.errorcode.get(error.errno, str(error))


def family_of(address):
    return 6 if ":" in address else 4


# ---- listeners -------------------------------------------------------------------------------------------------


def echo_stream(conn):
    """Whoever begins with LATER gets his words back only after a while: it is the server then who speaks first."""
    with conn:
        try:
            while data := conn.recv(4096):
                if data.startswith(LATER):
                    time.sleep(LATER_SECONDS)
                conn.sendall(data)
        except OSError:
            pass


def serve_tcp(sock):
    while True:
        conn, _ = sock.accept()
        threading.Thread(target=echo_stream, args=(conn,), daemon=True).start()


def serve_udp(sock):
    """Answers from the address that was asked: a host has many."""
    level, option = ((socket.IPPROTO_IP, IP_PKTINFO) if sock.family == socket.AF_INET
                     else (socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO))
    sock.setsockopt(level, option, 1)
    while True:
        try:
            data, ancillary, _, peer = sock.recvmsg(65536, 256)
            sock.sendmsg([data], ancillary, 0, peer)
        except OSError:
            pass  # an ICMP error for an earlier answer


def op_listen(request):
    """Echoes on {proto, family, port}."""
    kind = socket.SOCK_STREAM if request["proto"] == "tcp" else socket.SOCK_DGRAM
    sock = socket.socket(FAMILY[request["family"]], kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.SOCK_DGRAM:  # a test may connect a socket of its own to one peer of this port
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if request["family"] == 6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((request.get("addr", ""), request["port"]))
    if kind == socket.SOCK_STREAM:
        sock.listen(64)
    server = serve_tcp if kind == socket.SOCK_STREAM else serve_udp
    threading.Thread(target=server, args=(sock,), daemon=True).start()
    return {"ok": True}


# ---- probes ----------------------------------------------------------------------------------------------------


def probe_socket(request, kind, proto=0):
    sock = socket.socket(FAMILY[family_of(request["dst"])], kind, proto)
    # Linux ignores an ICMPv6 error that comes back while the connect() still holds the socket, as it does between two
    # namespaces: the answer to the second SYN, one second later, is the one that counts.
    sock.settimeout(request.get("timeout", 1.4))
    if "src" in request:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((request["src"], request.get("sport", 0)))
    return sock


def there(request):
    """Where a probe goes to. A link-local address needs a link: fe80::1%eth0."""
    address, _, link = request["dst"].partition("%")
    port = request.get("port", 0)
    return (address, port, 0, socket.if_nametoindex(link)) if link else (address, port)


def op_tcp(request):
    """Connects to {dst, port}, sends a payload of {size} bytes and wants it back."""
    payload = os.urandom(request.get("size", 16) // 2).hex().encode()
    with probe_socket(request, socket.SOCK_STREAM) as sock:
        sock.connect(there(request))
        sock.sendall(payload)
        answer = b""
        while len(answer) < len(payload) and (more := sock.recv(65536)):
            answer += more
    return {"result": "ok" if answer == payload else "error short"}


def op_udp(request):
    """Sends a datagram of {size} bytes and wants it back."""
    payload = os.urandom(request.get("size", 16) // 2 + 1).hex().encode()[: request.get("size", 16)]
    with probe_socket(request, socket.SOCK_DGRAM) as sock:
        sock.connect(there(request))
        sock.send(payload)
        answer = sock.recv(65536)
    return {"result": "ok" if answer == payload else "error garbled"}


def op_ping(request):
    """One echo request to {dst}, through an unprivileged ping socket."""
    version = family_of(request["dst"])
    proto = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    payload = os.urandom(8)
    with probe_socket(request, socket.SOCK_DGRAM, proto) as sock:
        sock.connect(there(dict(request, port=0)))
        sock.send(struct.pack("!BBHHH", ECHO_REQUEST[version], 0, 0, 0, 1) + payload)
        answer = sock.recv(256)
    return {"result": "ok" if answer.endswith(payload) else "error garbled"}


# ---- a connection that stays open ------------------------------------------------------------------------------

held = {}


def op_hold(request):
    """Opens a connection to {dst, port} and keeps it as {key}."""
    sock = probe_socket(request, socket.SOCK_STREAM)
    sock.connect(there(request))
    held[request["key"]] = sock
    return talk(sock)


def talk(sock, beginning=b""):
    payload = beginning + os.urandom(8).hex().encode()
    sock.sendall(payload)
    answer = sock.recv(len(payload), socket.MSG_WAITALL)
    return {"result": "ok" if answer == payload else "error closed"}


def op_talk(request):
    """Sends on the connection kept as {key} and wants the payload back; {later}: after a while."""
    return talk(held[request["key"]], LATER if request.get("later") else b"")


def op_hold_quiet(request):
    """Opens a connection as op_hold, to a server that waits to speak itself."""
    sock = probe_socket(request, socket.SOCK_STREAM)
    sock.connect(there(request))
    held[request["key"]] = sock
    return {"result": "ok"}


def op_hold_udp(request):
    """The same with a datagram, which a server of op_serve takes for the beginning."""
    sock = probe_socket(request, socket.SOCK_DGRAM)
    sock.connect(there(request))
    sock.send(b"begin")
    held[request["key"]] = sock
    return {"result": "ok"}


def op_await(request):
    """Waits for {timeout} seconds for what the server says on the connection kept as {key}."""
    sock = held[request["key"]]
    sock.setblocking(False)
    try:
        while sock.type == socket.SOCK_DGRAM and sock.recv(64):
            pass  # what came before does not count
    except OSError:
        pass
    sock.settimeout(request.get("timeout", 5))
    return {"result": "ok" if sock.recv(64) == b"from the server" else "error garbled"}


class Server:
    """Takes one connection after the other and says nothing until it is told to."""

    def __init__(self, request):
        self.peers = []
        self.stream = request["proto"] == "tcp"
        self.sock = socket.socket(FAMILY[request["family"]], socket.SOCK_STREAM if self.stream else socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if request["family"] == 6:
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        self.sock.bind(("", request["port"]))
        if self.stream:
            self.sock.listen(16)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                self.peers.append(self.sock.accept()[0] if self.stream else self.sock.recvfrom(64)[1])
            except OSError:
                pass  # an ICMP error for what was said before

    def speak(self):
        for peer in self.peers:
            try:
                if self.stream:
                    peer.sendall(b"from the server")
                else:
                    self.sock.sendto(b"from the server", peer)
            except OSError:
                pass


servers = {}


def op_serve(request):
    """Listens on {proto, family, port} as {key}."""
    servers[request["key"]] = Server(request)
    return {"result": "ok"}


def op_speak(request):
    """The server {key} speaks on all its connections, {times} times, a second between them."""
    for _ in range(request.get("times", 1)):
        servers[request["key"]].speak()
        time.sleep(1)
    return {"result": "ok", "peers": len(servers[request["key"]].peers)}


def op_close(request):
    """Closes the connections whose key begins with {prefix}."""
    for key in [key for key in held if key.startswith(request["prefix"])]:
        held.pop(key).close()
    return {"result": "ok"}


def op_datagrams(request):
    """One datagram from each of {sources} ports to each of {ports} ports of {dst} from {port} on: as many flows."""
    sent = 0
    for _ in range(request["sources"]):
        with probe_socket(request, socket.SOCK_DGRAM) as sock:
            for port in range(request["port"], request["port"] + request["ports"]):
                try:
                    sent += sock.sendto(b"f", (request["dst"], port))
                except OSError:
                    pass  # an ICMP error for an earlier one
    return {"result": "ok", "sent": sent}


def op_refused_flood(request):
    """Datagrams to {dst, port} for {seconds}, as fast as they go."""
    sent, deadline = 0, time.monotonic() + request["seconds"]
    with probe_socket(request, socket.SOCK_DGRAM) as sock:
        while time.monotonic() < deadline:
            for _ in range(64):
                try:
                    sent += sock.sendto(b"f", (request["dst"], request["port"]))
                except OSError:
                    pass
    return {"result": "ok", "sent": sent}


def op_pace(request):
    """Datagrams to the echo at {dst, port}, one every {period} seconds for {seconds}: how many came back, and how fast."""
    times, sent, deadline = [], 0, time.monotonic() + request["seconds"]
    with probe_socket(request, socket.SOCK_DGRAM) as sock:
        sock.connect(there(request))
        while time.monotonic() < deadline:
            payload, started = b"%d" % sent, time.monotonic()
            sock.send(payload)
            sent += 1
            try:
                while sock.recv(64) != payload:
                    pass
                times.append(time.monotonic() - started)
            except TimeoutError:
                pass
            time.sleep(request["period"])
    times.sort()
    return {"result": "ok", "sent": sent, "back": len(times), "p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}


def op_stream(request):
    """Sends {bytes} to the echo at {dst, port} over one connection and takes them back. Tells the seconds."""
    block, left, started = bytes(65536), request["bytes"], time.monotonic()
    with probe_socket(dict(request, timeout=10), socket.SOCK_STREAM) as sock:
        sock.connect(there(request))
        while left > 0:
            sock.sendall(block)
            missing = len(block)
            while missing > 0:
                data = sock.recv(missing)
                if not data:
                    return {"result": "error closed"}
                missing -= len(data)
            left -= len(block)
    return {"result": "ok", "took": time.monotonic() - started}


# ---- senders that never wait -----------------------------------------------------------------------------------


class Spray:
    """Sends a datagram, and starts a TCP connection, to one destination over and over, from its first instruction.

    Errors are what it expects: the interface may not even exist yet.
    """

    def __init__(self, request):
        self.dst, self.udp_port, self.tcp_port = request["dst"], request["udp"], request["tcp"]
        self.period = request.get("period", 0.001)
        self.family = FAMILY[family_of(self.dst)]
        self.udp_reply = self.tcp_open = None
        self.sent = 0
        self.on = True
        threading.Thread(target=self.datagrams, daemon=True).start()
        threading.Thread(target=self.connections, daemon=True).start()

    def datagrams(self):
        sock = socket.socket(self.family, socket.SOCK_DGRAM)
        sock.setblocking(False)
        while self.on:
            try:
                sock.sendto(b"spray", (self.dst, self.udp_port))
                self.sent += 1
            except OSError:
                pass
            try:
                sock.recv(64)
                self.udp_reply = self.udp_reply or time.monotonic()
            except OSError:
                pass
            time.sleep(self.period)

    def connections(self):
        while self.on:
            with socket.socket(self.family, socket.SOCK_STREAM) as sock:
                sock.setblocking(False)
                sock.connect_ex((self.dst, self.tcp_port))
                _, writable, _ = select.select([], [sock], [], 0.004)
                if writable and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    self.tcp_open = self.tcp_open or time.monotonic()
            time.sleep(self.period)


spray = None


def op_spray(request):
    """Starts sending to {dst, udp, tcp}."""
    global spray
    spray = Spray(request)
    return {"ok": True}


def op_sprayed(request):
    """Stops, if {stop}, and tells what came back, in CLOCK_MONOTONIC seconds."""
    spray.on = not request.get("stop", False)
    return {"sent": spray.sent, "udp_reply": spray.udp_reply, "tcp_open": spray.tcp_open}


# ---- what arrived ----------------------------------------------------------------------------------------------


class Sniffer:
    """Remembers each distinct request packet that reached this namespace: when first, how many."""

    def __init__(self):
        self.lock = threading.Lock()
        self.seen = {}
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            data, (interface, ether_type, packet_type, *_) = self.sock.recvfrom(256)
            if packet_type == PACKET_OUTGOING or interface == "lo":
                continue
            key = parse(ether_type, data)
            if key is None:
                continue
            with self.lock:
                entry = self.seen.setdefault(key, [time.monotonic(), 0])
                entry[1] += 1


def parse(ether_type, data):
    """(src, dst, protocol, port or ICMP type) of a packet that starts a flow, else None."""
    if ether_type == 0x0800 and len(data) >= 20:
        proto, at = data[9], (data[0] & 15) * 4
        src, dst = (socket.inet_ntop(socket.AF_INET, data[i : i + 4]) for i in (12, 16))
    elif ether_type == 0x86DD and len(data) >= 40:
        proto, at = data[6], 40
        src, dst = (socket.inet_ntop(socket.AF_INET6, data[i : i + 16]) for i in (8, 24))
    else:
        return None
    upper = data[at:]
    if proto == socket.IPPROTO_TCP and len(upper) >= 14 and upper[13] & 0x12 == 0x02:
        return src, dst, "tcp", struct.unpack_from("!H", upper, 2)[0]
    if proto == socket.IPPROTO_UDP and len(upper) >= 8:
        port = struct.unpack_from("!H", upper, 2)[0]
        return (src, dst, "udp", port) if port < EPHEMERAL else None
    if proto == socket.IPPROTO_ICMP and upper[:1] == b"\x08":
        return src, dst, "icmp", 8
    if proto == socket.IPPROTO_ICMPV6 and upper[:1] == b"\x80":
        return src, dst, "icmpv6", 128
    return None


sniffer = None


def op_sniffed(_request):
    """[[src, dst, proto, port, first, count], …]"""
    with sniffer.lock:
        return {"seen": [[*key, *entry] for key, entry in sniffer.seen.items()]}


def op_forget(_request):
    with sniffer.lock:
        sniffer.seen.clear()
    return {"ok": True}


# ---- requests --------------------------------------------------------------------------------------------------

write_lock = threading.Lock()


def answer(request):
    started = time.monotonic()
    try:
        reply = globals()["op_" + request["op"]](request)
    except OSError as error:
        reply = {"result": outcome(error), "errno": errno.errorcode.get(error.errno)}
    except Exception as error:  # the test must hear of it, whatever it is
        reply = {"result": "error %r" % error}
    reply.update(id=request["id"], seconds=round(time.monotonic() - started, 4))
    with write_lock:
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def main():
    global sniffer
    sniffer = Sniffer()
    for line in sys.stdin:
        threading.Thread(target=answer, args=(json.loads(line),), daemon=True).start()


if __name__ == "__main__":
    main()
