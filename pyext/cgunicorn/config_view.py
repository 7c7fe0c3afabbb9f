# SPDX-License-Identifier: MIT
"""A configuration as code written for Gunicorn asks it: beside the values of the settings, what
follows from them, under the names of Gunicorn's Config."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cgunicorn import _cgunicorn
from cgunicorn.errors import shown, user_place
from cgunicorn.settings import SETTINGS, Setting
from cgunicorn.settings.row import SSL

if TYPE_CHECKING:
    from ipaddress import IPv4Network, IPv6Network


class SettingOf:
    """A setting of a configuration: get(), set(), and what its row says: name, default, section
    ..."""

    def __init__(self, cfg: ConfigView, row: Setting) -> None:
        self._cfg = cfg
        self._row = row

    def get(self) -> Any:
        return self._cfg.value_of(self._row.name)

    def set(self, value: object) -> None:
        self._cfg.set(self._row.name, value)

    @property
    def value(self) -> Any:
        return self.get()

    @property
    def cli(self) -> list[str] | None:
        """Its flags."""
        return list(self._row.flags) or None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._row, name)


class ConfigView:
    """Base of what holds the values, as attributes."""

    def value_of(self, name: str) -> Any:
        """The value of a setting itself, whatever follows from it."""
        raise NotImplementedError

    def set(self, name: str, value: object) -> None:
        """AttributeError for an unknown name, ValueError for a value that is not valid."""
        raise NotImplementedError

    @property
    def settings(self) -> dict[str, SettingOf]:
        return {name: SettingOf(self, row) for name, row in SETTINGS.items()}

    @property
    def worker_class_str(self) -> str:
        name = str(self.value_of("worker_class"))
        return "gthread" if name == "sync" and self.value_of("threads") > 1 else name

    @property
    def address(self) -> list[Any]:
        """(host, port), the paths of unix sockets, and descriptors."""
        return [_address(bind) for bind in self.value_of("bind")]

    @property
    def uid(self) -> int:
        user = self.value_of("user")
        return os.geteuid() if user is None else int(user)

    @property
    def gid(self) -> int:
        group = self.value_of("group")
        return os.getegid() if group is None else int(group)

    @property
    def is_ssl(self) -> Any:
        return self.value_of("certfile") or self.value_of("keyfile")

    @property
    def ssl_options(self) -> dict[str, Any]:
        return {name: self.value_of(name) for name, row in SETTINGS.items() if row.section == SSL}

    @property
    def env(self) -> dict[str, str]:
        """What raw_env sets."""
        return _pairs(self.value_of("raw_env"), "=")

    @property
    def paste_global_conf(self) -> dict[str, str]:
        pairs = _pairs(self.value_of("raw_paste_global_conf") or (), r"(?<!\\)=")
        return {k.replace(r"\=", "="): v.replace(r"\=", "=") for k, v in pairs.items()}

    def forwarded_allow_networks(self) -> list[IPv4Network | IPv6Network]:
        return _networks(self.value_of("forwarded_allow_ips"))

    def proxy_allow_networks(self) -> list[IPv4Network | IPv6Network]:
        return _networks(self.value_of("proxy_allow_ips"))


def own(value: Any) -> Any:
    """A value of the settings table for somebody who may do with it what he likes."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def accepted(name: str, value: object) -> Any:
    """The value to use for a given one, as ConfigView.set() says."""
    if name not in SETTINGS:
        raise AttributeError(f"No configuration setting for: {name}")
    try:
        return SETTINGS[name].accept(value)
    except ValueError as error:
        sentence = f"Invalid value for {name}: {shown(value)} (from {user_place()}): {error}"
        raise ValueError(sentence) from None


def _address(bind: str) -> Any:
    name = _cgunicorn.parse_bind(bind)
    if name.startswith("unix:"):
        return name[len("unix:") :]
    if name.startswith("fd://"):
        return int(name[len("fd://") :])
    host, _, port = name[len("http://") :].rpartition(":")
    return host.strip("[]"), int(port)


def _pairs(items: list[str], equals: str) -> dict[str, str]:
    pairs = (re.split(equals, item, maxsplit=1) for item in items)
    return {name: value for name, value in pairs}  # noqa: C416 - dict() would not say what is what


def _networks(addresses: list[str]) -> list[IPv4Network | IPv6Network]:
    from ipaddress import ip_network

    return [ip_network(address) for address in addresses if address != "*"]
