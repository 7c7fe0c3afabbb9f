# SPDX-License-Identifier: MIT
"""`workers = auto`: the CPUs that a process may use, over made-up files of the kernel's."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cgunicorn import cpus
from harness import Server, run_command

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'']\n"


ONE_CPU = (
    "import os, sys\n"
    "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    "os.execv(sys.executable, [sys.executable, '-m', 'cgunicorn', *sys.argv[1:]])"
)


class Kernel:
    """A folder that looks like /proc/self, and control groups beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.groups = folder / "cgroup-tree"
        self.groups.mkdir()
        self.say("", "")

    def say(self, cgroup: str, mountinfo: str) -> None:
        (self.folder / "cgroup").write_text(cgroup)
        (self.folder / "mountinfo").write_text(
            "22 1 0:20 / /proc rw - proc proc rw\nnonsense\n\n - \n" + mountinfo
        )

    def version_2(self, path: str, top: str = "/") -> None:
        self.say(f"0::{path}\n", f"31 22 0:28 {top} {self.groups} rw,nosuid - cgroup2 cgroup2 rw\n")

    def version_1(self, path: str, top: str = "/") -> None:
        self.say(
            f"4:memory:/x\n2:cpu,cpuacct:{path}\n1:name=systemd:/y\n0::/z\n",
            f"30 22 0:27 / {self.folder} rw - cgroup cgroup rw,memory\n"
            f"31 22 0:28 {top} {self.groups} rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n",
        )

    def set(self, path: str, **files: str) -> None:
        folder = self.groups / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("cpu_", "cpu.")).write_text(text + "\n")

    def usable(self) -> int:
        return cpus.usable(self.folder)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """With eight CPUs."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return Kernel(tmp_path)


def test_without_control_groups_the_affinity_mask_counts(kernel: Kernel) -> None:
    assert kernel.usable() == 8
    assert cpus.usable(kernel.folder / "absent") == 8


def test_without_masks_the_machines_cpus_count(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert kernel.usable() == 3


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("100001 100000", 2),
        ("1000 100000", 1),
        ("25000 10000", 3),
        ("6400000 100000", 8),
        ("0 100000", 8),
        ("100000 0", 8),
        ("100000", 8),
        ("many few", 8),
        ("", 8),
    ],
)
def test_a_quota_is_rounded_up(kernel: Kernel, text: str, n: int) -> None:
    kernel.version_2("/")
    kernel.set("", cpu_max=text)
    assert kernel.usable() == n


def test_the_smallest_quota_of_all_groups_above_counts(kernel: Kernel) -> None:
    kernel.version_2("/kube/pod/app")
    kernel.set("kube", cpu_max="500000 100000")
    kernel.set("kube/pod", cpu_max="300000 100000")
    kernel.set("kube/pod/app", cpu_max="max 100000")
    kernel.set("kube/other", cpu_max="100000 100000")
    assert kernel.usable() == 3


def test_a_group_is_found_below_the_one_that_is_mounted(kernel: Kernel) -> None:
    kernel.version_2("/docker/abc/app", top="/docker/abc")
    kernel.set("app", cpu_max="200000 100000")
    assert kernel.usable() == 2


@pytest.mark.parametrize("path", ["/elsewhere", "/../outside", "/docker/abcdef"])
def test_a_group_outside_of_the_mount_is_what_is_mounted(kernel: Kernel, path: str) -> None:
    kernel.version_2(path, top="/docker/abc")
    kernel.set("", cpu_max="200000 100000")
    assert kernel.usable() == 2


@pytest.mark.parametrize(("quota", "n"), [("-1", 8), ("250000", 3), ("nonsense", 8)])
def test_version_1_has_two_files(kernel: Kernel, quota: str, n: int) -> None:
    kernel.version_1("/app")
    kernel.set("app", cpu_cfs_quota_us=quota, cpu_cfs_period_us="100000")
    assert kernel.usable() == n


def test_auto_is_a_number_of_workers(serve: Callable[..., Server]) -> None:
    serve(APP, "-w", "auto").wait_workers(cpus.usable())


def test_auto_is_one_worker_on_one_cpu(serve: Callable[..., Server]) -> None:
    server = serve(APP, "-w", "auto", command=[sys.executable, "-c", ONE_CPU])
    server.wait_log("Booting worker with pid")
    assert server.get().status == 200
    assert len(server.workers()) == 1


@pytest.mark.parametrize("variable", ["WEB_CONCURRENCY", "CGUNICORN_WORKERS"])
def test_auto_may_be_said_everywhere(tmp_path: Path, variable: str) -> None:
    (tmp_path / "app.py").write_text(APP)
    shown = run_command(tmp_path, "--print-config", "app:app", env={variable: "Auto"})
    assert shown.returncode == 0, shown.stderr
    n = next(line for line in shown.stdout.splitlines() if line.startswith("workers "))
    assert 1 <= int(n.partition("=")[2]) <= (os.cpu_count() or 1)
