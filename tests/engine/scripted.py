# SPDX-License-Identifier: GPL-2.0-or-later
"""Scripted: an engine's socket that does what it is told to, right or wrong.

It answers as Docker does as long as its script is empty. A script is {what: behaviour}: `what` is version, list, inspect,
events or any; a behaviour is a function of (engine, connection, path) that does what it likes with the connection. MISDEEDS
is the list of scripts.
"""
import contextlib
import hashlib
import json
import os
import socket
import struct
import threading
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BILLION = 1 << 30


class ScriptedEngine:
    def __init__(self, path, name, pid):
        self.path, self.url = path, "unix://" + path
        self.name, self.pid = name, pid
        self.id = hashlib.sha256(name.encode()).hexdigest()
        self.labels = {"io.microseg.env": "prod", "io.microseg.service": "web"}
        self.script = {}
        self.met = 0  # how often the script was followed
        self.looks = 0
        self.lock = threading.Lock()
        self.streams, self.connections = [], set()
        self.accepting = threading.Event()
        self.accepting.set()
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(path)
        self.server.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- what the test does ----

    def misbehave(self, script):
        """From now on by the script, and everything that is open is cut."""
        self.script = script
        if "accept" in script:
            self.accepting.clear()
            self.met += 1
        self.cut()

    def behave(self):
        self.script = {}
        self.accepting.set()
        self.cut()

    def cut(self):
        with self.lock:
            connections = list(self.connections)
            self.streams.clear()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def event(self, action, identifier=None, kind="container"):
        line = json.dumps({"Type": kind, "Action": action, "Actor": {"ID": identifier or self.id, "Attributes": {}}})
        self.write((line + "\n").encode())

    def write(self, data):
        with self.lock:
            streams = list(self.streams)
        for stream in streams:
            with contextlib.suppress(OSError):
                stream.sendall(data)

    # ---- what the daemon sees ----

    def document(self, **changes):
        return dict({
            "Id": self.id, "Name": "/" + self.name,
            "State": {"Running": True, "Pid": self.pid, "StartedAt": "2026-01-01T00:00:00Z"},
            "Config": {"Image": "scripted:1", "Labels": self.labels},
            "HostConfig": {"NetworkMode": "bridge"}, "NetworkSettings": {"Networks": {}}}, **changes)

    def _accept(self):
        while True:
            self.accepting.wait()
            connection, _ = self.server.accept()
            with self.lock:
                self.connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            request = b""
            while b"\r\n\r\n" not in request:
                data = connection.recv(65536)
                if not data:
                    return
                request += data
            path = request.split()[1].decode()
            what = kind_of(path)
            behaviour = self.script.get(what) or self.script.get("any")
            if behaviour:
                self.met += 1
                behaviour(self, connection, path)
            else:
                self.answer(connection, what, path)
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(connection)
                if connection in self.streams:
                    self.streams.remove(connection)
            connection.close()

    def answer(self, connection, what, path):
        if what == "events":
            self.stream(connection)
            return
        self.looks += what == "inspect"
        body = {"version": {"Version": "1", "ApiVersion": "1.41", "Components": []},
                "info": {"SecurityOptions": []}, "networks": [],
                "list": [{"Id": self.id}]}.get(what)
        if what == "inspect" and self.id in path:
            body = self.document()
        say(connection, body, 404 if body is None else 200)

    def stream(self, connection):
        connection.sendall(HEAD + b"\r\n")
        with self.lock:
            self.streams.append(connection)
        while connection.recv(64):
            pass


def kind_of(path):
    path = path.split("?")[0]
    for end, what in (("/version", "version"), ("/info", "info"), ("/networks", "networks"), ("/events", "events"),
                      ("/containers/json", "list")):
        if path.endswith(end):
            return what
    return "inspect"


def say(connection, body, status=200):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % (status, len(data)) + data)


# ---- behaviours --------------------------------------------------------------------------------------------------


def silence(_engine, connection, _path):
    while connection.recv(64):
        pass


def body(data):
    """A whole answer with this body."""
    return lambda _engine, connection, _path: say(connection, data)


def raw(data):
    """These bytes and the end of the connection."""
    return lambda _engine, connection, _path: connection.sendall(data)


def half_a_body(engine, connection, path):
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n[{\"Id\":")
    silence(engine, connection, path)


def drip(_engine, connection, _path):
    connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.2)


