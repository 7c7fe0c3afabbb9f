# SPDX-License-Identifier: MIT
"""From what the user said to one Config.

Weakest first: the defaults (some with an environment variable of Gunicorn's: PORT, WEB_CONCURRENCY,
FORWARDED_ALLOW_IPS, SENDFILE), a PasteDeploy file, the config file, uWSGI's ini files and
variables, the variables CGUNICORN_<NAME>, CGUNICORN_CMD_ARGS or else GUNICORN_CMD_ARGS, the command
line, in which flags of uWSGI's are weaker than ours, a program that runs the server. Only one
config file and only one of the two ..._CMD_ARGS is read. Every value of every layer is validated,
also one that a stronger layer overrides. Nothing is kept here: a reload starts from the same
Invocation.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from cgunicorn import _cgunicorn, config_file, cpus
from cgunicorn.config_view import ConfigView, accepted, own
from cgunicorn.errors import ConfigError, NoAppError, shown
from cgunicorn.hints import for_setting
from cgunicorn.settings import SETTINGS, VARIABLE_PREFIX
from cgunicorn.settings.kinds import CSV, LIST

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from cgunicorn.uwsgi.ini import Item
    from cgunicorn.uwsgi.mapping import Given, Mapped

#: Seconds; why so many is said where the settings are declared.
ASYNC_KEEPALIVE = 75
UNTIMED_BOOT_TIMEOUT = 600


class Layer:
    """Values by the name of their setting, not yet validated, and where they come from."""

    def __init__(self, source: str, values: Mapping[str, object]) -> None:
        self.source = source
        self.values = values

    def place(self, name: str) -> str:
        """Where exactly the value of a setting was given, for a message."""
        return self.source


NOTHING = Layer("", {})


class FileLayer(Layer):
    """The global variables of a config file."""

    def place(self, name: str) -> str:
        return config_file.place(self.source, self.values, name)


class ArgumentsLayer(Layer):
    """What flags gave."""

    def place(self, name: str) -> str:
        return f"{self.source}, {'/'.join(SETTINGS[name].flags)}"


class UwsgiLayer(Layer):
    """What was given in uWSGI's way."""

    def __init__(self, given: Given) -> None:
        super().__init__("uWSGI's options", given.values)
        self._places = given.places

    def place(self, name: str) -> str:
        return self._places[name]


class Program(NamedTuple):
    """A Python program that runs the server. `layers` is called for each configuration, and says
    what is weaker than a config file and what is stronger than all else; `load` makes the
    application; `is_alone`: there is no config file beside it."""

    name: str
    layers: Callable[[], tuple[Layer, Layer]]
    load: Callable[[Config], WSGIApplication]
    is_alone: bool = False


class Invocation(NamedTuple):
    """How the server was started; does not change while it runs. `directory` is the folder it was
    started in, `arguments` are the layers of CMD_ARGS and of the command line; `uwsgi` is what
    flags of uWSGI's gave, None when there were none."""

    app_spec: str | None
    arguments: tuple[ArgumentsLayer, ...]
    environ: Mapping[str, str]
    directory: str
    uwsgi: tuple[Item, ...] | None = None
    program: Program | None = None


class Config(ConfigView):
    """All settings as attributes (`cfg.workers`). `app_spec` says where the application is,
    `warnings` are sentences for the user, `report` says what became of uWSGI's options.

    Nobody but the user's own code changes it, by set()."""

    app_spec: str
    warnings: tuple[str, ...]
    report: str

    def __init__(
        self,
        values: Mapping[str, Any],
        layers: Mapping[str, Layer],
        app_spec: str,
        warnings: tuple[str, ...] = (),
        report: str = "",
    ) -> None:
        self.__dict__.update((name, own(value)) for name, value in values.items())
        self.__dict__.update(app_spec=app_spec, warnings=warnings, report=report, _is_changed=False)
        self.__dict__.update(_layers=dict(layers))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"No configuration setting for: {name}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Settings are changed by cfg.set({name!r}, ...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Settings can't be deleted: {name}")

    def value_of(self, name: str) -> Any:
        return self.__dict__[name]

    def set(self, name: str, value: object) -> None:
        """Counts for whatever is looked at afterwards, until a reload. None changes nothing."""
        if value is None and name in SETTINGS:
            return
        values = {n: self.value_of(n) for n in SETTINGS}
        values[name] = accepted(name, value)
        _follow_others(values, self.app_spec)
        self.__dict__.update((n, own(v)) for n, v in values.items())
        self.__dict__["_layers"][name] = Layer("cfg.set()", {})
        self.__dict__["_is_changed"] = True

    def changes_for_c(self) -> dict[str, object] | None:
        """Called by C: the same as for_c(), if set() was called since this was."""
        if not self.__dict__["_is_changed"]:
            return None
        self.__dict__["_is_changed"] = False
        return self.for_c()

    def source(self, name: str) -> str:
        """Where the value of a setting comes from."""
        layer: Layer = self.__dict__["_layers"][name]
        return layer.source

    def refuse(self, name: str, why: str) -> NoReturn:
        """ConfigError for a value that is valid, and has turned out to be of no use. `why` is a
        sentence."""
        layer: Layer = self.__dict__["_layers"][name]
        _refuse(name, self.value_of(name), layer.place(name), why)

    @property
    def proc_name(self) -> str:
        """What --print-config shows is what was given; this follows the application otherwise."""
        return str(self.value_of("proc_name") or self.default_proc_name)

    @property
    def logger_class(self) -> Any:
        """The class that the setting names. ConfigError."""
        from cgunicorn.glogging import find_class

        return find_class(self)

    def for_c(self) -> dict[str, object]:
        """What _cgunicorn.run() takes. An int that is not set is 0 there, which means off."""
        return {name: _for_c(getattr(self, name), t) for name, t in _cgunicorn.setting_fields}

    def __str__(self) -> str:
        """The lines of --print-config."""
        width = max(map(len, SETTINGS))
        return "\n".join(f"{n:{width}} = {_printed(vars(self)[n])}" for n in sorted(SETTINGS))


