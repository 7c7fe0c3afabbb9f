# SPDX-License-Identifier: MIT
"""What the integration tests share: a server process and a client that sees every byte.

Nothing here waits for luck: ports are chosen by the kernel and read from the log, conditions are
polled with a deadline, processes are ended by pid.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Seconds after which a condition that must come true is taken to have failed. Generous: it is
#: only ever reached by a failing test, and sanitizers make everything slow.
PATIENCE = 60.0

#: Seconds that a stop may take. Less than what a stop would take that ends by graceful_timeout's or
#: timeout's default only.
STOP_PATIENCE = 25.0

#: Seconds for which those who outlive a server may still write into its log, as the new master
#: of an upgrade does.
SURVIVORS_S = 5.0

#: Arguments for a request that may last a second: the boot of a worker may last longer, as it
#: does on a busy machine.
SHORT_TIMEOUT = ("--timeout", "1", "--boot-timeout", "60")

#: The interpreter, the servers' too, has no lock that one thread could keep from the others.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

LISTENING = r"Listening at: (.*) \(\d+\)"


def poll(condition: Callable[[], object], what: str, timeout: float = PATIENCE) -> object:
    """Calls condition until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(0.01)


def server_environment() -> dict[str, str]:
    """The environment of a server under test: ours, without settings of the person's own shell,
    plus the lines of CGUNICORN_TEST_ENV (how the sanitizer run injects its libraries)."""
    drop = ("GUNICORN_", "CGUNICORN_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    for name in ("PORT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "SENDFILE"):
        env.pop(name, None)
    for line in os.environ.get("CGUNICORN_TEST_ENV", "").splitlines():
        name, _, value = line.partition("=")
        env[name] = value
    return env


