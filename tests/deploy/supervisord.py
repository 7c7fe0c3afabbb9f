# SPDX-License-Identifier: MIT
"""A real supervisord in a temporary folder, in the foreground: its own configuration, socket and
logs; ended by pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from harness import PATIENCE, alive, children, poll, server_environment

_FRAME = """
[supervisord]
nodaemon=true
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
childlogdir={folder}
{user}
[unix_http_server]
file={folder}/s.sock

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{folder}/s.sock
"""


def _find(program: str) -> str:
    found = shutil.which(program)
    assert found, f"{program} is needed: ./dev test installs it"
    return found


class Supervisord:
    """One supervisord with the program section that is given, whose name is `name`. PATH leads to
    `cgunicorn`."""

    def __init__(self, folder: Path, program: str, name: str = "myapp") -> None:
        self.folder = folder
        self.name = name
        config = folder / "supervisord.conf"
        user = "user=root" if os.geteuid() == 0 else ""
        config.write_text(_FRAME.format(folder=folder, user=user) + program)
        self._control = [_find("supervisorctl"), "-c", str(config)]
        env = server_environment()
        env.pop("PYTHONUNBUFFERED", None)  # else the logs would prove nothing
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        with (folder / "output.log").open("wb") as output:
            self.process = subprocess.Popen(
                [_find("supervisord"), "-c", str(config)],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
            )
        poll(self._is_up, "supervisord answers")

    def _is_up(self) -> bool:
        assert self.process.poll() is None, (self.folder / "output.log").read_text()
        return self.ctl("pid").strip().isdigit()

    def ctl(self, *words: str) -> str:
        """What supervisorctl prints."""
        done = subprocess.run(
            [*self._control, *words],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
        )
        return done.stdout + done.stderr

    @property
    def state(self) -> str:
        """RUNNING, STOPPED, ..."""
        return self.ctl("status", self.name).split()[1]

    @property
    def log(self) -> str:
        return (self.folder / "supervisord.log").read_text()

    def wait_running(self, other_than: int = 0) -> int:
        """Until the program is up; the pid of our master."""

        def running() -> int:
            pid = int(self.ctl("pid", self.name).strip() or 0)
            return pid if self.state == "RUNNING" and pid != other_than else 0

        return int(str(poll(running, "the program runs")))

    def stop(self) -> int:
        """TERM, as from `docker stop`; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        """Ends it and whatever it has started."""
        masters = children(self.process.pid) if self.process.poll() is None else []
        left = [self.process.pid] * (self.process.poll() is None)
        left += [each for pid in masters for each in (pid, *children(pid))]
        for pid in left:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(PATIENCE)
        for pid in left:
            poll(lambda pid=pid: not alive(pid), f"process {pid} ends")