def _for_c(value: object, c_type: str) -> object:
    if value is None and c_type == "int":
        return 0
    if isinstance(value, Mapping):
        return [f"{k}:{v}" for k, v in value.items()]
    if isinstance(value, list) and c_type == "str":
        return ",".join(value)
    return value


def _printed(value: object) -> object:
    if callable(value):
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}()>"
    return value


def load(invocation: Invocation) -> Config:
    """Resolves the configuration and runs the config file for it. To be called in the folder that
    the server was started in. ConfigError."""
    program = invocation.program
    weak, strong = program.layers() if program else (NOTHING, NOTHING)
    mapped = read_uwsgi(invocation)
    *arguments, command_line = invocation.arguments
    stronger = (
        *_variable_layers(invocation.environ),
        *arguments,
        *_uwsgi_layers(mapped and mapped.strong),
        command_line,
        strong,
    )
    location = _strongest(stronger, "config")
    if not location and not mapped and not (program and program.is_alone):
        location = config_file.default_file()
    file = FileLayer(location or "", _run_file(location, stronger) if location else {})
    ours = (file, *_uwsgi_layers(mapped and mapped.weak), *stronger)
    values, layers = _fold((*_default_layers(invocation), weak, _paste_layer(ours), *ours))
    app_spec = _app_spec(invocation, values)
    if not app_spec:
        raise NoAppError(
            "No application module specified. Name it as in `cgunicorn package.module:app`, or by"
            " wsgi_app in a configuration file."
        )
    values["config"] = location
    values["chdir"] = os.path.normpath(Path(invocation.directory, values["chdir"]))
    warnings = (
        *(mapped.warnings if mapped else ()),
        *_file_warnings(file),
        *_variable_warnings(invocation.environ),
        *_effect_warnings(values, layers),
    )
    _follow_others(values, app_spec)
    return Config(values, layers, app_spec, warnings, mapped.report if mapped else "")


def read_uwsgi(invocation: Invocation) -> Mapped | None:
    """What was given in uWSGI's way, if anything was. To be called where load() is. ConfigError."""
    if invocation.uwsgi is None:
        return None
    from cgunicorn.uwsgi import mapping

    return mapping.read(invocation.uwsgi, invocation.environ)


def _uwsgi_layers(given: Given | None) -> Iterator[Layer]:
    if given:
        yield UwsgiLayer(given)


def _app_spec(invocation: Invocation, values: dict[str, Any]) -> str | None:
    if values["paste"]:
        values["paste"] = str(Path(invocation.directory, values["paste"]))
        return str(values["paste"])
    spec = invocation.app_spec or values["wsgi_app"]
    return spec or (invocation.program.name if invocation.program else None)


def _paste_layer(layers: Sequence[Layer]) -> Layer:
    """The settings that stand in the file of the setting paste, if there is one."""
    if not any(layer.values.get("paste") for layer in layers):
        return NOTHING
    from cgunicorn import paste

    values, _ = _fold(layers)
    return paste.server_layer(values["paste"], values["raw_paste_global_conf"] or ())


def _run_file(location: str, stronger: Sequence[Layer]) -> dict[str, object]:
    """The variables of a config file. A module is no value: `import syslog` sets nothing."""
    chdir = Path(_strongest(stronger, "chdir") or "").absolute()
    pythonpath = (_strongest(stronger, "pythonpath") or "").split(",")
    folders = [str(chdir / folder) for folder in reversed(pythonpath)]
    variables = config_file.read_file(location, [*folders, str(chdir)])
    return {n: v for n, v in variables.items() if not isinstance(v, ModuleType)}


def _strongest(layers: Sequence[Layer], name: str) -> str | None:
    """A setting that is a string, from layers that were given as text."""
    given = (layer.values.get(name) for layer in reversed(layers))
    return next((str(value) for value in given if value), None)


