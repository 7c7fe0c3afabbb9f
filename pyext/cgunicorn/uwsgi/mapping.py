# SPDX-License-Identifier: MIT
"""From what was given in uWSGI's way to values of settings, warnings, and the report that
--check-config prints. Nothing is kept: a reload reads all of it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cgunicorn.errors import ConfigError, shown
from cgunicorn.uwsgi import ini
from cgunicorn.uwsgi.ini import Item
from cgunicorn.uwsgi.options import Arity, Effect, Option, find, is_true, similar

#: What the environment may set: UWSGI_<KEY>.
_VARIABLE_PREFIX = "UWSGI_"

#: What uWSGI does where it is told nothing, and this server would not do.
_DEFAULTS: Mapping[str, object] = {"timeout": 0}
_DEFAULT = Item("", "", "uWSGI's default")

_WIDEST_VALUE = 44


@dataclass(frozen=True)
class Given:
    """Values of settings, and where each was given."""

    values: Mapping[str, object]
    places: Mapping[str, str]


@dataclass(frozen=True)
class Mapped:
    """`weak` is what files and variables say, `strong` what the command line does; `virtualenv` is
    empty for none; `report` says line by line what became of each option."""

    weak: Given
    strong: Given
    virtualenv: str
    warnings: tuple[str, ...]
    report: str

    @property
    def chdir(self) -> str:
        """As it was given; empty if it was not."""
        return str({**self.weak.values, **self.strong.values}.get("chdir", ""))


def read(given: Sequence[Item], environ: Mapping[str, str]) -> Mapped:
    """What the command line gave, the files it names, and the environment. ConfigError."""
    files = [item for item in given if item.key in ini.INCLUDES]
    others = [item for item in given if item.key not in ini.INCLUDES]
    document = ini.read((*_variables(environ), *files, *others), environ)
    mapper = _Mapper(document.used)
    for item in document.items:
        mapper.take(item)
    return mapper.finish()


def _variables(environ: Mapping[str, str]) -> Iterator[Item]:
    for name, value in environ.items():
        if name.startswith(_VARIABLE_PREFIX):
            key = name[len(_VARIABLE_PREFIX) :].lower().replace("_", "-")
            yield Item(key, value, f"the environment variable {name}")


class _Mapper:
    def __init__(self, used: frozenset[str]) -> None:
        self._used = used
        self._values: dict[str, object] = {}
        self._from: dict[str, Item] = {}  # whence a setting has its value
        self._parts: dict[str, list[tuple[Item, object]]] = {}
        self._taken: list[tuple[Item, Option | None]] = []
        self._warnings: list[str] = []

    def take(self, item: Item) -> None:
        option = find(item.key)
        self._taken.append((item, option))
        if option is None:
            return
        if option.effect is Effect.REFUSED:
            raise ConfigError(f"{item.key} (from {item.place}) can't be had here: {option.note}.")
        self._warn_of(item, option)
        value = _convert(item, option)
        if option.part:
            self._parts.setdefault(option.part, []).append((item, value))
            return
        for name in option.settings:
            old = self._values.get(name, ()) if option.many else None
            self._set(name, value if old is None else (*old, value), item)  # type: ignore[misc]
        for name, value in option.also.items():
            self._set(name, value, item)

    def finish(self) -> Mapped:
        self._refuse_unknown()
        self._join_application()
        self._join_sockets()
        self._join_logs()
        if "umask" in self._parts and "umask" not in self._values:
            self._set("umask", *reversed(self._last("umask")))
        if "pythonpath" in self._values:
            folders: tuple[str, ...] = self._values["pythonpath"]  # type: ignore[assignment]
            self._values["pythonpath"] = ",".join(folders)
        for name, value in _DEFAULTS.items():
            if name not in self._values:
                self._set(name, value, _DEFAULT)
        return Mapped(
            self._given(arguments=False),
            self._given(arguments=True),
            str(self._last("virtualenv")[1] or ""),
            tuple(self._warnings),
            "\n".join(self._report()),
        )

    def _set(self, name: str, value: object, item: Item) -> None:
        self._values[name] = value
        self._from[name] = item

    def _last(self, part: str) -> tuple[Item, object]:
        return self._parts.get(part, [(_DEFAULT, None)])[-1]

    def _given(self, arguments: bool) -> Given:
        names = [n for n, item in self._from.items() if item.is_argument == arguments]
        values = {name: self._values[name] for name in names}
        return Given(values, {name: self._from[name].origin for name in names})

    # Settings that several options make together

    def _join_application(self) -> None:
        """`module:name` beats `callable`. A module beats a file."""
        item, where = self._last("module")
        if not where:
            item, path = self._last("file")
            where = path and f"file:{path}"
        if not where:
            return
        name_item, name = self._last("callable")
        has_name = ":" in str(where).replace("file:", "", 1)
        if name and not has_name:
            where = f"{where}:{name}"
            item = name_item if name_item.is_argument else item
        self._set("wsgi_app", where, item)

    def _join_sockets(self) -> None:
        item, protocol = self._last("protocol")
        if protocol not in (None, "uwsgi", "http"):
            raise _invalid(item, "it must be uwsgi or http.")
        sockets = self._parts.get("socket", [])
        addresses = [str(address) for _, address in sockets]
        if protocol == "http":
            addresses = [a.replace("uwsgi:", "http:", 1) for a in addresses]
        if sockets:
            arguments = [item for item, _ in sockets if item.is_argument]
            self._set("bind", tuple(addresses), [*(i for i, _ in sockets), *arguments][-1])

    def _join_logs(self) -> None:
        """uWSGI logs requests into its one log, unless it is told not to."""
        item, disabled = self._last("disable-logging")
        if disabled is not None and is_true(str(disabled)):
            self._set("accesslog", None, item)
        elif "accesslog" not in self._values:
            self._set(
                "accesslog",
                self._values.get("errorlog", "-"),
                self._from.get("errorlog", _DEFAULT),
            )

    # Warnings

    def _warn_of(self, item: Item, option: Option) -> None:
        if item.key in option.misspelt:
            self._warnings.append(
                f"{item.place}: {item.key!r} is no option of uWSGI, which ignores it; it is taken"
                f" for {option.names[0]!r}."
            )
        is_off = option.arity is Arity.FLAG and not is_true(item.value)
        if option.effect is Effect.ABSENT and not is_off:
            self._warnings.append(f"{item.origin}: has no effect here: {option.note}.")

    def _refuse_unknown(self) -> None:
        """Or warns of it. One that others refer to is meant as a placeholder; a variable of the
        environment may be meant for anything."""
        strict = self._last("strict")[1]
        for item, option in self._taken:
            if option or item.key in self._used:
                continue
            meant = similar(item.key)
            if item.place.startswith("the environment") and not meant:
                continue
            hint = f", did you mean {meant!r}?" if meant else "."
            sentence = f"{item.place}: unknown option {item.key!r}{hint}"
            if strict is not None and is_true(str(strict)):
                raise ConfigError(sentence)
            self._warnings.append(sentence)

    # The report

    def _report(self) -> Iterator[str]:
        rows = [
            (item.place, f"{item.key} = {item.value}" if item.value else item.key, effect)
            for item, option in self._taken
            for effect in [self._effect(item, option)]
        ]
        rows += [
            (_DEFAULT.place, "", self._shown(name))
            for name, item in self._from.items()
            if item is _DEFAULT
        ]
        widths = [max(len(row[i][:_WIDEST_VALUE]) for row in rows) for i in range(2)]
        for place, text, effect in rows:
            yield f"{place:{widths[0]}}  {text:{widths[1]}}  {effect}".rstrip()

    def _effect(self, item: Item, option: Option | None) -> str:
        if option is None:
            return f"kept as %({item.key})" if item.key in self._used else "unknown, ignored"
        if option.effect is Effect.NEEDLESS:
            return f"nothing to do: {option.note}"
        if option.effect is Effect.ABSENT:
            return f"no effect: {option.note}"
        names = [name for name in (*option.settings, *option.also) if name in self._values]
        return "; ".join(map(self._shown, names)) or f"{option.part}: understood"

    def _shown(self, name: str) -> str:
        value = self._values[name]
        if isinstance(value, tuple):
            value = list(value)
        elif name == "umask":
            value = f"{value:#o}"
        return f"-> {name} = {value}"


def _convert(item: Item, option: Option) -> object:
    try:
        return option.value(item.value)
    except ValueError as error:
        raise _invalid(item, str(error)) from None


def _invalid(item: Item, why: str) -> ConfigError:
    return ConfigError(
        f"Invalid value for {item.key}: {shown(item.value)} (from {item.place}): {why}"
    )