def run_command(
    directory: Path, *args: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `cgunicorn ARGS` to its end (it must end by itself)."""
    return subprocess.run(
        [sys.executable, "-m", "cgunicorn", *args],
        cwd=directory,
        env={**server_environment(), **(env or {})},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=2 * PATIENCE,
    )


def refused(directory: Path, *args: str) -> str:
    """Runs a server that must not start and leaves nothing behind; returns what it said, which must
    be no traceback. Its address, unless the arguments say one, is a free port."""
    (directory / "app.py").write_text("def app(environ, start_response):\n    return []\n")
    before = {p.name for p in directory.iterdir()}
    done = run_command(directory, *args, "app:app", env={"CGUNICORN_BIND": "127.0.0.1:0"})
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text
    assert {p.name for p in directory.iterdir()} - before <= {"__pycache__"}
    return text


def children(pid: int) -> list[int]:
    """The pids of a process's children, oldest first."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(p) for p in text.split()]


def descriptors(pid: int) -> dict[int, str]:
    """What a process has open. What is closed while this looks may be missing; so is everything
    of a process that has ended."""
    found = {}
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[int(path.name)] = str(path.readlink())
    return found


def alive(pid: int) -> bool:
    """True while a process exists and is not a zombie. Whose first thread alone is one has threads
    that are still ending, and is its children's parent until they have."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        is_zombie = stat.rpartition(")")[2].split()[0] == "Z"
        return not is_zombie or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def catches(pid: int, signum: int) -> bool:
    """Whether a process has a handler for a signal."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        status = Path(f"/proc/{pid}/status").read_text()
        if found := re.search(r"^SigCgt:\s+([0-9a-f]+)$", status, re.MULTILINE):
            return bool(int(found.group(1), 16) >> (signum - 1) & 1)
    return False


def listens_at(path: Path) -> bool:
    """Whether somebody listens at a socket file, which is there a moment before."""
    with socket.socket(socket.AF_UNIX) as sock:
        return sock.connect_ex(str(path)) == 0


def _write_app(path: Path, source: str) -> None:
    """A server that was started in this folder before may be about to load it."""
    if not path.exists() or path.read_text() != source:
        new = path.with_name("app.py~")
        new.write_text(source)
        new.replace(path)


class Server:
    """One running `cgunicorn`. The bind is 127.0.0.1 with a port of the kernel's choice unless
    `bind` says otherwise; everything it prints lands in `self.log_path`."""

    def __init__(
        self,
        directory: Path,
        app: str | None,
        args: Sequence[str] = (),
        *,
        bind: str | Sequence[str] = "127.0.0.1:0",
        spec: str = "app:app",
        env: dict[str, str] | None = None,
        command: Sequence[str] | None = None,
        wait: bool = True,
    ) -> None:
        self.directory = directory
        if app is not None:
            _write_app(directory / "app.py", app)
        self.log_path = directory / f"server-{len(list(directory.glob('server-*.log')))}.log"
        binds = [bind] if isinstance(bind, str) else list(bind)
        command = list(command or (sys.executable, "-m", "cgunicorn"))
        for b in binds:
            command += ["-b", b]
        command += [*args, *([spec] if spec else [])]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**server_environment(), **(env or {})},
                start_new_session=True,
            )
        self.pid = self.process.pid
        self.port = 0
        if wait:
            self.wait_listening()

    def wait_listening(self) -> None:
        """Waits for the listening line and takes the first TCP port from it."""
        self._take_port(self.wait_log(LISTENING))

    def wait_listening_in(self, path: Path) -> None:
        """The same when the server logs into a file of its own."""
        found = poll(
            lambda: path.exists() and re.search(LISTENING, path.read_text(errors="replace")),
            f"a listening line in {path}",
        )
        self._take_port(found)  # type: ignore[arg-type]

    def _take_port(self, line: re.Match[str]) -> None:
        found = re.search(r"http://(?:[^,\s]*):(\d+)", line.group(1))
        if found:
            self.port = int(found.group(1))

    # The log.

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def wait_log(self, pattern: str, timeout: float = PATIENCE, count: int = 1) -> re.Match[str]:
        """Waits until the log holds `count` matches and returns the last of them."""

        given_up_s: list[float] = []

        def look() -> re.Match[str] | None:
            has_ended = self.process.poll() is not None
            log = self.log
            whole = log if has_ended else log[: log.rfind("\n") + 1]
            found = list(re.finditer(pattern, whole))
            if len(found) >= count:
                return found[-1]
            if has_ended and not given_up_s:
                given_up_s.append(time.monotonic() + SURVIVORS_S)
            if given_up_s and time.monotonic() > given_up_s[0]:
                raise AssertionError(f"server ended before {pattern!r}:\n{log}")
            return None

        try:
            return poll(look, f"log line {pattern!r}", timeout)  # type: ignore[return-value]
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log}") from None

    # Processes.

    def workers(self) -> list[int]:
        """The pids of the living workers."""
        return [p for p in children(self.pid) if alive(p)]

    def wait_workers(self, n: int) -> list[int]:
        """Waits until exactly n workers live, and returns their pids."""
        found: list[int] = []

        def look() -> bool:
            found[:] = self.workers()
            return len(found) == n

        try:
            poll(look, f"{n} workers")
        except AssertionError as e:
            raise AssertionError(f"{e}, there are {found}\n{self.log}") from None
        return found

    def send_signal(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def wait(self, timeout: float = STOP_PATIENCE) -> int:
        """Waits for the end of the server and returns its exit code."""
        return self.process.wait(timeout)

    def wait_refused(self) -> None:
        """Waits until nobody listens at the port: the master has closed it, and so has each worker,
        which has begun to stop then."""

        def refuses() -> bool:
            try:
                self.connect().close()
            except (ConnectionRefusedError, ConnectionResetError):
                return True
            return False

        poll(refuses, "nobody listens")

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Asks the server to stop and returns its exit code."""
        self.send_signal(signum)
        return self.wait()

    def close(self) -> None:
        """Ends whatever is left, master first so that nothing is started anew."""
        left = [self.pid, *children(self.pid)] if self.process.poll() is None else []
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        for pid in left:
            poll(lambda pid=pid: not alive(pid), f"process {pid} ends")

    # Clients.

    def connect(self, timeout: float = PATIENCE) -> Client:
        return Client(socket.create_connection(("127.0.0.1", self.port), timeout))

    def connect_unix(self, path: str, timeout: float = PATIENCE) -> Client:
        """A connection to a socket file in the server's directory."""
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(str(self.directory / path))
        return Client(sock)

    def get(self, target: str = "/", *fields: str) -> Response:
        """One GET on a connection of its own."""
        with self.connect() as client:
            client.send_request("GET", target, *fields)
            return client.response()

    def raw(self, data: bytes) -> bytes:
        """Sends bytes, ends the sending side, and returns everything until the server closes."""
        with self.connect() as client:
            client.send(data)
            client.shut()
            return client.rest()


@dataclass
class Response:
    """One HTTP response as it came off the wire."""

    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    body: bytes
    chunks: list[bytes] | None = None

    def field(self, name: str) -> str | None:
        """The value of a field that may occur once; None when it is absent."""
        values = [v for n, v in self.fields if n.lower() == name.lower()]
        assert len(values) <= 1, f"{name} occurs {len(values)} times"
        return values[0] if values else None


class Client:
    """A client socket with a buffered reader that parses responses strictly."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.reader = sock.makefile("rb")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.reader.close()
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Sends everything; a server that has already closed is not an error here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.sock.sendall(data)

    def send_pieces(self, pieces: Sequence[bytes]) -> None:
        """Sends each piece in a segment of its own, and lets a short one be seen alone."""
        if self.sock.family != socket.AF_UNIX:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i, piece in enumerate(pieces):
            if i == 1:
                time.sleep(0.002)
            self.send(piece)

    def send_request(self, method: str, target: str = "/", *fields: str, body: bytes = b"") -> None:
        lines = [f"{method} {target} HTTP/1.1", "Host: test.example", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def shut(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def rest(self) -> bytes:
        """Everything until the end of the connection; a reset counts as the end."""
        data = b""
        with contextlib.suppress(ConnectionResetError):
            while part := self.reader.read1(65536):
                data += part
        return data

    def line(self) -> bytes:
        line = self.reader.readline()
        if not line.endswith(b"\r\n"):
            raise EOFError(f"connection ended inside a line: {line!r}")
        return line[:-2]

    def head(self) -> Response:
        """Reads a status line and the fields, no body."""
        version, _, rest = self.line().decode("latin-1").partition(" ")
        assert re.fullmatch(r"HTTP/1\.[01]", version), version
        status, _, reason = rest.partition(" ")
        fields = []
        while line := self.line().decode("latin-1"):
            name, colon, value = line.partition(":")
            assert colon and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name), line
            fields.append((name, value.strip(" \t")))
        return Response(version, int(status), reason, fields, b"")

    def response(self, method: str = "GET") -> Response:
        """Reads one whole response by RFC 9112 section 6.3; EOFError when it is cut short."""
        r = self.head()
        if method == "HEAD" or r.status in (204, 304) or r.status < 200:
            return r
        if r.field("transfer-encoding"):
            assert r.field("content-length") is None
            r.chunks = list(self._chunks())
            r.body = b"".join(r.chunks)
        elif (length := r.field("content-length")) is not None:
            r.body = self.reader.read(int(length))
            if len(r.body) < int(length):
                raise EOFError(f"{len(r.body)} of {length} bytes")
        else:
            r.body = self.reader.read()
        return r

    def responses(self) -> list[Response]:
        """Reads responses (to anything but HEAD) until the server closes. Between two of them a
        reset counts as the end."""
        found = []
        while True:
            try:
                if not self.reader.peek(1):
                    return found
            except ConnectionResetError:
                return found
            found.append(self.response())

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.line(), 16):
            data = self.reader.read(size)
            if len(data) < size or self.reader.read(2) != b"\r\n":
                raise EOFError("connection ended inside a chunk")
            yield data
        assert self.line() == b""

    def at_end(self) -> bool:
        """True when the server has closed (waits for it)."""
        try:
            return self.reader.read1(1) == b""
        except ConnectionResetError:
            return True


def answer(
    serve: Callable[..., Server],
    worker_class: str,
    body: str,
    method: str = "GET",
    prelude: str = "",
) -> tuple[Response, Server]:
    """Serves an application whose function body is given; returns response and server."""
    lines = "\n".join("    " + line for line in body.strip("\n").splitlines())
    server = serve(
        f"import sys\n{prelude}\ndef app(environ, start_response):\n{lines}\n",
        "-k",
        worker_class,
    )
    with server.connect() as client:
        client.send_request(method)
        return client.response(method), server
