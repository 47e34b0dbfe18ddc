#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Pest: a client of a control socket that means harm. One way of it, until it is ended.

pest.py SOCKET WAY. Prints "N" four times a second: what it has done so far, in connections or in bytes.
"""
import os
import select
import socket
import sys
import threading
import time

HOLD = 1000
WORKERS = 16

done = 0


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(5)
    sock.connect(path)
    return sock


def send(sock, data):
    global done
    sock.sendall(data)
    done += len(data)


def hold(path):
    """Keeps a thousand connections, and says nothing on any."""
    global done
    kept = []
    while True:
        try:
            kept.append(connect(path))
            done += 1
        except OSError:
            time.sleep(0.01)
        if len(kept) >= HOLD:
            readable, _, _ = select.select(kept[-HOLD:], [], [], 0.05)
            for sock in readable or kept[:1]:
                sock.close()
                kept.remove(sock)


def garbage(path):
    while True:
        with connect(path) as sock:
            send(sock, os.urandom(4000))
            sock.recv(1000)


def headers(path):
    """Headers without an end."""
    with connect(path) as sock:
        send(sock, b"GET /v1/status HTTP/1.1\r\n")
        while True:
            send(sock, b"X-Long: " + b"a" * 1000 + b"\r\n")


def line(path):
    """A first line without an end."""
    with connect(path) as sock:
        send(sock, b"GET /")
        while True:
            send(sock, b"a" * 4096)


def body(path):
    """A body of the largest size that is allowed, as fast as it goes, but for its last byte."""
    size = 32 * 1024 * 1024
    with connect(path) as sock:
        send(sock, b"POST /v1/apply HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(size // 65536 - 1):
            send(sock, b"{" * 65536)
        time.sleep(60)


def chunks(path):
    """A body in chunks, without an end."""
    with connect(path) as sock:
        send(sock, b"POST /v1/apply HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            send(sock, b"1000\r\n" + b"{" * 4096 + b"\r\n")


def drip(path):
    """A request that comes a byte at a time."""
    with connect(path) as sock:
        send(sock, b"POST /v1/apply HTTP/1.1\r\nContent-Length: 30000\r\n\r\n")
        while True:
            send(sock, b"{")
            time.sleep(0.2)


def deaf(path):
    """Asks for all there is, in one go, and never reads."""
    with connect(path) as sock:
        send(sock, b"GET /v1/policy HTTP/1.1\r\n\r\n" * 500)
        send(sock, b"GET /metrics HTTP/1.1\r\n\r\n" * 500)
        time.sleep(60)


def flood(path):
    """Asks again and again, and reads."""
    global done
    request = b"GET /v1/status HTTP/1.1\r\n\r\n"
    with connect(path) as sock:
        while True:
            sock.sendall(request * 8)
            done += 8
            if not sock.recv(65536):
                return


def followers(path):
    """Follows the drops, many times, and never reads."""
    with connect(path) as sock:
        send(sock, b"GET /v1/drops?follow=1 HTTP/1.1\r\n\r\n")
        time.sleep(60)


WAYS = {way.__name__: way for way in (hold, garbage, headers, line, body, chunks, drip, deaf, flood, followers)}


def work(way, path):
    while True:
        try:
            way(path)
        except OSError:
            time.sleep(0.005)


def main():
    path, way = sys.argv[1], WAYS[sys.argv[2]]
    for _ in range(1 if way is hold else WORKERS):
        threading.Thread(target=work, args=(way, path), daemon=True).start()
    while True:
        time.sleep(0.25)
        print(done, flush=True)


if __name__ == "__main__":
    main()
