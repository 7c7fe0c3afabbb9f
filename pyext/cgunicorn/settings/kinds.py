# SPDX-License-Identifier: MIT
"""The kinds of values that settings have.

Every kind has two ways in: `check` takes a value as a config file or the command line gives it and
returns the value to use; `from_text` makes such a value of the text of an environment variable.
What they refuse is a ValueError, whose text is a sentence for the user or empty, where "it must be
an integer" says it all.
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from cgunicorn.errors import shown, user_error

INT_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_WORDS_FOR_BOOL = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}


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


def _to_int_or_auto(value: object) -> int | str:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return "auto"
    return _to_int(value)


def _to_mode(value: object) -> int:
    return _to_int(value, _parse_mode)


def _to_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError


def _bool_of_text(text: str) -> object:
    return _WORDS_FOR_BOOL.get(text.strip().lower(), text)


def _to_str(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if "\0" in value:
        raise ValueError("it must not contain a NUL byte.")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as error:
        what = ascii(value[error.start])
        raise ValueError(
            f"it has a character that {error.encoding} does not have: {what}."
        ) from None
    return value.strip()


def _to_list(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (_to_str(value),)
    if not isinstance(value, (list, tuple)):
        raise ValueError
    return tuple(_to_str(v) for v in value)


def _list_of_text(text: str) -> object:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"it can't be split into items: {error}.") from None


def _to_csv(value: object) -> tuple[str, ...]:
    items = (item.strip() for text in _to_list(value) for item in text.split(","))
    return tuple(item for item in items if item)


def _to_proxy_mode(value: object) -> str:
    """A mode by its name, or whether there is to be one at all."""
    text = str(value) if isinstance(value, bool) else _to_str(value)
    words = {"true": "auto", "1": "auto", "false": "off", "0": "off", "none": "off"}
    return words.get(text.lower(), text)


def _to_dict(value: object) -> Mapping[object, object]:
    if not isinstance(value, Mapping):
        raise ValueError
    return MappingProxyType(dict(value))


def _to_fields(value: object) -> Mapping[str, str]:
    """Header names and values, as HTTP allows them."""
    fields = {_to_str(name): _to_str(text) for name, text in _to_dict(value).items()}
    for name, text in fields.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is not a header name.")
        if not text.isascii() or not text.isprintable():
            raise ValueError(f"{text!r} is not a header value in ASCII.")
    return MappingProxyType(fields)


def _dict_of_text(text: str) -> object:
    import json

    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}.") from None


def _to_id(value: object, kind: str, find: Callable[[str], int]) -> int:
    """The number of a user or a group."""
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    name = _to_str(value)
    if name.isascii() and name.isdigit():
        return _to_int(name)
    try:
        return find(name)
    except KeyError:
        raise ValueError(f"No such {kind}: {name!r}.") from None


def _to_user(value: object) -> int:
    import pwd

    return _to_id(value, "user", lambda name: pwd.getpwnam(name).pw_uid)


def _to_group(value: object) -> int:
    import grp

    return _to_id(value, "group", lambda name: grp.getgrnam(name).gr_gid)


def _to_class(value: object) -> str | type:
    """A class, or the name by which one is found later. A function is asked for the class."""
    if callable(value) and not isinstance(value, type):
        try:
            value = value()
        except Exception as error:  # noqa: BLE001 - the user's code may raise any
            raise ValueError(f"asked for the class, it raised {user_error(error)}.") from None
    if isinstance(value, type):
        return value
    if not isinstance(value, str):
        raise ValueError
    return _to_str(value)


def _to_callable(value: object) -> Callable[..., object]:
    if isinstance(value, str):
        value = _import_object(value.strip())
    if not callable(value):
        raise ValueError(f"Value is not callable: {shown(value)}; it must be {CALLABLE.valid}.")
    return value


def _import_object(path: str) -> object:
    """What `package.module.name` names."""
    module_name, _, name = path.rpartition(".")
    if not module_name or module_name.startswith("."):
        raise ValueError(
            f"Value {path!r} is not import string. Format: module[.submodules...].object."
        )
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ValueError(f"{error}.") from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's code may raise any
        why = user_error(error)
        raise ValueError(f"Can not import {module_name!r}, it raised {why}.") from None
    try:
        return getattr(module, name)
    except AttributeError:
        raise ValueError(f"Can not load {name!r} from {module_name!r}.") from None


class Kind(NamedTuple):
    """`c_type` is the type's name in server/settings/settings.def, empty for what C cannot have;
    `meta` stands for a value in --help; `text` says what an environment variable contains, where
    it is not what `valid` says."""

    c_type: str
    meta: str
    valid: str
    check: Callable[[object], Any]
    from_text: Callable[[str], object] = str
    text: str = ""


_WORDS = "items separated by blanks, quoted as in a shell"
_JSON = "a JSON object"

INT = Kind("int", "INT", "an integer", _to_int)
INT_OR_AUTO = Kind("int", "INT|auto", "an integer or 'auto'", _to_int_or_auto)
MODE = Kind("int", "INT", "an integer", _to_mode)
USER = Kind("int", "USER", "the name or the number of a user", _to_user)
GROUP = Kind("int", "GROUP", "the name or the number of a group", _to_group)
BOOL = Kind(
    "bool", "", "True or False", _to_bool, _bool_of_text, "true, 1, yes, on, false, 0, no or off"
)
STR = Kind("str", "STRING", "a string", _to_str)
LIST = Kind("list", "STRING", "a string or a list of strings", _to_list, _list_of_text, _WORDS)
CSV = Kind("str", "STRING", "a string with commas or a list of strings", _to_csv)
PROXY_MODE = Kind("str", "MODE", "a string, True or False", _to_proxy_mode)
FIELDS = Kind("list", "", "a dict of header names and values", _to_fields, _dict_of_text, _JSON)
DICT = Kind("", "", "a dict", _to_dict, _dict_of_text, _JSON)
CLASS = Kind("str", "STRING", "a class or a string", _to_class)
CALLABLE = Kind("", "", "a function or the dotted path of one", _to_callable)
ANY = Kind("", "STRING", "anything", lambda value: value)
