# SPDX-License-Identifier: MIT
"""The command. Exit codes: 0, 1 for a configuration or an application that cannot be used, 2 for a
wrong command line, and what the server itself ends with."""

from __future__ import annotations

import argparse
import io
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cgunicorn import _cgunicorn, hints
from cgunicorn.config import ArgumentsLayer, Config, Invocation, read_uwsgi
from cgunicorn.daemon import Daemon
from cgunicorn.errors import AppLoadError, ConfigError, user_traceback
from cgunicorn.reexec import take_inherited
from cgunicorn.runtime import Runtime
from cgunicorn.settings import SECTIONS, SETTINGS, Setting
from cgunicorn.settings.kinds import BOOL, INT, INT_OR_AUTO, LIST, MODE
from cgunicorn.uwsgi import command_line
from cgunicorn.uwsgi.ini import Item

#: The first that is not empty counts, the other is ignored.
ARGUMENT_VARIABLES = ("CGUNICORN_CMD_ARGS", "GUNICORN_CMD_ARGS")

#: The first argument that is not the name of an application, but of another command.
LAB = "lab"

_EXIT_SIGNALLED = 128  # and the number of the signal, as a shell says it
EXIT_INTERRUPTED = _EXIT_SIGNALLED + signal.SIGINT


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command with the arguments given, else with those of the process; returns the exit
    code, in the master and in each worker process."""
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == [LAB]:
        from cgunicorn.lab import command

        return command.main(arguments[1:])
    return run(lambda: invoke(arguments))


def invoke(arguments: Sequence[str]) -> Invocation:
    """What the arguments ask for, after this process has become what they want it to be."""
    started = invocation(arguments)
    enter_virtualenv(started, arguments)
    return started


def run(
    invoke: Callable[[], Invocation], make_runtime: Callable[[Invocation], Runtime] = Runtime
) -> int:
    """Runs the server with what the user asked for; ConfigError from `invoke` is told as well.
    Returns as main() does."""
    try:
        open_standard_streams()
        write_lines_at_once()
        if os.getpid() == 1:
            mind_signals()
        started = invoke()
        inherited = take_inherited(os.environ)
        runtime = make_runtime(started)
        code = _obey(runtime, inherited)
        # Not for a program of the user's, which may have other things to do afterwards.
        if not started.program and not runtime.hooks.is_in_worker():
            _cgunicorn.bound_exit(code, max(runtime.config.graceful_timeout, 1))
        return code
    except ConfigError as error:
        return complain(str(error), error.details)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _obey(runtime: Runtime, inherited: dict[str, str]) -> int:
    for warning in runtime.config.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    if runtime.config.print_config:
        show(str(runtime.config))
    if runtime.config.print_config or runtime.config.check_config:
        if runtime.config.report:
            show(runtime.config.report)
        return _preload(runtime)
    if runtime.config.daemon and "GUNICORN_PID" not in inherited:
        runtime.daemon = _go_into_background(runtime.config)
    failed = runtime.config.preload_app and _preload(runtime)
    return failed or _run(runtime, inherited)


def enter_virtualenv(started: Invocation, arguments: Sequence[str]) -> None:
    """uWSGI's option, before anything else was done: this process may become another one."""
    mapped = read_uwsgi(started)
    if mapped and mapped.virtualenv:
        from cgunicorn.uwsgi import virtualenv

        chdir = started.arguments[-1].values.get("chdir", mapped.chdir)
        virtualenv.enter(str(Path(started.directory, str(chdir), mapped.virtualenv)), arguments)


def _preload(runtime: Runtime) -> int:
    try:
        runtime.preload()
    except AppLoadError as error:
        return complain(str(error))
    except Exception as error:  # noqa: BLE001 - the user's code may raise any
        return complain("Error while loading the application.", user_traceback(error))
    return 0


def _go_into_background(config: Config) -> Daemon:
    """Not done by a master that replaces another: it is there already."""
    if "NOTIFY_SOCKET" in os.environ:
        print(
            "Warning: a service manager waits for this process, which `daemon` makes end.",
            file=sys.stderr,
        )
    return Daemon(config.enable_stdio_inheritance)


