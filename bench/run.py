# SPDX-License-Identifier: MIT
"""Compares servers side by side: interleaved rounds, pinned alike, medians and ratios.

    ./dev bench                       every scenario
    ./dev bench hello -n 9            one scenario, nine rounds
    ./dev bench hello -p cgunicorn,bjoern

The figure to compare is CPU per request: user and system seconds of all the server's processes
divided by the requests that were answered. It is far steadier on a shared machine than requests
per second. The first server named is the one that the ratios are about.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys

from peers import PEERS, Peer
from running import ServerError
from scenarios import MORE, SCENARIOS, Figures, Scenario


def compare(scenario: Scenario, peers: list[Peer], rounds: int, seconds: int) -> None:
    """Measures one scenario in interleaved rounds and prints its rows, a block for each unit."""
    print(f"\n{scenario.name}: {scenario.what}, {rounds} rounds", flush=True)
    figures: dict[str, list[Figures]] = {p.name: [] for p in peers if scenario.way in p.commands}
    failed: dict[str, str] = {}
    for _ in range(rounds):
        for name in figures.keys() - failed.keys():
            try:
                figures[name].append(scenario.measure(PEERS[name], seconds))
            except ServerError as error:
                failed[name] = str(error).partition("\n")[0]
    for name, why in failed.items():
        print(f"  {name:10} {why}")
        del figures[name]
    if figures:
        for unit in next(iter(figures.values()))[0]:
            _print_unit(unit, {n: [round_[unit] for round_ in f] for n, f in figures.items()})


def _print_unit(unit: str, figures: dict[str, list[float]]) -> None:
    """The servers in order, the best first, and how the first one named compares with each."""
    print(f"  {unit}")
    ours, first = next(iter(figures.items()))
    order = sorted(figures, key=lambda n: statistics.median(figures[n]), reverse=unit in MORE)
    for name in order:
        values = figures[name]
        row = f"    {name:10} {statistics.median(values):10.2f}"
        row += f"  ({min(values):.2f} .. {max(values):.2f})"
        if name != ours and all(values):
            ratio = statistics.median(a / b for a, b in zip(first, values))
            row += f"   {ours}/{name} = {ratio:.2f}"
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    names = [s.name for s in SCENARIOS]
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("-n", "--rounds", type=int, default=5)
    parser.add_argument("-s", "--seconds", type=int, default=3, help="of each measurement")
    installed = [p.name for p in PEERS.values() if p.installed]
    parser.add_argument("-p", "--peers", default=",".join(installed), help="comma-separated")
    args = parser.parse_args()
    for word, given, known in (
        ("scenario", args.scenarios, names),
        ("server", args.peers.split(","), installed),
    ):
        unknown = [name for name in given if name not in known]
        if unknown:
            parser.error(f"no {word} {', '.join(unknown)}; there are {', '.join(known)}")
    if not shutil.which("wrk") or not shutil.which("taskset"):
        parser.error("needs wrk and taskset (Debian packages wrk and util-linux)")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("needs two processors: one for the server, one for the load")
    peers = [PEERS[name] for name in args.peers.split(",")]
    for scenario in SCENARIOS:
        if not args.scenarios or scenario.name in args.scenarios:
            compare(scenario, peers, args.rounds, args.seconds)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