def endless(prefix, chunk):
    """Sends until it is stopped, a gigabyte at most."""
    def send(_engine, connection, _path):
        connection.sendall(prefix)
        for _ in range(BILLION // len(chunk)):
            connection.sendall(chunk)
    return send


def huge_label(engine, connection, _path):
    text = json.dumps(engine.document(Config={"Image": "", "Labels": {"big": "@"}}))
    before, after = text.encode().split(b"@")
    connection.sendall(HEAD + b"\r\n" + before)
    for _ in range(BILLION >> 16):
        connection.sendall(b"x" * 65536)
    connection.sendall(after)


def document(**changes):
    """The container, with other facts."""
    return lambda engine, connection, _path: say(connection, engine.document(**changes))


def text_document(old, new):
    """The container as text with one part replaced, which json would not write."""
    def send(engine, connection, _path):
        say(connection, json.dumps(engine.document()).encode().replace(old, new))
    return send


def labels(data):
    return text_document(b'{"io.microseg.env": "prod", "io.microseg.service": "web"}', data)


def other_id(engine, connection, path):
    """Another container than the one asked for."""
    say(connection, engine.document(Id="f" * 64))


def other_process(engine, connection, path):
    """Each look shows another start of the same process: its pid may be somebody else's by now."""
    engine.looks += 1
    say(connection, engine.document(State={"Running": True, "Pid": engine.pid, "StartedAt": "t%d" % engine.looks}))


def dead_process(_engine, connection, _path):
    process = os.fork()
    if process == 0:
        os._exit(0)
    os.waitpid(process, 0)
    say(connection, _engine.document(State={"Running": True, "Pid": process, "StartedAt": "t"}))


def die_mid_list(engine, connection, _path):
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n[{\"Id\":\"" + engine.id.encode())
    engine.cut()


def flood(make):
    """A stream of events that never rests."""
    def send(engine, connection, _path):
        connection.sendall(HEAD + b"\r\n")
        number = 0
        while True:
            connection.sendall(b"".join(make(engine, number + i) for i in range(50)))
            number += 50
            time.sleep(0.02)
    return send


def event_line(action, identifier):
    return (json.dumps({"Type": "container", "Action": action, "Actor": {"ID": identifier}}) + "\n").encode()


def unknown_event(_engine, number):
    return event_line("start", hashlib.sha256(str(number).encode()).hexdigest())


def repeated_event(engine, _number):
    return event_line("start", engine.id)


def reordered_event(engine, number):
    return event_line(("die", "destroy", "start", "create")[number % 4], engine.id)


def lost_events(engine, connection, _path):
    """The stream is open and says nothing, whatever happens."""
    engine.stream(connection)


def reset(_engine, connection, _path):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NOT_FOUND = HEAD.replace(b"200 OK", b"500 Internal Server Error") + b"Content-Length: 2\r\n\r\n{}"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"

MISDEEDS = {
    "accepts nobody": {"accept": True},
    "hangs before the head": {"any": silence},
    "hangs in the body": {"list": half_a_body},
    "drips": {"list": drip},
    "cut short": {"list": raw(HEAD + b"Content-Length: 1000\r\n\r\n[]")},
    "1 GB of body": {"list": endless(HEAD + b"\r\n[", b" " * 65536)},
    "1 GB of head": {"list": endless(b"HTTP/1.1 200 OK\r\n", b"X-Y: " + b"z" * 1000 + b"\r\n")},
    "1 GB of one label": {"inspect": huge_label},
    "10,000 levels deep": {"inspect": body(b"[" * 10000 + b"]" * 10000)},
    "five million empty lists": {"list": body(b"[" + b"[]," * 5000000 + b"[]]")},
    "100,000 containers": {"list": body(json.dumps([{"Id": "%064x" % i} for i in range(100000)]).encode())},
    "a NUL in a label": {"inspect": labels(b'{"io.microseg.env": "dev\\u0000"}')},
    "bytes that are no UTF-8": {"inspect": labels(b'{"io.microseg.env": "dev\xff\xfe"}')},
    "overlong UTF-8": {"inspect": labels(b'{"io.microseg.env": "\xf0\x80\x81\xa4ev", "io.microseg.service": "\xc1\xb7eb"}')},
    "a label of 1 MB": {"inspect": labels(b'{"io.microseg.env": "' + b"dev" * 350000 + b'"}')},
    "a lone surrogate": {"inspect": labels(b'{"io.microseg.env": "dev\\ud800"}')},
    "a label twice": {"inspect": labels(b'{"io.microseg.env": "prod", "io.microseg.env": "dev"}')},
    "a pid of 1e999": {"inspect": text_document(b'"Pid": ', b'"Pid": 1e999, "Was": ')},
    "a negative pid": {"inspect": text_document(b'"Pid": ', b'"Pid": -1, "Was": ')},
    "another container's answer": {"inspect": other_id},
    "a dead process": {"inspect": dead_process},
    "a process that may be another": {"inspect": other_process},
    "dies while it lists": {"list": die_mid_list},
    "a length too short": {"list": raw(HEAD + b"Content-Length: 1\r\n\r\n[]")},
    "a broken chunk": {"list": raw(CHUNKED + b"zz\r\n[]\r\n0\r\n\r\n")},
    "an endless chunk": {"list": raw(CHUNKED + b"ffffffffffffffff\r\n[]")},
    "a redirect": {"any": raw(REDIRECT)},
    "status 500": {"any": raw(NOT_FOUND)},
    "no HTTP at all": {"any": raw(b"220 mail.example.org ESMTP\r\n")},
    "a reset": {"any": reset},
    "one endless event": {"events": endless(HEAD + b"\r\n", b"x" * 65536)},
    "events of unknown containers": {"events": flood(unknown_event)},
    "the same event again and again": {"events": flood(repeated_event)},
    "events out of order": {"events": flood(reordered_event)},
    "events that never come": {"events": lost_events},
    "events that are no JSON": {"events": raw(HEAD + b"\r\nhello\n")},
}
