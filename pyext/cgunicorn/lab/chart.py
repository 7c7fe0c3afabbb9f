# SPDX-License-Identifier: MIT
"""The trials as a chart in SVG: two panels of bars, one row for each trial. Written by hand, as no
other program is to be needed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from cgunicorn.lab.figures import Trial
from cgunicorn.lab.table import duration, rate

_ROW = 44
_TOP = 96
_BOTTOM = 44
_LEFT = 130
_PANEL = 300
_LABEL = 90  # behind the longest bar
_GAP = 40
_WIDTH = _LEFT + 2 * (_PANEL + _LABEL) + _GAP

_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 17px; font-weight: 600 }
.small { font-size: 11px; fill: #57606a }
.rate { fill: #2f6fb0 }
.one { fill: #c8501e }
.all { fill: #eebf9f }
.axis { stroke: #8c959f; stroke-width: 1 }
""".strip()


@dataclass(frozen=True)
class _Bar:
    style: str
    value: float
    label: str


def svg(trials: Sequence[Trial], application: str) -> str:
    """The whole file."""
    height = _TOP + _ROW * len(trials) + _BOTTOM
    title = escape(f"cgunicorn lab: {application}")
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(20, 32, title, "title"),
        *_panel(_LEFT, "requests per second", [[_rate(t)] for t in trials]),
        *_panel(_LEFT + _PANEL + _LABEL + _GAP, _WAIT_HEADING, [_waits(t) for t in trials]),
        *(_name(i, trial) for i, trial in enumerate(trials)),
        _text(20, height - 16, _FOOT, "small"),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


_WAIT_HEADING = "a quick request waits (median)"
_FOOT = (
    "class workers x threads. Waits: dark, one slow request runs; light, as many as have a place."
    " Longer is worse there, and better on the left."
)


def _rate(trial: Trial) -> _Bar:
    return _Bar("rate", trial.load.rate, rate(trial.load))


def _waits(trial: Trial) -> list[_Bar]:
    one, every = trial.behind_one, trial.behind_all
    return [
        _Bar("one", one.median_s, f"{duration(one.median_s)}"),
        _Bar("all", every.median_s, f"{duration(every.median_s)}, {every.slow_n} slow"),
    ]


def _panel(x: int, heading: str, rows: Sequence[Sequence[_Bar]]) -> Iterator[str]:
    """Bars from `x` on, the longest as long as the panel is wide."""
    values = [bar.value for row in rows for bar in row if not math.isnan(bar.value)]
    unit = _PANEL / (max(values, default=0) or 1)
    yield _text(x, _TOP - 18, heading)
    for i, row in enumerate(rows):
        thickness = 28 // len(row)
        for j, bar in enumerate(row):
            y = _TOP + i * _ROW + 8 + j * thickness
            width = 0 if math.isnan(bar.value) else bar.value * unit
            yield (
                f'<rect class="{bar.style}" x="{x}" y="{y}" width="{width:.1f}"'
                f' height="{thickness - 1}"/>'
            )
            size = "" if len(row) == 1 else "small"
            yield _text(x + width + 6, y + thickness / 2 + 4, escape(bar.label), size)
    bottom = _TOP + _ROW * len(rows)
    yield f'<line class="axis" x1="{x}" y1="{_TOP}" x2="{x}" y2="{bottom}"/>'


def _name(i: int, trial: Trial) -> str:
    cell = trial.cell
    name = f"{cell.worker_class} {cell.workers} x {cell.threads}"
    return _text(20, _TOP + i * _ROW + 26, escape(name))


def _text(x: float, y: float, escaped: str, style: str = "") -> str:
    attribute = f' class="{style}"' if style else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}">{escaped}</text>'
