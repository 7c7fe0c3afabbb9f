# SPDX-License-Identifier: MIT
"""reload: what counts as a change, what a change does, and what an application that cannot be
loaded looks like. spew, the other aid for development, is here too."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import PATIENCE, Server, poll

Serve = Callable[..., Server]

#: Answers the text of the module part.
APP = """
import part
def app(environ, start_response):
    start_response("200 OK", [])
    return [part.TEXT.encode()]
"""

RELOADING = "Worker reloading: {} modified"


@pytest.fixture(params=["inotify", "poll"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "inotify" and sys.platform != "linux":
        pytest.skip("inotify is Linux's")
    return str(request.param)


def write(path: Path, source: str) -> None:
    """As most editors do: a new file takes the name."""
    new = path.with_name("new~")
    new.write_text(source)
    new.replace(path)


def put(directory: Path, text: str) -> None:
    write(directory / "part.py", f"TEXT = {text!r}\n")


def body_becomes(server: Server, text: str) -> None:
    poll(lambda: server.get().body == text.encode(), f"the answer {text!r}:\n{server.log}")


def reloads(server: Server, path: str | Path) -> int:
    return server.log.count(RELOADING.format(server.directory / path))


def start(serve: Serve, *args: str, **options: object) -> Server:
    return serve(options.pop("app", APP), "--reload", *args, **options)


def test_a_change_is_served(serve: Serve, tmp_path: Path, worker_class: str, engine: str) -> None:
    put(tmp_path, "one")
    server = start(serve, "-k", worker_class, "--reload-engine", engine)
    assert server.get().body == b"one"
    put(tmp_path, "two")
    body_becomes(server, "two")
    assert reloads(server, "part.py") == 1
    assert "[WARNING] Reloader is on. Use in development only!" in server.log


def test_every_change_counts_however_soon_and_alike(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "0")
    server = start(serve)
    for text in "123456":
        put(tmp_path, text)
        body_becomes(server, text)


def test_a_file_written_in_place_counts(serve: Serve, tmp_path: Path, engine: str) -> None:
    put(tmp_path, "one")
    server = start(serve, "--reload-engine", engine)
    assert server.get().body == b"one"
    (tmp_path / "part.py").write_text("TEXT = 'two'\n")
    body_becomes(server, "two")


def test_a_file_behind_a_symbolic_link_counts(serve: Serve, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, "one")
    (tmp_path / "part.py").symlink_to(elsewhere / "part.py")
    server = start(serve)
    assert server.get().body == b"one"
    put(elsewhere, "two")
    body_becomes(server, "two")


def test_all_workers_reload(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    server = start(serve, "-w", "3")
    server.wait_log("Reloader is on", count=3)
    before = set(server.wait_workers(3))
    put(tmp_path, "two")
    server.wait_log(r"Worker reloading: .*part\.py modified", count=3)
    poll(lambda: len(server.workers()) == 3 and not before & set(server.workers()), "new workers")
    body_becomes(server, "two")
    assert "died early" not in server.log


def test_a_request_under_way_is_finished(serve: Serve, tmp_path: Path, worker_class: str) -> None:
    put(tmp_path, "one")
    app = (
        APP
        + """
def app(environ, start_response, inner=app):
    import pathlib, time
    if environ["PATH_INFO"] == "/hold":
        pathlib.Path("entered").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.01)
    return inner(environ, start_response)
"""
    )
    server = start(serve, "-k", worker_class, app=app)
    with server.connect() as client:
        client.send_request("GET", "/hold")
        poll((tmp_path / "entered").exists, "request entered the application")
        put(tmp_path, "two")
        server.wait_log("Worker reloading")
        (tmp_path / "go").touch()
        assert client.response().body == b"one"
    body_becomes(server, "two")


def test_many_changes_are_one_reload(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "0")
    server = start(serve)
    assert server.get().body == b"0"
    (worker,) = server.wait_workers(1)
    os.kill(worker, signal.SIGSTOP)  # so that none is seen before all have been made
    for n in range(50):
        put(tmp_path, str(n))
        (tmp_path / "app.py").touch()
    os.kill(worker, signal.SIGCONT)
    body_becomes(server, "49")
    assert len(server.log.split("Worker reloading")) == 2, server.log


def test_a_module_imported_late_counts(serve: Serve, tmp_path: Path) -> None:
    folder = tmp_path / "far" / "away"
    folder.mkdir(parents=True)
    put(folder, "one")
    app = """
def app(environ, start_response):
    import sys
    sys.path.append("far/away")
    import part
    start_response("200 OK", [])
    return [part.TEXT.encode()]
