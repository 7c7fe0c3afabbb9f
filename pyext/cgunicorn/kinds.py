# SPDX-License-Identifier: MIT
"""What a row of the settings table is made of: the kinds of values, the checks that some rows add,
and the row itself. The rows stand in settings.py.

Every check takes a value as a config file or the command line gives it and returns the value to
use; what it refuses is a ValueError whose text is a sentence for the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from cgunicorn import _cgunicorn

INT_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_C_FIELDS = frozenset(name for name, _ in _cgunicorn.setting_fields)


def _parse_int(text: str) -> int:
    """Decimal, or with a prefix as in Python."""
    try:
        return int(text, 10)
    except ValueError:
        return int(text, 0)


def _parse_mode(text: str) -> int:
    """As _parse_int(), but a leading zero means octal, as in a shell."""
    return int(text, 8) if text.startswith("0") and text.isdigit() else _parse_int(text)


def _to_int(value: object, parse: Callable[[str], int] = _parse_int) -> int:
    if isinstance(value, int):
        return int(value)
    if not isinstance(value, str):
        raise ValueError
    try:
        return parse(value.strip())
    except ValueError:
        raise ValueError from None


def _to_mode(value: object) -> int:
    return _to_int(value, _parse_mode)


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError


def _to_str(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if "\0" in value:
        raise ValueError("it must not contain a NUL byte.")
    return value.strip()


def _to_list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_to_str(value),)
    if not isinstance(value, (list, tuple)):
        raise ValueError
    return tuple(_to_str(v) for v in value)


def _to_csv(value: object) -> str:
    return ",".join(_to_list(value))


def _to_proxy_mode(value: object) -> str:
    """A mode by its name, or whether there is to be one at all."""
    text = str(value) if isinstance(value, bool) else _to_str(value)
    words = {"true": "auto", "1": "auto", "false": "off", "0": "off", "none": "off"}
    return words.get(text.lower(), text)


def _to_fields(value: object) -> Mapping[str, str]:
    """Header names and values, as HTTP allows them."""
    if not isinstance(value, Mapping):
        raise ValueError
    fields = {_to_str(name): _to_str(text) for name, text in value.items()}
    for name, text in fields.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name.")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"{text!r} is not a header value in ASCII.")
    return MappingProxyType(fields)


@dataclass(frozen=True)
class Kind:
    """A type of values. `c_type` is its name in server/settings/settings.def; `check` refuses
    values of another type by an empty ValueError."""

    c_type: str
    meta: str
    valid: str
    check: Callable[[object], Any]


INT = Kind("int", "INT", "an integer", _to_int)
MODE = Kind("int", "INT", "an integer", _to_mode)
BOOL = Kind("bool", "", "True or False", _to_bool)
STR = Kind("str", "STRING", "a string", _to_str)
LIST = Kind("list", "STRING", "a string or a list of strings", _to_list)
CSV = Kind("str", "STRING", "a string with commas or a list of strings", _to_csv)
PROXY_MODE = Kind("str", "MODE", "a string, True or False", _to_proxy_mode)
FIELDS = Kind("list", "", "a dict of header names and values", _to_fields)


def check_binds(binds: tuple[str, ...]) -> tuple[str, ...]:
    if not binds:
        raise ValueError("at least one address is needed.")
    for bind in binds:
        _cgunicorn.parse_bind(bind)
    return binds


def check_worker_class(name: str) -> str:
    if name not in ("sync", "async", "gthread"):
        raise ValueError("this version has the worker classes 'sync', 'async' and 'gthread'.")
    return name


def check_folder(path: str) -> str:
    """An existing folder; a relative path counts from the folder the server was started in."""
    try:
        is_folder = Path(path).is_dir()
    except OSError as error:
        raise ValueError(f"{path!r} can't be used: {error.strerror}.") from None
    if not is_folder:
        raise ValueError(f"{path!r} is not a folder.")
    return str(Path(path).absolute())


def check_chdir(path: str) -> str:
    try:
        is_folder = Path(path).is_dir()
    except PermissionError:  # told on entering, which for the default need not come to pass
        return path
    if not is_folder:
        raise ValueError(f"can't chdir to {path!r}.")
    return path


def check_addresses(text: str) -> str:
    """A list for server/base/cidr.h."""
    _cgunicorn.check_allow(text)
    return text


def check_environment(items: tuple[str, ...]) -> tuple[str, ...]:
    for item in items:
        if not item.partition("=")[0] or "=" not in item:
            raise ValueError(f"environment setting {item!r} invalid, it must be NAME=VALUE.")
    return items


@dataclass(frozen=True)
class Setting:
    """One row.

    name          in config files and wherever it is shown
    section       the heading in --help
    default       None: not set
    help          one line
    description   a paragraph for the documentation
    flags         none: only a config file can set it
    flag_value    what the flags of a BOOL store
    bare_value    what the flags store when no value follows them; none: one must follow
    meta          names the value in --help, where the kind's word is too general
    env           the environment variable that replaces the default, after from_env
    least, most   the range of an integer
    choices       the strings that are valid, in lower case
    unit          of the value
    default_text  what --help says instead of the default
    check         refuses or changes a value that kind, range and choices let pass
    """

    name: str
    section: str
    kind: Kind
    default: Any
    help: str
    description: str = ""
    flags: tuple[str, ...] = ()
    flag_value: bool = True
    bare_value: str = ""
    meta: str = ""
    env: str = ""
    from_env: Callable[[str], object] = str
    least: int = 0
    most: int = INT_MAX
    choices: tuple[str, ...] = ()
    unit: str = ""
    default_text: str = ""
    check: Callable[[Any], Any] | None = None

    @property
    def config_file_only(self) -> bool:
        return not self.flags

    @property
    def in_c(self) -> bool:
        """Whether the C side gets it."""
        return self.name in _C_FIELDS

    @property
    def valid(self) -> str:
        """What is valid, in words."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        if self.kind is MODE:
            return f"an integer from {self.least:#o} to {self.most:#o}"
        if self.kind is INT:
            unit = f", in {self.unit}" if self.unit else ""
            return f"an integer from {self.least} to {self.most}{unit}"
        return self.kind.valid

    def accept(self, value: object) -> Any:
        """The value to use for a given one; ValueError with a sentence."""
        try:
            value = self.kind.check(value)
        except ValueError as error:
            raise ValueError(str(error) or f"it must be {self.valid}.") from None
        if isinstance(value, int) and not self.least <= value <= self.most:
            sign = f"Value must be positive: {value}; " if value < 0 else ""
            raise ValueError(f"{sign}it must be {self.valid}.")
        if self.choices:
            value = str(value).lower()
            if value not in self.choices:
                raise ValueError(f"it must be {self.valid}.")
        return self.check(value) if self.check else value