def _default_layers(invocation: Invocation) -> Iterator[Layer]:
    defaults = {name: row.default for name, row in SETTINGS.items()}
    ours = {"chdir": invocation.directory, "user": os.geteuid(), "group": os.getegid()}
    yield Layer("the default", {**defaults, **ours})
    for name, row in SETTINGS.items():
        text = invocation.environ.get(row.env, "") if row.env else ""
        if text:
            yield Layer(f"the environment variable {row.env}", {name: row.from_env(text)})


def _variable_layers(environ: Mapping[str, str]) -> Iterator[Layer]:
    """Those of the variables CGUNICORN_<NAME>. An empty one is as good as none."""
    for name, row in SETTINGS.items():
        text = environ.get(row.variable, "")
        if not text:
            continue
        source = f"the environment variable {row.variable}"
        try:
            yield Layer(source, {name: row.kind.from_text(text)})
        except ValueError as error:
            _refuse(name, text, source, error)


def _fold(layers: Iterable[Layer]) -> tuple[dict[str, Any], dict[str, Layer]]:
    """The strongest value of each setting and where it is from. None leaves what was there."""
    values: dict[str, Any] = dict.fromkeys(SETTINGS)
    givers: dict[str, Layer] = {}
    for layer in layers:
        for name, value in layer.values.items():
            row = SETTINGS.get(name)
            if row is None or (value is None and name in givers):
                continue
            try:
                values[name] = None if value is None else row.accept(value)
            except ValueError as error:
                _refuse(name, value, layer.place(name), error)
            givers[name] = layer
    return values, givers


def _refuse(name: str, value: object, place: str, why: object) -> NoReturn:
    # One item of a list is most often a flag given once.
    if SETTINGS[name].kind in (LIST, CSV) and isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):
        value = dict(value)
    raise ConfigError(f"Invalid value for {name}: {shown(value)} (from {place}): {why}") from None


def _follow_others(values: dict[str, Any], app_spec: str) -> None:
    """What was not said, but follows from something else that was."""
    if values["workers"] == "auto":
        values["workers"] = min(cpus.usable(), SETTINGS["workers"].most)
    if values["worker_class"] == "sync" and values["threads"] > 1:
        values["worker_class"] = "gthread"
    if values["keepalive"] is None and values["worker_class"] != "sync":
        values["keepalive"] = ASYNC_KEEPALIVE
    if values["boot_timeout"] is None:
        values["boot_timeout"] = values["timeout"] or UNTIMED_BOOT_TIMEOUT
    if values["default_proc_name"] is None:
        values["default_proc_name"] = app_spec
    if values["reload"]:
        values["preload_app"] = False


# Warnings


def _file_warnings(file: FileLayer) -> Iterator[str]:
    """Names that look like settings misspelt. Constants and variables that stand beside the
    setting they resemble are taken to be meant."""
    if file.source and not config_file.has_python_extension(file.source):
        yield f"{file.source}: configuration file should have a valid Python extension."
    annotated = file.values.get("__annotations__")
    for name in annotated if isinstance(annotated, dict) else ():
        if name in SETTINGS and name not in file.values:
            yield f"{file.place(name)}: {name} is given no value, which is written {name} = ..."
    for name in file.values:
        if name in SETTINGS or name.startswith("_"):
            continue
        meant = _similar(name, [n for n in SETTINGS if n not in file.values])
        if meant:
            yield f"{file.place(name)}: unknown setting {name!r}, did you mean {meant!r}?"


def _variable_warnings(environ: Mapping[str, str]) -> Iterator[str]:
    for variable in environ:
        name = variable[len(VARIABLE_PREFIX) :].lower()
        if not variable.startswith(VARIABLE_PREFIX) or name in SETTINGS:
            continue
        meant = _similar(name, [n for n, row in SETTINGS.items() if row.variable not in environ])
        if meant:
            yield (
                f"unknown environment variable {variable!r}, did you mean"
                f" {SETTINGS[meant].variable!r}?"
            )


def _effect_warnings(values: Mapping[str, Any], givers: Mapping[str, Layer]) -> Iterator[str]:
    for name, row in SETTINGS.items():
        if row.instead and values[name] != row.default:
            yield f"{name} (from {givers[name].source}) has no effect here: {row.instead}."
    if (values["pidfile"] or "").isdigit():
        name = values["pidfile"]
        yield (
            f"pidfile (from {givers['pidfile'].source}) is the file {name!r}; an address is given"
            f" as in -b :{name}."
        )
    if values["reload"] and values["preload_app"]:
        place = givers["preload_app"].source
        yield (
            f"preload_app (from {place}) has no effect together with reload: each worker loads the"
            " application, so that it can be loaded again."
        )


def _similar(name: str, candidates: list[str]) -> str:
    """The setting that a name may be meant for; empty where there is none."""
    return for_setting(name, candidates) if name == name.lower() else ""
