# SPDX-License-Identifier: MIT
"""The measurements of one cell: a load of clients that ask again as soon as they are answered, then
quick requests while slow ones are in the application."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from cgunicorn.lab.crowd import Crowd, Exchange, NoServerError
from cgunicorn.lab.figures import LoadFigures, Trial, WaitFigures
from cgunicorn.lab.grid import Cell
from cgunicorn.lab.server import Server

#: Quick requests that come, all at once, while slow ones are in the application.
QUICK_N = 5

#: Seconds that a slow request of the application's own may take, and that requests under a load may
#: still take when its time is up.
PATIENCE_S = 30.0

_WARM_UP_SHARE = 0.25
_TURN_S = 0.1

#: Called with what is going on, and with the share of it that is done.
ShowFn = Callable[[str, float], None]


@dataclass(frozen=True)
class Plan:
    """What is done with each cell. `slow_path`: of a request that is slow by itself; none: the lab
    makes one for `path` that sleeps `sleep_s`. `arguments` and `settings` are the server's."""

    path: str
    slow_path: str
    sleep_s: float
    clients_n: int
    seconds: float
    arguments: Sequence[str]
    settings: dict[str, Any]

    @property
    def cell_s(self) -> float:
        """About how long a cell takes."""
        return self.seconds * (1 + _WARM_UP_SHARE) + 2 * self.sleep_s + 1

    @property
    def life_s(self) -> float:
        """How long a cell takes at most."""
        return self.cell_s + 2 * PATIENCE_S + 2 * (self.sleep_s + PATIENCE_S)


def run(cell: Cell, plan: Plan, show: ShowFn) -> Trial:
    """Measures one cell. ServerError."""
    sleep_s = 0.0 if plan.slow_path else plan.sleep_s
    with Server(cell, plan.arguments, plan.settings, sleep_s, plan.life_s) as server:
        show("starting", 0)
        server.wait_ready(lambda: show("starting", 0))
        try:
            _load(server, plan, plan.seconds * _WARM_UP_SHARE, lambda _: show("warming up", 0))
            load = _load(server, plan, plan.seconds, lambda share: show("under load", share))
            show("behind a slow request", 0)
            behind_one = behind_all = _wait(server, plan, 1)
            if cell.places > 1:
                show(f"behind {cell.places} slow requests", 0)
                behind_all = _wait(server, plan, cell.places)
        except NoServerError as error:
            raise server.error(f"{cell}: {error}") from None
    return Trial(cell, load, behind_one, behind_all)


def _load(server: Server, plan: Plan, seconds: float, show: Callable[[float], None]) -> LoadFigures:
    """Requests under way when time is up are waited for, and count: a slow application would have
    no figures else."""
    figures = LoadFigures()
    request = server.request(plan.path)
    started_s = last_s = time.perf_counter()
    started_cpu_s = time.process_time()
    with Crowd(server.address) as crowd:
        for _ in range(plan.clients_n):
            crowd.ask(request)
        while crowd.waiting_n:
            passed_s = time.perf_counter() - started_s
            if passed_s > seconds + PATIENCE_S:
                figures.failures["no response"] += crowd.waiting_n
                break
            for exchange in crowd.turn(_TURN_S):
                last_s = _count(figures, exchange)
                if passed_s < seconds:
                    crowd.ask(request, exchange)
            show(min(passed_s / seconds, 1))
    figures.elapsed_s = last_s - started_s
    figures.client_cpu_s = time.process_time() - started_cpu_s
    figures.latencies_s = array("d", sorted(figures.latencies_s))
    return figures


def _count(figures: LoadFigures, exchange: Exchange) -> float:
    """Returns when it was over."""
    if exchange.failure:
        figures.failures[exchange.failure] += 1
    else:
        figures.statuses[exchange.status] += 1
        figures.latencies_s.append(exchange.took_s)
    return exchange.started_s + exchange.took_s


def _wait(server: Server, plan: Plan, slow_n: int) -> WaitFigures:
    """Quick requests, on new connections, that come when the slow ones have entered the
    application."""
    slow = server.request(plan.slow_path or plan.path, slow=True)
    quick = server.request(plan.path)
    before_n = server.slow_n()
    took: dict[bytes, list[float]] = {slow: [], quick: []}
    with Crowd(server.address) as crowd:
        for _ in range(slow_n):
            crowd.ask(slow)
        deadline_s = time.perf_counter() + plan.sleep_s + PATIENCE_S
        entered_n = 0
        # One that is over before the others have entered says that they will never be together.
        while entered_n < slow_n and not took[slow] and time.perf_counter() < deadline_s:
            _note(took, crowd.turn(0.002))
            entered_n = server.slow_n() - before_n
        for _ in range(QUICK_N):
            crowd.ask(quick)
        while crowd.waiting_n and time.perf_counter() < deadline_s:
            _note(took, crowd.turn(_TURN_S))
    return WaitFigures(entered_n, max(took[slow], default=0.0), tuple(sorted(took[quick])))


def _note(took: dict[bytes, list[float]], exchanges: list[Exchange]) -> None:
    for exchange in exchanges:
        if not exchange.failure:
            took[exchange.request].append(exchange.took_s)
