# SPDX-License-Identifier: MIT
"""`cgunicorn lab APP`. Exit codes: 0, 1 for what cannot be used or measured, 2 for a wrong command
line, 130 when interrupted; what was measured until then is shown."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

from cgunicorn import _cgunicorn, cli, config, cpus
from cgunicorn.errors import ConfigError, NoAppError
from cgunicorn.lab import chart, grid, table, trial, verdict
from cgunicorn.lab.figures import Trial
from cgunicorn.lab.grid import Cell
from cgunicorn.lab.progress import Progress
from cgunicorn.lab.server import ServerError
from cgunicorn.settings import SETTINGS

#: What the lab alone decides: to be given as --grid, or not at all.
_OWN_SETTINGS = ("bind", "workers", "worker_class", "threads", "daemon", "check_config")

_COLUMNS_MAX = 100

_DESCRIPTION = """\
Measures what worker classes, workers and threads make of an application on this machine: a load of
clients first, then quick requests while slow ones run. APP is named as for serving it; all other
options of cgunicorn that say how APP is found and served may stand beside these.
"""
_EPILOG = """\
An application in a module of the name lab is served by `cgunicorn lab:application`.
"""


def main(argv: Sequence[str]) -> int:
    """Runs the command with the arguments behind its name; returns the exit code."""
    try:
        cli.open_standard_streams()
        options, arguments = _parse(argv)
        plan, application = _plan(options, arguments, argv)
        _check_output(options)
        for signum in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, _interrupt)
        return _measure(plan, options, application)
    except ConfigError as error:
        return cli.complain(str(error), error.details)
    except KeyboardInterrupt:
        return cli.EXIT_INTERRUPTED


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _measure(plan: trial.Plan, options: argparse.Namespace, application: str) -> int:
    trials: list[Trial] = []
    code = _run_grid(plan, options.grid, trials)
    if trials:
        sentences = [textwrap.fill(s, _COLUMNS_MAX) for s in verdict.sentences(trials)]
        cli.show("\n".join([table.text(trials), "", *sentences]))
        if options.plot:
            _write(options.plot, chart.svg(trials, application))
        if options.json:
            _write(options.json, _as_json(trials, plan, application))
    return code


def _run_grid(plan: trial.Plan, cells: Sequence[Cell], trials: list[Trial]) -> int:
    """Appends what was measured, until something goes wrong."""
    progress = Progress(len(cells))
    seconds = len(cells) * plan.cell_s
    number = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
    print(f"Measuring {number}, about {seconds:.0f} s.", file=sys.stderr)
    try:
        for cell in cells:
            progress.begin(str(cell))
            trials.append(trial.run(cell, plan, progress.show))
            progress.end(_outcome(trials[-1]))
    except ServerError as error:
        progress.give_up()
        return cli.complain(str(error), error.details)
    except KeyboardInterrupt:
        progress.give_up()
        return cli.EXIT_INTERRUPTED
    return 0


def _outcome(done: Trial) -> str:
    wait = table.duration(done.behind_one.median_s)
    return f"{table.rate(done.load)} requests/s; behind a slow request {wait}"


# The command line


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The lab's options, and the arguments that are the server's."""
    return build_parser().parse_known_args(argv)


def build_parser() -> argparse.ArgumentParser:
    """Of the lab's own options; what it does not know is the server's."""
    parser = argparse.ArgumentParser(
        prog="cgunicorn lab",
        usage="%(prog)s [OPTIONS] APP",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--grid",
        type=_reader(grid.parse),
        default=grid.DEFAULT,
        metavar="GRID",
        help="what is measured: CLASS:WORKERSxTHREADS,... CLASS:... [%(default)s]",
    )
    number = _number
    add("--seconds", type=number(0.1, 60), default=2.0, help="length of each load [%(default)s]")
    add("--clients", type=_reader(_clients), default=8, help="clients of the load [%(default)s]")
    add("--path", type=_reader(_path), default="/", help="of the requests [%(default)s]")
    add(
        "--slow",
        type=_reader(_path),
        metavar="PATH",
        help="a path that is slow by itself [--path, entered after a sleep]",
    )
    add(
        "--sleep",
        type=number(0.1, 10),
        default=1.0,
        metavar="SECONDS",
        help="how long a slow request sleeps, without --slow [%(default)s]",
    )
    add("--plot", type=_reader(_plot), metavar="FILE.svg", help="draw a chart")
    add("--json", metavar="FILE", help="write the raw figures")
    return parser


