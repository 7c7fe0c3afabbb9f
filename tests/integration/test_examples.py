# SPDX-License-Identifier: MIT
"""The examples, with the real frameworks, over real sockets, started as their README says."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import Server

Serve = Callable[..., Server]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

MULTIPART = (
    b'--sep\r\nContent-Disposition: form-data; name="title"\r\n\r\nA title\r\n'
    b'--sep\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
    b"Content-Type: text/plain\r\n\r\n" + b"0123456789" * 300_000 + b"\r\n--sep--\r\n"
)


@pytest.fixture
def example(serve: Serve, worker_class: str):
    def start(folder: str, spec: str, *args: str) -> Server:
        return serve(None, "-k", worker_class, "--chdir", str(EXAMPLES / folder), *args, spec=spec)

    return start


def test_every_command_in_the_readme_names_an_example() -> None:
    text = (EXAMPLES / "README.md").read_text()
    for folder in ("hello", "flask_app", "django_app"):
        assert re.search(rf"cgunicorn .*--chdir examples/{folder}|cd examples/{folder}", text)


def test_hello(example) -> None:
    r = example("hello", "app:app").get()
    assert r.status == 200 and b"ello" in r.body


def test_flask_pages_forms_upload_and_stream(example) -> None:
    server = example("flask_app", "app:app")
    assert server.get("/").status == 200
    with server.connect() as client:
        client.send_request(
            "POST",
            "/form",
            "Content-Type: application/x-www-form-urlencoded",
            body=b"name=J%C3%B6rg",
        )
        assert "J\u00f6rg" in client.response().body.decode()
    with server.connect() as client:
        client.send_request(
            "POST", "/upload", "Content-Type: multipart/form-data; boundary=sep", body=MULTIPART
        )
        assert b"3000000" in client.response().body
    r = server.get("/stream")
    assert r.chunks and len(r.chunks) > 1
    assert server.get("/slow?seconds=0.1").status == 200
    assert server.get("/nowhere").status == 404


def test_flask_reads_a_chunked_request_body(example) -> None:
    server = example("flask_app", "app:app")
    body = b"name=chunk"
    with server.connect() as client:
        client.send_request(
            "POST",
            "/form",
            "Content-Type: application/x-www-form-urlencoded",
            "Transfer-Encoding: chunked",
        )
        for i in range(0, len(body), 3):
            part = body[i : i + 3]
            client.send(b"%x\r\n%b\r\n" % (len(part), part))
        client.send(b"0\r\n\r\n")
        assert b"chunk" in client.response().body


def test_django_pages_forms_upload_and_stream(example) -> None:
    server = example("django_app", "wsgi:application")
    assert server.get("/").status == 200, server.log
    with server.connect() as client:
        client.send_request(
            "POST", "/upload", "Content-Type: multipart/form-data; boundary=sep", body=MULTIPART
        )
        r = client.response()
        assert r.status == 200 and b"3000000" in r.body, server.log
    r = server.get("/stream")
    assert r.chunks and len(r.chunks) > 1
    assert server.get("/nowhere").status == 404


def test_workers_share_the_load_of_slow_requests(example) -> None:
    """The lesson of the examples: one worker makes others wait, two do not."""

    def quick_is_first(workers: int, seconds: int) -> bool:
        server = example("flask_app", "app:app", "-w", str(workers), "--log-level", "debug")
        with server.connect() as slow:
            began = time.monotonic()
            slow.send_request("GET", f"/slow?seconds={seconds}")
            server.wait_log(r"\[DEBUG\] GET /slow")
            assert server.get("/").status == 200
            return time.monotonic() - began < seconds

    assert not quick_is_first(1, 3)
    assert quick_is_first(2, 30)
