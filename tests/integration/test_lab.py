# SPDX-License-Identifier: MIT
"""The command `cgunicorn lab`: what it measures, how it is told, and that nothing is left of it."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from array import array
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cgunicorn import cli
from cgunicorn.lab import chart, command, grid, table, verdict
from cgunicorn.lab.crowd import Crowd, NoServerError
from cgunicorn.lab.figures import LoadFigures, Trial, WaitFigures, quantile
from cgunicorn.lab.grid import Cell
from cgunicorn.lab.progress import Progress
from cgunicorn.lab.reply import Reply, ReplyError
from cgunicorn.lab.subject import READY, Order
from harness import alive, children, poll, run_command, server_environment

APP = """
import time

def app(environ, start_response):
    if environ["PATH_INFO"] == "/slow":
        time.sleep(3)
    known = environ["PATH_INFO"] in ("/", "/slow") and not any("LAB" in key for key in environ)
    start_response("200 OK" if known else "404 Not Found", [])
    return [b"hello"]
"""

#: A grid that takes three seconds, sleeps included.
SHORT = ["--seconds", "0.2", "--sleep", "0.5", "--clients", "4"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def lab(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return run_command(folder, "lab", *args)


def measured(folder: Path, *args: str, spec: str = "app:app") -> dict[str, dict[str, Any]]:
    """The raw figures by the name of their cell."""
    done = lab(folder, spec, *SHORT, "--json", "raw.json", *args)
    assert done.returncode == 0, done.stderr
    cells = json.loads((folder / "raw.json").read_text())["cells"]
    return {f"{c['worker_class']} {c['workers']}x{c['threads']}": c for c in cells}


# The lesson


def test_a_quick_request_waits_behind_a_slow_one_where_there_is_one_place(folder: Path) -> None:
    cells = measured(folder, "--grid", "sync:1,2 async:1x1,1x2", "--sleep", "3")
    median = {name: sorted(c["behind_one"]["quick_s"])[2] for name, c in cells.items()}
    assert median["sync 1x1"] > 1.5
    assert median["async 1x1"] > 1.5
    assert median["sync 2x1"] < 1.5
    assert median["async 1x2"] < 1.5
    for cell in cells.values():
        assert cell["behind_one"]["slow_n"] == 1
        assert cell["behind_all"]["slow_n"] == cell["workers"] * cell["threads"]
        assert sorted(cell["behind_all"]["quick_s"])[2] > 0.3
        assert 3 <= cell["behind_all"]["slow_s"] < 30


def test_a_path_of_the_application_is_the_slow_one_if_it_is_named(folder: Path) -> None:
    (cell,) = measured(folder, "--grid", "sync:1", "--sleep", "10", "--slow", "/slow").values()
    assert 3 <= cell["behind_one"]["slow_s"] < 9
    assert min(cell["behind_one"]["quick_s"]) > 0.5


# What is shown


def test_table_chart_and_figures_tell_the_same(folder: Path) -> None:
    args = ["--grid", "sync:1 async:1x2", "--plot", "out.svg", "--json", "out.json"]
    # So long that half of it is no delay that a busy machine makes by itself.
    done = lab(folder, "app:app", *SHORT, "--sleep", "2", *args)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert re.match(r"class +threads +requests/s +p50 +p99 ", lines[1])
    assert [line.split()[:4] for line in lines[3:5]] == [
        ["sync", "1", "x", "1"],
        ["async", "1", "x", "2"],
    ]
    assert "makes all others wait with sync 1x1: " in done.stdout
    assert "Best fit of what was measured: async 1x2" in done.stdout.replace("\n", " ")
    assert "Warning" not in done.stdout
    cells = json.loads((folder / "out.json").read_text())["cells"]
    assert all(c["responses"] > 0 and c["statuses"] == {"200": c["responses"]} for c in cells)
    assert [f"{c['requests_per_s']:,.0f}" in lines[3 + i] for i, c in enumerate(cells)] == [
        True
    ] * 2
    texts = [e.text for e in ElementTree.parse(folder / "out.svg").iter() if e.text]
    assert "sync 1 x 1" in texts
    assert "async 1 x 2" in texts


def test_progress_is_a_plain_line_for_each_cell_where_there_is_no_terminal(folder: Path) -> None:
    done = lab(folder, "app:app", *SHORT, "--grid", "sync:1,2")
    first, *lines = done.stderr.splitlines()
    assert re.fullmatch(r"Measuring 2 cells, about \d+ s\.", first)
    assert [line.partition(":")[0] for line in lines] == ["[1/2] sync 1x1", "[2/2] sync 2x1"]
    assert "\x1b" not in done.stderr


def test_progress_rewrites_its_line_on_a_terminal() -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    progress = Progress(1, terminal)
    progress.begin("sync 1x1")
    for share in (0.1, 0.2):
        progress.show("under load", share)
    progress.end("well")
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert drawn == ["", "[1/1] sync 1x1: under load 10%", "[1/1] sync 1x1: well\n"]


def test_errors_of_the_application_are_told(folder: Path) -> None:
    done = lab(folder, "app:app", *SHORT, "--grid", "sync:1", "--path", "/none")
    assert done.returncode == 0
    assert re.search(r"Warning: sync 1x1: (\d+) of \1 requests: status 404\.", done.stdout)


def test_settings_of_the_server_are_passed_on(folder: Path) -> None:
    (folder / "inner").mkdir()
    (folder / "inner" / "other.py").write_text(
        APP + "import os\nassert os.environ['NAME'] == 'given'\n"
    )
    (folder / "conf.py").write_text("wsgi_app = 'other:app'\nraw_env = ['NAME=given']\n")
    args = [*SHORT, "--grid", "sync:1", "--chdir", "inner", "-c", "conf.py"]
    done = lab(folder, *args)
    assert done.returncode == 0, done.stderr


def test_the_files_of_the_real_server_are_left_alone(folder: Path) -> None:
    (folder / "conf.py").write_text(
        "pidfile = 'pid'\naccesslog = 'access.log'\nerrorlog = 'error.log'\nworkers = 3\n"
        "bind = 'unix:real.sock'\ndaemon = True\nproxy_protocol = True\nprotocol = 'uwsgi'\n"
    )
    before = sorted(folder.iterdir())
    done = lab(folder, "app:app", *SHORT, "--grid", "sync:1", "-c", "conf.py")
    assert done.returncode == 0, done.stderr
    after = [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"]
    assert after == before


def test_the_lab_is_imported_only_when_used(folder: Path) -> None:
    script = (
        "import sys\nfrom cgunicorn import cli\ncli.main(['--check-config', 'app:app'])\n"
        "sys.exit(any('lab' in name.split('.') for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=server_environment())
    assert done.returncode == 0


def test_an_ini_file_of_uwsgi_names_the_application(folder: Path) -> None:
    (folder / "uwsgi.ini").write_text(
        "[uwsgi]\nmodule = app:app\nprocesses = 3\nhttp = :5000\nsocket = /tmp/uwsgi.sock\n"
    )
    (cell,) = measured(folder, "--grid", "sync:1", spec="uwsgi.ini").values()
    assert cell["statuses"] == {"200": cell["responses"]}


# Bad input


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "The lab needs an application: `cgunicorn lab APP`. One in a module of the name lab"),
        (["app:app", "-w", "4"], "The lab decides on -w/--workers itself; --grid says what it"),
        (["app:app", "-b", ":80"], "The lab decides on -b/--bind itself; --grid says what it"),
        (["app:app", "--sleep", "5", "-t", "3"], "A slow request that sleeps 5 s would be ended"),
        (["app:app", "--plot", "no/x.svg"], "Can't write 'no/x.svg': there is no such folder, or"),
        (["app:app", "--json", "."], "Can't write '.': there is no such folder, or"),
        (["app:app", "--chdir", "no"], "Invalid value for chdir: 'no' (from the command line"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_1(
    folder: Path, args: list[str], sentence: str
) -> None:
    done = lab(folder, *args)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {sentence}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["--plot", "x.png"], "a chart is written as SVG, so the file must end in .svg: 'x.png'."),
        (["--grid", "sync"], "'sync' is no part of a grid, it must be like 'async:1x4,2x4'."),
        (["--seconds", "nan"], "'nan' is not a number from 0.1 to 60 (seconds)."),
        (["--sleep", "11"], "'11' is not a number from 0.1 to 10 (seconds)."),
        (["--clients", "0"], "'0' is not an integer from 1 to 500."),
        (["--path", "x"], "'x' is no path, it must begin with '/'."),
        (["--frob"], "unrecognized arguments: --frob"),
        (
            ["b:c"],
            "b:c; the application is 'app:app' already, and flags that switch something on take no"
            " value",
        ),
    ],
)
def test_wrong_command_line_is_exit_code_2(folder: Path, args: list[str], sentence: str) -> None:
    done = lab(folder, "app:app", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"{sentence}\n")


def test_a_server_that_does_not_start_shows_its_error(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\n")
    done = lab(folder, "broken:app")
    assert (done.returncode, done.stdout) == (1, "")
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert done.stderr.endswith("Error: The server of sync 1x1 did not start, see above.\n")


def test_a_module_called_lab_is_served_when_it_is_written_with_its_application(
    folder: Path,
) -> None:
    (folder / "lab.py").write_text(APP.replace("def app", "def application"))
    for args in (["lab:application"], ["-w", "1", "lab"]):
        done = run_command(folder, *args, "--check-config")
        assert (done.returncode, done.stderr) == (0, "")


def test_no_option_of_the_lab_is_one_of_the_server_but_uwsgis_json() -> None:
    def flags(parser: Any) -> set[str]:
        return {flag for action in parser._actions for flag in action.option_strings}

    own = flags(command.build_parser())
    assert own & flags(cli.build_parser()) == {"-h", "--help"}
    assert own & flags(cli.build_parser(of_uwsgi=True)) == {"-h", "--help", "--json"}


# The end


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_lab_leaves_no_process_behind(folder: Path, signum: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cgunicorn", "lab", "app:app", "--seconds", "60"],
        cwd=folder,
        env=server_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        servers = poll(lambda: children(process.pid), "a server")
        workers = poll(lambda: [w for s in servers for w in children(s)], "a worker")
        process.send_signal(signum)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out) == (130, b"")
    assert b"Traceback" not in err
    for pid in [*servers, *workers]:
        poll(lambda pid=pid: not alive(pid), f"process {pid} ends")


def test_a_server_ends_by_itself_when_the_lab_can_not_end_it(folder: Path) -> None:
    heard_fd, report_fd = os.pipe()
    settings = {"bind": ["127.0.0.1:0"], "workers": 2}
    order = Order(settings, "secret", 0, life_s=10, report_fd=report_fd)
    process = subprocess.Popen(
        [sys.executable, "-m", "cgunicorn.lab.subject", str(order), "app:app"],
        cwd=folder,
        env=server_environment(),
        stderr=subprocess.DEVNULL,
        pass_fds=[report_fd],
    )
    os.close(report_fd)
    try:
        with open(heard_fd, "rb", buffering=0) as heard:  # noqa: PTH123 - a descriptor
            ready = heard.read(1)
            # The end of the pipe: the last process that had it is gone.
            while said := heard.read(1):
                ready += said
    finally:
        process.kill()
    assert ready == READY * 2
    assert process.wait() == -signal.SIGALRM


def test_an_interrupted_lab_shows_what_it_has(folder: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "cgunicorn", "lab", "app:app", *SHORT, "--grid", "sync:1,2"],
        cwd=folder,
        env=server_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr
    try:
        while not process.stderr.readline().startswith("[1/2]"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "sync       1 x 1" in out
    assert "2 x 1" not in out


def test_a_server_that_dies_under_load_ends_the_lab(folder: Path) -> None:
    (folder / "deadly.py").write_text(
        "import os, signal\n"
        "def app(environ, start_response):\n"
        "    os.kill(os.getppid(), signal.SIGKILL)\n"
        "    os._exit(1)\n"
    )
    done = lab(folder, "deadly:app", *SHORT, "--grid", "sync:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.search(r"\nError: sync 1x1: The server can't be reached any more: .*\n$", done.stderr)


# The grid


def test_a_grid_is_read_in_its_order_and_each_cell_once() -> None:
    assert [str(c) for c in grid.parse("sync:2,1,2x1  async:1x4")] == [
        "sync 2x1",
        "sync 1x1",
        "async 1x4",
    ]
    assert len(grid.parse(grid.DEFAULT)) == 6


@pytest.mark.parametrize(
    "text",
    [
        *("", "sync", "sync:", "mine:1"),
        *("sync:0", "sync:65", "sync:1x", "async:x4", "async:1x4x4", "async:\u0663"),
        *("sync:1x2", "async:5x64", "sync:" + "9" * 5000),
        "sync:" + ",".join(str(n) for n in range(1, 26)),
    ],
)
def test_a_grid_that_cannot_be_measured_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\.$"):
        grid.parse(text)


# Figures


def test_quantile_is_the_smallest_value_that_is_not_exceeded_by_that_share() -> None:
    values = [float(n) for n in range(1, 101)]
    found = [quantile(values, share) for share in (0.0, 0.5, 0.99, 1.0)]
    assert found == [1.0, 50.0, 99.0, 100.0]
    assert quantile([7.0], 0.99) == 7.0
    assert math.isnan(quantile([], 0.5))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0.40 ms"),
        (0.00996, "10.0 ms"),
        (0.1, "0.10 s"),
        (0.998, "1.00 s"),
        (math.nan, "none"),
    ],
)
def test_durations_have_the_digits_that_mean_something(seconds: float, text: str) -> None:
    assert table.duration(seconds) == text


def trial(size: str, rate: float, wait_s: float, *, busy: float = 0.1, slow_s: float = 1) -> Trial:
    """A trial without flaw, of a load that lasted one second."""
    (cell,) = grid.parse(size)
    load = LoadFigures(array("d", [0.001] * int(rate)), Counter({200: int(rate)}), Counter(), 1.0)
    load.client_cpu_s = busy
    all_places = WaitFigures(cell.places, slow_s, (slow_s,) * 5)
    return Trial(cell, load, WaitFigures(1, slow_s, (wait_s,) * 5), all_places)


def test_the_best_fit_is_the_smallest_of_those_that_are_quick_and_not_held_up() -> None:
    held_up = trial("sync:1", 9000, 1.0)
    slow, large, small = (
        trial("sync:2", 500, 0.01),
        trial("async:2x4", 1000, 0.01),
        trial("async:1x4", 900, 0.01),
    )
    assert verdict.best_fit([held_up, slow, large, small]) is small
    assert verdict.best_fit([held_up, slow, large]) is large
    assert verdict.best_fit([held_up]) is None


def test_the_verdict_says_what_it_does_not_know() -> None:
    assert "too little to show" in verdict.sentences([trial("sync:1", 9, 0, slow_s=0.001)])[0]
    assert "try more places" in verdict.sentences([trial("sync:1", 9, 1.0)])[1]
    assert "no rest" in verdict.sentences([trial("sync:1", 9, 1.0, busy=0.9)])[-1]


def test_a_rate_that_the_clients_limit_is_marked() -> None:
    text = table.text([trial("sync:1", 12345, 1.0, busy=0.9), trial("async:1x4", 5.5, 0.001)])
    lines = text.splitlines()
    assert ">=12,345" in lines[3]
    assert re.match(r"async +1 x 4 +5\.0 +1\.00 ms +1\.00 ms +1\.00 ms \(1\.00 ms\)", lines[4])
    assert "4 slow: 1.00 s (1.00 s)" in lines[4]


def test_a_chart_is_well_formed_whatever_is_in_it() -> None:
    nothing = Trial(
        Cell("async", 2, 4), LoadFigures(), WaitFigures(0, 0.0, ()), WaitFigures(0, 0.0, ())
    )
    text = chart.svg([trial("sync:1", 100, 1.0), nothing], "app:make('<&>')")
    root = ElementTree.fromstring(text)
    bars = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if e.get("class")]
    assert [float(bar.get("width", "")) for bar in bars] == [300, 0, 300, 300, 0, 0]
    assert "nan" not in text
    assert root.findtext("{http://www.w3.org/2000/svg}title") == "cgunicorn lab: app:make('<&>')"


# The clients

REPLIES = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", True),
    (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\ncontent-length: 1\r\n\r\nx", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", True),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", True),
    (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", True),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n\r\n\r\r\n"
     b"A\r\n0123456789\r\n0\r\nA: b\r\n\r\n", True),
]  # fmt: skip


@pytest.mark.parametrize(("data", "keeps_open"), REPLIES)
def test_the_end_of_a_response_is_found_in_whole_and_byte_by_byte(
    data: bytes, keeps_open: bool
) -> None:
    for size in (1, 2, len(data)):
        reply = Reply()
        ends = [reply.feed(data[i : i + size]) for i in range(0, len(data), size)]
        assert ends == [False] * (len(ends) - 1) + [True]
        assert reply.keeps_open is keeps_open


def test_a_response_without_length_ends_with_its_connection() -> None:
    reply = Reply()
    assert not reply.end()
    assert not reply.feed(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert reply.end()
    assert not reply.keeps_open


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n\r\n", b"x" * 70000, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy"]
    + [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b
        for b in (b"z\r\n", b"1" * 5000)
    ],
)
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(ReplyError):
        Reply().feed(data)


@pytest.fixture
def once() -> Iterator[tuple[str, int]]:
    """The address of a server that answers every connection with the end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            with listener.accept()[0] as client:
                client.recv(1000)

        thread = threading.Thread(target=hang_up)
        thread.start()
        yield listener.getsockname()
        thread.join(30)


def test_a_connection_that_ends_is_a_failure_and_one_that_is_refused_an_error(
    once: tuple[str, int],
) -> None:
    with Crowd(once) as crowd:
        crowd.ask(b"GET / HTTP/1.1\r\n\r\n")
        over = poll(lambda: crowd.turn(0.1), "the end of the exchange")
    assert [e.failure for e in over] == ["the connection ended before the response did"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        gone = listener.getsockname()
    with Crowd(gone) as crowd, pytest.raises(NoServerError):
        crowd.ask(b"GET / HTTP/1.1\r\n\r\n")
        crowd.turn(30)