"""
    server = start(serve, app=app)
    assert server.get().body == b"one"
    put(folder, "two")
    body_becomes(server, "two")


def test_a_new_module_of_a_package_counts(serve: Serve, tmp_path: Path, engine: str) -> None:
    """When something imports it, and from then on by itself."""
    package = tmp_path / "part"
    package.mkdir()
    write(package / "__init__.py", "TEXT = 'one'\n")
    server = start(serve, "--reload-engine", engine)
    assert server.get().body == b"one"
    write(package / "more.py", "TEXT = 'two'\n")
    write(package / "__init__.py", "from part.more import TEXT\n")
    body_becomes(server, "two")
    write(package / "more.py", "TEXT = 'three'\n")
    body_becomes(server, "three")
    assert reloads(server, "part/more.py") == 1


def test_a_file_that_was_away_counts(serve: Serve, tmp_path: Path, engine: str) -> None:
    """Some editors take the old file away before they write the new one."""
    put(tmp_path, "one")
    server = start(serve, "--reload-engine", engine)
    assert server.get().body == b"one"
    (tmp_path / "part.py").rename(tmp_path / "part.py~")
    assert server.get().body == b"one"
    put(tmp_path, "two")
    body_becomes(server, "two")
    assert reloads(server, "part.py") == 1


def is_watching(pid: int) -> bool:
    """Whether a process has asked inotify for anything."""
    found = []
    for path in Path(f"/proc/{pid}/fdinfo").iterdir():
        with contextlib.suppress(OSError):
            found.append("inotify wd:" in path.read_text())
    return any(found)


def test_a_release_behind_a_symbolic_link_counts(serve: Serve, tmp_path: Path, engine: str) -> None:
    """The folder that holds the code is another one from one moment to the next."""
    for release in ("one", "two"):
        (tmp_path / release).mkdir()
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "current").symlink_to("data")
    put(tmp_path / "one", "one")
    server = start(serve, "--reload-engine", engine, "--pythonpath", "current")
    assert server.get().body == b"one"
    (worker,) = server.wait_workers(1)
    poll(lambda: engine == "poll" or is_watching(worker), "the folders are watched")
    put(tmp_path / "two", "two")
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")
    body_becomes(server, "two")


def test_what_is_changed_while_it_is_loaded_counts(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    app = APP.replace(
        "import part",
        """
import part, pathlib, time
if part.TEXT == "one":
    pathlib.Path("entered").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