def _run(runtime: Runtime, inherited: dict[str, str]) -> int:
    errorlog = runtime.config.errorlog
    try:
        code = _cgunicorn.run(runtime.config, runtime, inherited)
        if code and not runtime.is_open and errorlog != "-":
            return complain(f"The server did not start, {errorlog!r} says why.")
        return code
    except OSError as error:
        return complain(f"Can't open the log {error.filename!r}: {error.strerror}.")


def open_standard_streams() -> None:
    """Puts /dev/null where a standard stream is closed: a socket would get its number, and all that
    the application and its children print."""
    for fd, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        try:
            os.fstat(fd)
        except OSError:
            # The lowest number that is free, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, os.fdopen(fd, mode))


def mind_signals() -> None:
    """As process 1 of a container: the kernel takes no default action there, so that a stop which
    comes before the server has its own handlers would be lost."""

    def leave(number: int, _: object) -> NoReturn:
        sys.exit(_EXIT_SIGNALLED + number)

    for number in (signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, leave)


def write_lines_at_once() -> None:
    """What the application prints is seen when it is printed, also in a file or a pipe, where
    Python would keep some 8 KiB of it back."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def show(text: str) -> None:
    """Prints it at once, that a failure be told. Paths may have bytes, and values characters, that
    standard output cannot encode."""
    encoding = sys.stdout.encoding
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        raise ConfigError(f"Can't write to standard output: {error.strerror}.") from None


def complain(sentence: str, details: str = "") -> int:
    """Tells the user; returns the exit code."""
    print(f"{details}Error: {sentence}", file=sys.stderr)
    return 1


# The command line


class _Formatter(argparse.HelpFormatter):
    """One line for each setting, however long: it is made to be searched."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=42, width=200)

    def _format_action_invocation(self, action: argparse.Action) -> str:
        return f"{', '.join(action.option_strings)} {action.metavar or ''}".rstrip()


class _Parser(argparse.ArgumentParser):
    """`variable`: the environment variable that the arguments come from, if they do."""

    variable = ""
    _arguments: Sequence[str] = ()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._arguments = sys.argv[1:] if args is None else args
        values, left = self.parse_known_args(args, namespace)
        if left:
            hint = hints.for_unknown(left, getattr(values, "app", None))
            self.error(f"unrecognized arguments: {' '.join(left)}{hint}")
        return values

    def error(self, message: str) -> NoReturn:
        message = message.replace("ignored explicit argument", "it takes no value, not even")
        message += hints.for_dashes(self._arguments)
        super().error(f"{message} (in {self.variable})" if self.variable else message)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import platform

        c = _cgunicorn
        python = f"{platform.python_implementation()} {platform.python_version()}"
        versions = f"llhttp {c.llhttp_version}, libuv {c.libuv_version}, {python}"
        show(f"cgunicorn (version {c.version})\n{versions}")
        parser.exit()


