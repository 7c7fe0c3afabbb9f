# SPDX-License-Identifier: MIT
"""A real nginx in a temporary folder: its own configuration, logs, pid and port; ended by pid."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from harness import PATIENCE, Client, alive, poll

_FRAME = """
daemon off;
master_process on;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
{user}
events {{ worker_connections 512; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/client_body;
    proxy_temp_path {folder}/proxy;
    uwsgi_temp_path {folder}/uwsgi;
    fastcgi_temp_path {folder}/fastcgi;
    scgi_temp_path {folder}/scgi;
    {http}
}}
"""

#: The address of a site, in whose place ours goes.
_LISTEN = re.compile(r"^( *listen) [0-9.:]+;", re.MULTILINE)


def find_nginx() -> str:
    """The program; not in every user's PATH."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    assert found, "nginx is needed: ./dev test installs it"
    return found


def stock_params() -> str:
    """The uwsgi_params of the installed nginx."""
    return "include /etc/nginx/uwsgi_params;"


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _use_stock_files(folder: Path) -> None:
    """What a site may include by its name alone, as in /etc/nginx."""
    for name in ("uwsgi_params", "mime.types"):
        (folder / name).symlink_to(Path("/etc/nginx") / name)


class Nginx:
    """One nginx with one server block on 127.0.0.1:port. `server` and `http` are configuration
    within those blocks; `site` is a whole file for conf.d instead, with a port of its own that
    gives way to ours. A port that somebody has taken meanwhile is replaced by another."""

    def __init__(self, folder: Path, server: str = "", http: str = "", site: str = "") -> None:
        folder.mkdir(exist_ok=True)
        _use_stock_files(folder)
        self.folder = folder
        site = site or f"{http}\nserver {{\n    listen 80;\n    {server}\n}}\n"
        for _ in range(5):
            self.port = _free_port()
            config = folder / "nginx.conf"
            config.write_text(
                _FRAME.format(
                    folder=folder,
                    user="user root;" if os.geteuid() == 0 else "",
                    http=_LISTEN.sub(rf"\1 127.0.0.1:{self.port};", site),
                )
            )
            with (folder / "output.log").open("wb") as output:
                self.process = subprocess.Popen(
                    [find_nginx(), "-e", str(folder / "error.log"), "-c", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            if poll(self._settled, "nginx serves or ends") == "serves":
                return
        raise AssertionError((folder / "error.log").read_text())

    def _settled(self) -> str:
        if self.process.poll() is not None:
            assert "Address already in use" in self.errors, self.errors
            return "ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except ConnectionRefusedError:
            return ""
        return "serves"

    @property
    def errors(self) -> str:
        return (self.folder / "error.log").read_text(errors="replace")

    def complaints(self) -> list[str]:
        """What nginx found wrong with us."""
        return re.findall(r".*\[(?:error|crit|alert|emerg)\].*", self.errors)

    def connect(self, timeout: float = PATIENCE) -> Client:
        return Client(socket.create_connection(("127.0.0.1", self.port), timeout))

    def close(self) -> None:
        """Ends the master, and with it the worker."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE)
        for pid in workers:
            poll(lambda pid=pid: not alive(pid), f"nginx worker {pid} ends")