""",
    )
    server = start(serve, app=app)
    poll((tmp_path / "entered").exists, "the application is being loaded")
    put(tmp_path, "two")
    (tmp_path / "go").touch()
    body_becomes(server, "two")


def test_a_file_from_the_future_does_not_reload_for_ever(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    later = time.time() + 3600
    os.utime(tmp_path / "part.py", (later, later))
    server = start(serve)
    assert server.get().body == b"one"
    put(tmp_path, "two")
    body_becomes(server, "two")
    assert reloads(server, "part.py") == 1


# More files


def test_extra_files_and_globs(serve: Serve, tmp_path: Path, engine: str) -> None:
    put(tmp_path, "one")
    (tmp_path / "settings.ini").write_text("a")
    (tmp_path / "templates" / "deep").mkdir(parents=True)
    (tmp_path / "templates" / "deep" / "a.html").write_text("a")
    server = start(
        serve,
        *("--reload-engine", engine),
        *("--reload-extra-file", "settings.ini"),
        *("--reload-extra-file", "templates/**/*.html"),
        *("--reload-extra-file", "not/there/yet/*.txt"),
    )
    server.get()
    (tmp_path / "not" / "there" / "yet").mkdir(parents=True)
    (tmp_path / "templates" / "new").mkdir()
    for path in (
        "settings.ini",
        "templates/deep/a.html",
        "templates/deep/b.html",
        "templates/new/c.html",
        "not/there/yet/d.txt",
    ):
        count = server.log.count("Reloader is on")
        write(tmp_path / path, "b")
        poll(lambda path=path: reloads(server, path) == 1, f"{path} counts:\n{server.log}")
        server.wait_log("Reloader is on", count=count + 1)
        server.get()


def test_other_files_do_not_count(serve: Serve, tmp_path: Path, engine: str) -> None:
    put(tmp_path, "one")
    server = start(serve, "--reload-engine", engine)
    server.get()
    (tmp_path / "data.txt").write_text("a")
    (tmp_path / "other.py").write_text("a")
    put(tmp_path, "two")
    body_becomes(server, "two")
    assert len(server.log.split("Worker reloading")) == 2, server.log


def test_a_missing_extra_file_is_refused(serve: Serve) -> None:
    server = start(serve, "--reload-extra-file", "nope.txt", wait=False)
    assert server.wait() == 1
    assert "'nope.txt' doesn't exist." in server.log


# What cannot be loaded


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("TEXT = (", ["part.py", "SyntaxError"]),
        ("TEXT = 1 / 0", ["part.py", "ZeroDivisionError", "Traceback"]),
        ("import helper", ["part.py", "ModuleNotFoundError"]),
        ("import sys; sys.exit(3)", ["part.py", "SystemExit"]),
    ],
)
def test_a_broken_edit_is_answered_with_its_traceback(
    serve: Serve, tmp_path: Path, worker_class: str, broken: str, words: list[str]
) -> None:
    put(tmp_path, "one")
    server = start(serve, "-k", worker_class)
    assert server.get().body == b"one"
    write(tmp_path / "part.py", broken)
    poll(lambda: server.get().status == 500, "the page")
    for _ in range(2):
        page = server.get("/any/path")
        assert (page.status, page.reason) == (500, "Internal Server Error")
        assert page.field("Content-Type") == "text/plain; charset=utf-8"
        assert all(word in page.body.decode() for word in words), page.body
    assert "Error while loading the application." in server.log
    put(tmp_path, "two")
    body_becomes(server, "two")
    assert "died early" not in server.log


def test_a_server_may_start_broken(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text("def (")
    server = start(serve)
    assert b"SyntaxError" in server.get().body
    put(tmp_path, "one")
    body_becomes(server, "one")


def test_a_missing_module_may_appear(serve: Serve, tmp_path: Path) -> None:
    server = start(serve)
    assert b"No module named 'part'" in server.get().body
    put(tmp_path, "one")
    body_becomes(server, "one")


def test_a_missing_application_may_appear(serve: Serve, tmp_path: Path) -> None:
    server = start(serve, app="application = None")
    assert server.get().body.startswith(b"Failed to find attribute 'app' in 'app'")
    put(tmp_path, "one")
    write(tmp_path / "app.py", APP)
    body_becomes(server, "one")


def test_without_reload_a_broken_application_ends_the_server(serve: Serve) -> None:
    server = serve("def (", wait=False)
    assert server.wait() == 3


# Around it


def test_worker_int_is_called_before_the_worker_leaves(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    (tmp_path / "gunicorn.conf.py").write_text(
        'def worker_int(worker):\n    print("told", worker.pid, worker.alive, flush=True)\n'
    )
    server = start(serve)
    server.get()
    (pid,) = server.wait_workers(1)
    put(tmp_path, "two")
    body_becomes(server, "two")
    assert server.log.count(f"told {pid} True") == 1


def test_an_application_may_name_more_files(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    (tmp_path / "extra.txt").write_text("a")
    (tmp_path / "gunicorn.conf.py").write_text(
        'def post_worker_init(worker):\n    worker.reloader.add_extra_file("extra.txt")\n'
    )
    server = start(serve)
    server.get()
    write(tmp_path / "extra.txt", "b")
    poll(lambda: reloads(server, "extra.txt") == 1, "the file counts")


def test_preload_app_gives_way(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    server = start(serve, "--preload")
    assert "Warning: preload_app (from the command line) has no effect together with" in server.log
    assert server.get().body == b"one"
    put(tmp_path, "two")
    body_becomes(server, "two")


def test_hup_works_as_ever(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    server = start(serve)
    server.get()
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reloaded: the new workers are ready")
    put(tmp_path, "two")
    body_becomes(server, "two")


def switches(pid: int) -> int:
    """How often threads of a process went to sleep."""
    lines: list[str] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            lines += (task / "status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_watcher_sleeps(serve: Serve, tmp_path: Path) -> None:
    put(tmp_path, "one")
    server = start(serve, "--timeout", "0")
    server.get()
    (pid,) = server.wait_workers(1)
    log = (tmp_path / "busy.log").open("w")
    before, begun = switches(pid), time.monotonic()
    while time.monotonic() < begun + 2:  # an application that logs into its own folder
        print("line", file=log, flush=True)
        time.sleep(0.01)
    log.close()
    assert switches(pid) - before <= 5 * (time.monotonic() - begun)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_watcher_does_not_delay_the_end(
    serve: Serve, tmp_path: Path, engine: str, number: int
) -> None:
    put(tmp_path, "one")
    server = start(serve, "--reload-engine", engine)
    server.get()
    begun = time.monotonic()
    assert server.stop(number) == 0
    assert time.monotonic() - begun < PATIENCE / 4  # or it would be graceful_timeout


# spew


def test_spew_prints_each_line_with_its_values(serve: Serve, worker_class: str) -> None:
    app = """
def twice(number):
    return 2 * number
def app(environ, start_response):
    start_response("200 OK", [])
    yield str(twice(21)).encode()
"""
    server = serve(app, "--spew", "-k", worker_class, "--threads", "2")
    assert server.get().body == b"42"
    server.wait_log(r"app:3: return 2 \* number\n\tnumber = 21\n")
    assert server.stop() == 0
