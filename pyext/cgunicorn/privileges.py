# SPDX-License-Identifier: MIT
"""Whom the workers run as. The master keeps its privileges: it must be able to bind ports, to write
its pidfile and to make new workers."""

from __future__ import annotations

import os
import pwd

from cgunicorn.config import Config
from cgunicorn.errors import ConfigError


def become(config: Config) -> None:
    """Makes this process run as `user` and `group`. OSError when it may not.

    Whoever becomes another also gives up the supplementary groups of the one before, which are
    root's most of the time and would keep files open to the application that are closed to its
    user; `initgroups` gives it those of the new user."""
    groups = wanted_groups(config)
    if groups != set(os.getgroups()):
        os.setgroups(sorted(groups))
    if config.group != os.getegid():
        os.setgid(config.group)
    if config.user != os.geteuid():
        os.setuid(config.user)


def wanted_groups(config: Config) -> set[int]:
    """The supplementary groups of a worker. ConfigError."""
    if config.initgroups:
        return set(os.getgrouplist(_name(config.user), config.group))
    if (config.user, config.group) == (os.geteuid(), os.getegid()):
        return set(os.getgroups())
    return {config.group}


def check(config: Config) -> None:
    """ConfigError when become() would fail in a worker. A process that is thrown away tries it:
    what this one may do depends on more than its user."""
    now = (os.geteuid(), os.getegid(), set(os.getgroups()))
    if (config.user, config.group, wanted_groups(config)) == now:
        return
    pid = os.fork()
    if pid == 0:
        os._exit(_try(config))
    failure = os.WEXITSTATUS(os.waitpid(pid, 0)[1])
    if failure:
        raise ConfigError(
            f"Can't run workers as user {config.user} and group {config.group}:"
            f" {os.strerror(failure)} (this is user {os.geteuid()}, group {os.getegid()})."
        )


def _try(config: Config) -> int:
    """0 or the errno."""
    try:
        become(config)
    except OSError as error:
        return error.errno or 1
    return 0


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise ConfigError(
            f"initgroups needs the name of user {uid}, and the system knows none."
        ) from None