def invocation(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Invocation:
    """What the user asked for, here and in the environment. SystemExit(2) after a message on
    standard error for a wrong command line."""
    items: tuple[Item, ...] | None = None
    if command_line.is_uwsgi(argv):
        app_spec, values, items = _parse_uwsgi(argv)
    else:
        app_spec, values = _parse(argv)
    layers = [ArgumentsLayer("the command line", values)]
    variable = next((v for v in ARGUMENT_VARIABLES if environ.get(v)), None)
    if variable:
        values = _parse(_split(environ[variable], variable), variable)[1]
        layers.insert(0, ArgumentsLayer(variable, values))
    return Invocation(app_spec, tuple(layers), dict(environ), start_directory(environ), items)


def start_directory(environ: Mapping[str, str]) -> str:
    """The working folder; by the name that the shell has for it, which may be a symbolic link that
    a deployment moves to a new release. ConfigError when it was deleted."""
    try:
        directory = Path.cwd()
    except OSError as error:
        raise ConfigError(f"The working folder is gone: {error.strerror}.") from None
    name = Path(environ.get("PWD", ""))
    try:
        same = name.is_absolute() and name.samefile(directory)
    except OSError:
        same = False
    return str(name if same else directory)


def _split(text: str, variable: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ConfigError(f"{variable} can't be split into arguments: {error}.") from None


def _parse(args: Sequence[str], variable: str = "") -> tuple[str | None, dict[str, object]]:
    """The application and the settings that are given, by name, not validated."""
    parser = build_parser()
    parser.variable = variable
    values = vars(parser.parse_args(args))
    app_spec: str | None = values.pop("app")
    return app_spec, values


def _parse_uwsgi(
    args: Sequence[str],
) -> tuple[str | None, dict[str, object], tuple[Item, ...]]:
    """The same for one of uWSGI's command lines, with the options that only uWSGI has."""
    parser = build_parser(of_uwsgi=True)
    values = vars(parser.parse_args(command_line.prepare(args)))
    apps, more = command_line.split_words(values.pop("app"))
    if len(apps) > 1:
        parser.error(f"unrecognized arguments: {' '.join(apps[1:])}")
    items = (*values.pop(command_line.DEST, ()), *more)
    return next(iter(apps), None), values, items


def build_parser(of_uwsgi: bool = False) -> _Parser:
    """The command line, from the settings table; in one of uWSGI's, some flags are uWSGI's."""
    only = ", ".join(s.name for s in SETTINGS.values() if not s.flags)
    parser = _Parser(
        prog="cgunicorn",
        usage="%(prog)s [OPTIONS] [APP_MODULE]",
        description="Serves a WSGI application. APP_MODULE is MODULE, MODULE:NAME or"
        " MODULE:FACTORY(...).",
        epilog="`cgunicorn lab APP` measures which workers suit the application, see `cgunicorn lab"
        f" --help`. By configuration file or environment variable only: {only}. Command lines and"
        " ini files of uWSGI are understood too: --ini FILE, FILE.ini, or any option of uWSGI.",
        formatter_class=_Formatter,
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("-v", "--version", action=_Version, nargs=0, help="show versions and exit")
    parser.add_argument("app", nargs="*" if of_uwsgi else "?", default=None, help=argparse.SUPPRESS)
    for section in SECTIONS:
        group = parser.add_argument_group(section)
        for setting in SETTINGS.values():
            if setting.section == section and setting.flags:
                _add_flag(group, setting, command_line.TAKEN_OVER if of_uwsgi else ())
    if of_uwsgi:
        command_line.add_flags(parser)
    return parser


def _add_flag(group: argparse._ArgumentGroup, setting: Setting, without: Sequence[str]) -> None:
    help_line = _help_line(setting)
    flags = [flag for flag in setting.flags if flag not in without]
    if setting.kind is BOOL:
        group.add_argument(
            *flags,
            dest=setting.name,
            action="store_const",
            const=setting.flag_value,
            help=help_line,
        )
        return
    group.add_argument(
        *flags,
        dest=setting.name,
        action="append" if setting.kind is LIST else "store",
        type=_argument_type(setting),
        nargs="?" if setting.bare_value else None,
        const=setting.bare_value or None,
        metavar=setting.meta or setting.kind.meta,
        help=help_line,
    )


def _argument_type(setting: Setting) -> Callable[[str], object]:
    if setting.kind not in (INT, INT_OR_AUTO, MODE):
        return str

    def parse(text: str) -> object:
        try:
            return setting.kind.check(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not {setting.kind.valid}") from None

    return parse


def _help_line(setting: Setting) -> str:
    if setting.instead:
        return argparse.SUPPRESS
    default = _default_text(setting)
    return (f"{setting.help} [{default}]" if default else setting.help).replace("%", "%%")


def _default_text(setting: Setting) -> str:
    value = setting.default
    if setting.default_text or value is None or setting.kind is BOOL:
        return setting.default_text
    return ", ".join(value) if isinstance(value, tuple) else str(value)
