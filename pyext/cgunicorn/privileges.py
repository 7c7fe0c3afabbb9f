# SPDX-License-Identifier: MIT
"""Whom the workers run as. The master keeps its privileges: it must be able to bind ports, to write
its pidfile and to make new workers."""

from __future__ import annotations

import os
import pwd

from cgunicorn.config import Config
from cgunicorn.errors import ConfigError
from cgunicorn.rehearsal import rehearse


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
    """ConfigError when become() would fail in a worker, or when the worker could not store what is
    uploaded. A process that is thrown away tries it: what this one may do depends on more than its
    user."""
    now = (os.geteuid(), os.getegid(), set(os.getgroups()))
    if (config.user, config.group, wanted_groups(config)) == now:
        _check_uploads(config)
    else:
        rehearse(lambda: _try(config), "Changing the user")


def _try(config: Config) -> None:
    before = f"user {os.geteuid()}, group {os.getegid()}"
    try:
        become(config)
    except OSError as error:
        raise ConfigError(
            f"Can't run workers as user {config.user} and group {config.group}:"
            f" {error.strerror} (this is {before})."
        ) from None
    _check_uploads(config)


def _check_uploads(config: Config) -> None:
    folder = config.tmp_upload_dir
    effective = os.access in os.supports_effective_ids
    if folder and not os.access(folder, os.W_OK | os.X_OK, effective_ids=effective):
        raise ConfigError(
            f"Workers, as user {config.user} and group {config.group}, can't write to"
            f" tmp_upload_dir, {folder}."
        )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        raise ConfigError(
            f"initgroups needs the name of user {uid}, and the system knows none."
        ) from None