def _reader(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """For argparse, which keeps the sentences of this exception only."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= most:
            raise ValueError(f"{text!r} is not a number from {least} to {most} (seconds).")
        return value

    return _reader(parse)


def _clients(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 500):
        raise ValueError(f"{text!r} is not an integer from 1 to 500.")
    return int(text)


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no path, it must begin with '/'.")
    return quote(os.fsencode(text), safe="/%?&=:;,+@!$'()*~#-._").partition("#")[0]


def _plot(text: str) -> str:
    if Path(text).suffix.lower() != ".svg":
        raise ValueError(f"a chart is written as SVG, so the file must end in .svg: {text!r}.")
    return text


# Settings


def _plan(
    options: argparse.Namespace, arguments: list[str], argv: Sequence[str]
) -> tuple[trial.Plan, str]:
    """What to do and the application's name, after a look at the configuration. ConfigError."""
    start = cli.invocation(arguments)
    cli.enter_virtualenv(start, [cli.LAB, *argv])
    for name in _OWN_SETTINGS:
        if name in start.arguments[-1].values:
            flags = "/".join(SETTINGS[name].flags)
            raise ConfigError(f"The lab decides on {flags} itself; --grid says what it measures.")
    try:
        found = config.load(start)
    except NoAppError:
        raise ConfigError(
            "The lab needs an application: `cgunicorn lab APP`. One in a module of the name lab is"
            " served by `cgunicorn lab:application`."
        ) from None
    for warning in found.warnings:
        print(f"Warning: {warning}", file=sys.stderr)
    if 0 < found.timeout <= options.sleep and not options.slow:
        raise ConfigError(
            f"A slow request that sleeps {options.sleep:g} s would be ended by timeout"
            f" ({found.timeout} s)."
        )
    plan = trial.Plan(
        path=options.path,
        slow_path=options.slow or "",
        sleep_s=options.sleep,
        clients_n=options.clients,
        seconds=options.seconds,
        arguments=arguments,
        settings=_harmless(found),
    )
    return plan, found.app_spec


def _harmless(found: config.Config) -> dict[str, Any]:
    """Settings that keep the lab's servers out of the way of the real one, its files and those who
    read its logs and metrics."""
    settings: dict[str, Any] = {
        "daemon": False,
        "pidfile": "",
        "reload": False,
        "errorlog": "-",
        "syslog": False,
        "protocol": "http",
        "proxy_protocol": "off",
    }
    if found.accesslog:  # what writing it costs is the configuration's
        settings["accesslog"] = os.devnull
    if found.statsd_host:
        settings["statsd_host"] = "127.0.0.1:9"  # where packets are discarded
    return settings


# Files


def _check_output(options: argparse.Namespace) -> None:
    """Before minutes are spent. ConfigError."""
    for name in filter(None, (options.plot, options.json)):
        folder = Path(name).absolute().parent
        if Path(name).is_dir() or not (folder.is_dir() and os.access(folder, os.W_OK)):
            raise ConfigError(f"Can't write {name!r}: there is no such folder, or it is not ours.")


def _write(name: str, text: str) -> None:
    try:
        Path(name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"Can't write {name!r}: {error.strerror}.") from None


def _as_json(trials: Sequence[Trial], plan: trial.Plan, application: str) -> str:
    what = {
        "cgunicorn": _cgunicorn.version,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": cpus.usable(),
        "application": application,
        "path": plan.path,
        "slow_path": plan.slow_path,
        "sleep_s": None if plan.slow_path else plan.sleep_s,
        "clients": plan.clients_n,
        "seconds": plan.seconds,
    }
    return json.dumps({**what, "cells": [_trial_json(t) for t in trials]}, indent=2) + "\n"


def _trial_json(done: Trial) -> dict[str, Any]:
    load = done.load
    return {
        **asdict(done.cell),
        "requests_per_s": load.rate,
        "is_client_bound": load.is_client_bound,
        "elapsed_s": load.elapsed_s,
        "responses": len(load.latencies_s),
        "latency_s": {name: load.latency_s(share) for name, share in _SHARES.items()},
        "statuses": dict(load.statuses),
        "failures": dict(load.failures),
        "behind_one": asdict(done.behind_one),
        "behind_all": asdict(done.behind_all),
    }


_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
