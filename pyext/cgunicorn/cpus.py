# SPDX-License-Identifier: MIT
"""How many CPUs this process may use: what `workers = auto` means.

A container's limit is no smaller number of CPUs but a quota of their time, which the kernel
enforces on the process's control group and on all groups above it. It is read from cpu.max
(version 2) or cpu.cfs_quota_us (version 1). Files that are missing or make no sense limit nothing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc/self")


def usable(proc: Path = _PROC) -> int:
    """At least 1. `proc` is where to find the process's `cgroup` and `mountinfo`."""
    allowed = _in_affinity_mask()
    return max(1, min(allowed, math.ceil(min(_quotas(proc), default=allowed))))


def _in_affinity_mask() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system has masks
        return os.cpu_count() or 1


def _quotas(proc: Path) -> Iterator[float]:
    """The quotas of the process's groups and of those above them, in CPUs."""
    groups = dict(_groups(proc))
    for kind, top, mounted in _hierarchies(proc):
        if kind not in groups:
            continue
        for folder in _up(mounted, _below(top, groups[kind])):
            quota = _quota(folder)
            if quota:
                yield quota


def _groups(proc: Path) -> Iterator[tuple[str, str]]:
    """The path of the process's group by the type of file system that holds it, where that knows
    of CPUs: cgroups(7)."""
    for line in _lines(proc / "cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0":
            yield "cgroup2", path
        elif "cpu" in controllers.split(","):
            yield "cgroup", path


def _hierarchies(proc: Path) -> Iterator[tuple[str, str, Path]]:
    """Type, the group that is mounted, and where: proc_pid_mountinfo(5)."""
    for line in _lines(proc / "mountinfo"):
        mount, _, file_system = line.partition(" - ")
        fields, (kind, *options) = mount.split(), file_system.split() or ("",)
        is_version_1 = kind == "cgroup" and "cpu" in ",".join(options).split(",")
        if len(fields) > 4 and (kind == "cgroup2" or is_version_1):
            yield kind, fields[3], Path(fields[4])


def _below(top: str, path: str) -> str:
    """The path of a group from the group that is mounted. One outside of it is of another
    namespace's making: the process is then in what is mounted."""
    prefix = top.rstrip("/") + "/"
    return path[len(prefix) :] if path.startswith(prefix) and ".." not in path else ""


def _up(mounted: Path, path: str) -> Iterator[Path]:
    """The folder of a group and those of all groups above it, as far as they are mounted."""
    folder = mounted / path
    yield folder
    for _ in Path(path).parts:
        folder = folder.parent
        yield folder


def _quota(folder: Path) -> float | None:
    """CPUs, or None for no limit."""
    words = " ".join(_lines(folder / "cpu.max")).split()
    if not words:
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [line for name in files for line in _lines(folder / name)]
    try:
        quota_us, period_us = map(int, words)  # "max" and -1 stand for no limit
    except ValueError:
        return None
    return quota_us / period_us if quota_us > 0 and period_us > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
