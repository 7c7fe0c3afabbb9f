# SPDX-License-Identifier: MIT
"""Clients that are in the way of others, as a process of their own:

    python clients.py idle PORT N           N connections that have had one answer and wait
    python clients.py dribble PORT N        N connections that send a byte of their head each second
    python clients.py repeat PORT N PATH    N connections, each asking for PATH again and again
    python clients.py paced PORT N SECONDS  not in the way: a request every 10 ms, prints how many

Prints "ready" when all are connected, and works until it is killed.
"""

from __future__ import annotations

import resource
import selectors
import signal
import socket
import sys
import time

REQUEST = "GET {} HTTP/1.1\r\nHost: bench\r\n\r\n"
PACE_S = 0.01
#: Within these seconds all must be connected, or a server is taken not to hold them.
CONNECT_S = 20


def connect(port: int) -> socket.socket:
    s = socket.create_connection(("127.0.0.1", port), 20)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask(s: socket.socket, path: str) -> None:
    """One request and its whole answer, whose body is short and has a length."""
    s.sendall(REQUEST.format(path).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = s.recv(65536)
        if not piece:
            raise ConnectionError("closed")
        answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(fields[b"content-length"]) - len(body)
    while left > 0:
        left -= len(s.recv(left)) or left


def ready() -> None:
    signal.alarm(0)
    print("ready", flush=True)


def idle(port: int, n: int) -> None:
    held = []
    for _ in range(n):
        held.append(connect(port))
        ask(held[-1], "/")
    ready()
    time.sleep(3600)


def dribble(port: int, n: int) -> None:
    held = [connect(port) for _ in range(n)]
    for s in held:
        s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nX-Slow: ")
    ready()
    while True:
        time.sleep(1)
        for i, s in enumerate(held):
            try:
                s.sendall(b"x")
            except OSError:  # cut off, as it should be
                held[i] = connect(port)
                held[i].sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nX-Slow: ")


def repeat(port: int, n: int, path: str) -> None:
    waiting = selectors.DefaultSelector()
    request = REQUEST.format(path).encode()
    for _ in range(n):
        s = connect(port)
        s.sendall(request)
        waiting.register(s, selectors.EVENT_READ)
    ready()
    while True:
        for key, _ in waiting.select():
            s = key.fileobj
            if not s.recv(65536):
                waiting.unregister(s)
                s.close()
                s = connect(port)
                waiting.register(s, selectors.EVENT_READ)
            s.sendall(request)


def paced(port: int, n: int, seconds: str) -> None:
    s = connect(port)
    ready()
    due = time.monotonic()
    requests = int(float(seconds) / PACE_S)
    for _ in range(requests):
        due += PACE_S
        time.sleep(max(0.0, due - time.monotonic()))
        ask(s, "/")
    print(requests, flush=True)


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.alarm(CONNECT_S)
    kinds = {"idle": idle, "dribble": dribble, "repeat": repeat, "paced": paced}
    kinds[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
