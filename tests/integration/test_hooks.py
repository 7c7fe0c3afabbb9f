# SPDX-License-Identifier: MIT
"""The server hooks: their order and processes in a whole life, what they get, and what becomes of
their exceptions."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import SHORT_TIMEOUT, Server, poll
from story import APP, Story, hooks, recorded

Serve = Callable[..., Server]

# Order and processes


def test_order_of_a_short_life(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path)
    server = serve(APP, "-k", worker_class)
    assert server.get("/a").status == 200
    story.wait("post_request")
    assert server.stop(signal.SIGINT) == 0
    assert list(story) == [
        ("nworkers_changed", "M", 1, None),
        ("on_starting", "M", 0),
        ("when_ready", "M", 1),
        ("pre_fork", "M", 1, "[booting]"),
        ("post_fork", "W", 1, True),
        ("post_worker_init", "W", 1, False),
        ("pre_request", "W", 1, "/a"),
        ("post_request", "W", 1, "200 OK"),
        ("worker_int", "W", 1),
        ("worker_exit", "W", 1),
        ("child_exit", "M", 1),
        ("on_exit", "M", 0),
    ]


def test_a_worker_that_has_done_its_requests_is_followed(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path)
    server = serve(APP, "-k", worker_class, "--max-requests", "2")
    for n in (1, 2):
        assert server.get().status == 200
        story.wait("post_request", n)  # it runs when the answer has gone
    story.wait("child_exit")
    story.wait("post_worker_init", 2)
    rows = list(story)
    assert [r for r in rows if r[1] == "W" and r[2] == 1] == [
        ("post_fork", "W", 1, True),
        ("post_worker_init", "W", 1, False),
        *[("pre_request", "W", 1, "/"), ("post_request", "W", 1, "200 OK")] * 2,
        ("worker_exit", "W", 1),
    ]
    assert rows.index(("worker_exit", "W", 1)) < rows.index(("child_exit", "M", 1))
    assert ("pre_fork", "M", 2, "[booting]") in rows


def test_ttin_and_ttou_tell_the_number_of_workers(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(tmp_path)
    server = serve(APP)
    story.wait("post_worker_init")
    server.send_signal(signal.SIGTTIN)
    story.wait("post_worker_init", 2)
    server.send_signal(signal.SIGTTOU)
    story.wait("child_exit")
    rows = list(story)
    assert [r[2:] for r in rows if r[0] == "nworkers_changed"] == [(1, None), (2, 1), (1, 2)]
    assert ("worker_exit", "W", 1) in rows, "the oldest goes"
    assert "worker_int" not in story.names(), "TERM is no INT"


def test_a_reload_calls_the_new_hooks_and_old_workers_keep_theirs(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path)
    server = serve(APP, "-k", worker_class)
    story.wait("post_worker_init")
    recorded(
        tmp_path,
        "def on_reload(server): _note('new on_reload')",
        "def child_exit(server, worker): _note('new child_exit', worker.age)",
        "def worker_exit(server, worker): _note('new worker_exit', worker.age)",
        "workers = 2",
    )
    story.forget()
    server.send_signal(signal.SIGHUP)
    story.wait("new child_exit")
    rows = list(story)
    assert rows[:3] == [
        ("nworkers_changed", "M", 2, 1),
        ("new on_reload", "M"),
        ("pre_fork", "M", 2, "[booting]"),
    ]
    assert ("worker_exit", "W", 1) in rows
    assert rows[-1] == ("new child_exit", "M", 1)
    server.stop()
    assert ("new worker_exit", "W", 2) in list(story)


def test_a_reload_that_is_given_up_leaves_the_old_hooks(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(tmp_path)
    server = serve(APP)
    story.wait("post_worker_init")
    recorded(tmp_path, "workers = 2", "def post_fork(server, worker): raise ValueError('broken')")
    story.forget()
    server.send_signal(signal.SIGHUP)
    server.wait_log("Reload failed, the old workers go on")
    server.wait_log("ValueError: broken")
    poll(lambda: story.names().count("nworkers_changed") == 2, "the old number is told")
    assert [r[2:] for r in story if r[0] == "nworkers_changed"] == [(2, 1), (1, 2)]
    server.stop()
    assert story.names().count("worker_exit") >= 2, "also of the one that has not booted"


def test_a_failed_boot_calls_worker_exit_and_no_child_exit(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(tmp_path)
    server = serve("raise RuntimeError('no boot')", wait=False)
    assert server.wait() == 3
    names = story.names()
    assert names.count("worker_exit") == 1
    assert "child_exit" not in names
    assert "post_worker_init" not in names
    assert names[-1] == "on_exit"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGQUIT])
def test_worker_int_finds_the_application_running(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str, signum: int
) -> None:
    recorded(
        tmp_path,
        "import sys, traceback",
        "def worker_int(worker):",
        "    stacks = ''.join(''.join(traceback.format_stack(f)) for f in "
        "sys._current_frames().values())",
        "    _note('worker_int', 'def sleepy' in stacks or 'sleepy()' in stacks)",
    )
    app = (
        "import time\ndef sleepy():\n    open('asleep', 'w').close()\n    time.sleep(60)\n"
        "def app(environ, start_response):\n    sleepy()\n"
    )
    server = serve(app, "-k", worker_class)
    with server.connect() as client:
        client.send_request("GET")
        poll((tmp_path / "asleep").exists, "the application runs")
        assert server.stop(signum) == 0
    rows = list(story)
    assert [r for r in rows if r[0] == "worker_int"] == [("worker_int", "W", True)]
    names = story.names()
    assert names.index("worker_int") < names.index("worker_exit") < names.index("child_exit")


def test_worker_int_of_an_idle_worker(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path)
    server = serve(APP, "-k", worker_class)
    story.wait("post_worker_init")
    os.kill(server.wait_workers(1)[0], signal.SIGQUIT)
    story.wait("child_exit")
    names = story.names()
    assert names.index("worker_int") < names.index("worker_exit") < names.index("child_exit")


def life(story: Story, age: int) -> list[str]:
    """What a worker has come to when it has ended: on a busy machine a timeout of a second may end
    another one too."""
    poll(lambda: ("child_exit", "M", age) in list(story), f"the end of worker {age}")
    return [row[0] for row in story if row[2:3] == (age,)]


def aborted_life(server: Server, story: Story) -> list[str]:
    """The life of a worker whose request takes too long: the first one, unless the machine was so
    busy that it was killed before it could hear of that."""
    for age in range(1, 6):
        killed_n = server.log.count("sending it SIGKILL")
        with server.connect() as client:
            client.send_request("GET")
            server.wait_log(r"WORKER TIMEOUT \(pid:\d+\)", count=age)
            names = life(story, age)
        if server.log.count("sending it SIGKILL") == killed_n:
            break
    return names


def test_worker_abort_of_a_worker_that_has_exceeded_its_timeout(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(tmp_path)
    app = "import time\ndef app(environ, start_response):\n    time.sleep(60)\n"
    server = serve(app, "-k", worker_class, *SHORT_TIMEOUT)
    names = aborted_life(server, story)
    assert names.count("worker_abort") == 1
    assert "worker_int" not in names
    assert names.index("worker_abort") < names.index("worker_exit") < names.index("child_exit")
    assert "File" in server.log and "in app" in server.log, "the stack was dumped as well"


@pytest.mark.parametrize("enabled", ["by the environment", "while it is loaded", "again"])
def test_worker_abort_beside_faulthandler(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str, enabled: str
) -> None:
    recorded(tmp_path)
    app = "import time\ndef app(environ, start_response):\n    time.sleep(60)\n"
    if enabled == "while it is loaded":
        app += "import faulthandler\nfaulthandler.enable()\n"
    if enabled == "again":
        app += "import faulthandler\nfaulthandler.disable()\nfaulthandler.enable()\n"
    env = {"PYTHONFAULTHANDLER": "1"} if enabled == "by the environment" else {}
    server = serve(app, "-k", worker_class, *SHORT_TIMEOUT, env=env)
    names = aborted_life(server, story)
    assert names.count("worker_abort") == 1
    assert "in app" in server.log, "the stack was dumped as well"
    story.wait("post_worker_init", 2)


def test_worker_abort_of_a_worker_that_somebody_aborts(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    """With the stacks of all threads, which faulthandler writes."""
    recorded(tmp_path)
    server = serve(APP, env={"PYTHONFAULTHANDLER": "1"})
    story.wait("post_worker_init")
    os.kill(server.wait_workers(1)[0], signal.SIGABRT)
    story.wait("child_exit")
    assert story.names().count("worker_abort") == 1
    assert "Fatal Python error: Aborted" in server.log


def test_an_abort_happens_when_python_never_comes_back(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(tmp_path)
    app = (
        "import ctypes\ndef app(environ, start_response):\n"
        "    ctypes.PyDLL(None).pthread_mutex_lock(lock)\n"
        "lock = ctypes.create_string_buffer(64)\n"
        "ctypes.PyDLL(None).pthread_mutex_lock(lock)\n"
    )
    server = serve(app, *SHORT_TIMEOUT)
    with server.connect() as client:
        client.send_request("GET")
        assert "worker_abort" not in life(story, 1)
    assert "in app" in server.log, "the stack was dumped"
    story.wait("post_worker_init", 2)


# Exceptions


@pytest.mark.parametrize("hook", ["on_starting(server)", "when_ready(server)", "pre_fork(s, w)"])
def test_an_exception_in_a_hook_of_the_start_ends_the_server(
    serve: Serve, story: Story, tmp_path: Path, hook: str
) -> None:
    recorded(tmp_path, f"def {hook}: raise ValueError('as expected')")
    server = serve(APP, wait=False)
    assert server.wait() == (255 if hook.startswith("pre_fork") else 1)
    assert "ValueError: as expected" in server.log
    assert hook.partition("(")[0] in server.log
    assert "post_fork" not in story.names()


def test_sys_exit_in_a_hook_of_the_master_is_the_exit_code(serve: Serve, tmp_path: Path) -> None:
    hooks(tmp_path, "import sys\ndef on_starting(server): sys.exit(7)\n")
    server = serve(APP, wait=False)
    assert server.wait() == 7
    assert "Traceback" not in server.log


def test_an_exception_in_nworkers_changed_ends_a_running_server(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(
        tmp_path,
        "def nworkers_changed(server, new, old):",
        "    if old: raise ValueError('as expected')",
    )
    server = serve(APP)
    story.wait("post_worker_init")
    server.send_signal(signal.SIGTTIN)
    assert server.wait() == 255
    assert "Unhandled exception in main loop (hook nworkers_changed)" in server.log


@pytest.mark.parametrize("hook", ["post_fork(server, worker)", "post_worker_init(worker)"])
def test_an_exception_in_a_hook_of_the_boot_is_a_failed_boot(
    serve: Serve, tmp_path: Path, hook: str
) -> None:
    hooks(tmp_path, f"def {hook}: raise ValueError('as expected')\n")
    server = serve(APP, wait=False)
    assert server.wait() == 3
    assert "Exception in worker process" in server.log
    assert "ValueError: as expected" in server.log
    assert "Worker failed to boot." in server.log


def test_an_exception_in_pre_request_is_answered_500(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(
        tmp_path,
        "def pre_request(worker, req):",
        "    if req.path == '/bad': raise ValueError('as expected')",
        "def post_request(worker, req, environ, resp):",
        "    _note('post_request', req.path, bool(environ), resp is None)",
    )
    server = serve(APP, "-k", worker_class)
    assert server.get("/bad").status == 500
    story.wait("post_request")  # which may come when the client has its answer already
    assert server.get("/good").status == 200
    story.wait("post_request", 2)
    # It runs when the answer has gone: of two requests in a row, in either order.
    assert {r[2:] for r in story if r[0] == "post_request"} == {
        ("/bad", False, True),
        ("/good", True, False),
    }
    assert re.search(r"(?m)Error handling request GET /bad$", server.log)


@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("post_request(worker, req)", "Exception in post_request hook"),
        ("worker_exit(server, worker)", "Exception during worker exit"),
        ("child_exit(server, worker)", "Exception in child_exit hook"),
        ("worker_int(worker)", "Exception in worker_int hook"),
    ],
)
def test_an_exception_afterwards_is_logged_and_nothing_else(
    serve: Serve, tmp_path: Path, worker_class: str, hook: str, words: str
) -> None:
    hooks(tmp_path, f"def {hook}: raise ValueError('as expected')\n")
    server = serve(APP, "-k", worker_class)
    for _ in range(2):
        assert server.get().status == 200
    assert server.stop(signal.SIGINT) == 0
    assert words in server.log
    assert "ValueError: as expected" in server.log


def test_an_exception_in_on_exit_is_an_exit_code(serve: Serve, tmp_path: Path) -> None:
    hooks(tmp_path, "def on_exit(server): raise ValueError('as expected')\n")
    server = serve(APP)
    assert server.stop() == 1
    assert "Exception in on_exit hook" in server.log


# What hooks are used for


def test_a_worker_may_be_given_another_application(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    hooks(
        tmp_path,
        "def post_worker_init(worker):\n"
        "    inner = worker.wsgi\n"
        "    def wrapped(environ, start_response):\n"
        "        return [b'<' + b''.join(inner(environ, start_response)) + b'>']\n"
        "    worker.wsgi = wrapped\n",
    )
    assert serve(APP, "-k", worker_class).get().body == b"<hello>"


def test_a_worker_that_is_no_longer_alive_is_followed(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(
        tmp_path,
        "def post_request(worker, req):",
        "    if req.path == '/last': worker.alive = False",
        "    _note('alive', worker.alive)",
    )
    server = serve(APP, "-k", worker_class)
    server.get()
    story.wait("alive")  # it runs when the answer has gone
    assert server.get("/last").status == 200
    story.wait("child_exit")
    story.wait("post_worker_init", 2)
    assert [row[2:] for row in story if row[0] == "alive"] == [(True,), (False,)]
    assert server.get().status == 200


def test_what_the_server_object_is_asked_for_is_done(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(
        tmp_path,
        "def when_ready(server): server.num_workers = 3",
        "def child_exit(server, worker):",
        "    _note('child_exit', worker.age, worker.pid in server.WORKERS, len(server.WORKERS))",
        "    server.stop()",
    )
    server = serve(APP)
    story.wait("post_worker_init", 3)
    os.kill(server.wait_workers(3)[0], signal.SIGKILL)
    assert server.wait() == 0
    first = next(row for row in story if row[0] == "child_exit")
    assert first[3] is False and first[4] == 2


def test_a_stable_index_for_each_worker(serve: Serve, story: Story, tmp_path: Path) -> None:
    recorded(
        tmp_path,
        "workers = 3",
        "taken = {}",
        "def pre_fork(server, worker):",
        "    used = {w.index for w in server.WORKERS.values()}",
        "    worker.index = min(set(range(100)) - used)",
        "def post_fork(server, worker): _note('index', worker.index)",
    )
    server = serve(APP)
    story.wait("index", 3)
    second = server.wait_workers(3)[1]
    os.kill(second, signal.SIGKILL)
    story.wait("index", 4)
    indexes = [row[2] for row in story if row[0] == "index"]
    assert sorted(indexes[:3]) == [0, 1, 2]
    assert indexes[3] == 1


def test_a_process_that_is_dead_is_marked_by_its_pid(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(
        tmp_path,
        "import app_metrics",
        "def child_exit(server, worker): app_metrics.mark_process_dead(worker.pid, _note)",
    )
    (tmp_path / "app_metrics.py").write_text(
        "def mark_process_dead(pid, note): note('dead', pid)\n"
    )
    server = serve(APP)
    pid = server.wait_workers(1)[0]
    os.kill(pid, signal.SIGKILL)
    story.wait("dead")
    assert ("dead", "M", pid) in list(story)


def test_the_collector_may_be_frozen_before_a_fork(
    serve: Serve, story: Story, tmp_path: Path
) -> None:
    recorded(
        tmp_path,
        "import gc",
        "preload_app = True",
        "def pre_fork(server, worker): gc.freeze()",
        "def post_fork(server, worker): _note('frozen', gc.get_freeze_count() > 1000)",
    )
    serve(APP)
    story.wait("frozen")
    assert ("frozen", "W", True) in list(story)


def test_requests_may_be_timed(
    serve: Serve, story: Story, tmp_path: Path, worker_class: str
) -> None:
    recorded(
        tmp_path,
        "import time",
        "def pre_request(worker, req): req.begun = time.monotonic()",
        "def post_request(worker, req, environ, resp):",
        "    took = time.monotonic() - req.begun",
        "    _note('took', 0.05 < took < 30, resp.status_code)",
    )
    app = (
        "import time\ndef app(environ, start_response):\n    time.sleep(0.06)\n"
        "    start_response('200 OK', [])\n    return [b'']\n"
    )
    serve(app, "-k", worker_class).get()
    story.wait("took")
    assert ("took", "W", True, 200) in list(story)


def test_the_debug_level_logs_each_request(serve: Serve, tmp_path: Path) -> None:
    server = serve(APP, "--log-level", "debug")
    server.get("/some/path?query")
    server.wait_log(r"\[DEBUG\] GET /some/path\n")


def test_hooks_of_requests_leak_nothing(serve: Serve, tmp_path: Path, worker_class: str) -> None:
    hooks(
        tmp_path,
        "def pre_request(worker, req): req.mine = [req.headers, req.path]\n"
        "def post_request(worker, req, environ, resp): environ['mine'] = req, resp, resp.headers\n",
    )
    app = (
        "import gc, sys\ndef app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    if environ['PATH_INFO'] != '/objects': return [b'']\n"
        "    gc.collect()\n"
        "    return [f'{len(gc.get_objects())} {sys.getallocatedblocks()}'.encode()]\n"
    )
    server = serve(
        app, "-k", worker_class, "--error-logfile", "error.log", wait=False, bind="unix:app.sock"
    )
    server.wait_listening_in(tmp_path / "error.log")

    def ask(path: str) -> bytes:
        with server.connect_unix("app.sock") as client:
            client.send_request("GET", path, "X-One: 1")
            return client.response().body

    def round_of(n: int) -> tuple[int, int]:
        for _ in range(n):
            ask("/")
        objects, blocks = ask("/objects").split()
        return int(objects), int(blocks)

    before = round_of(500)
    after = round_of(10_000)
    assert after[0] - before[0] < 100, (before, after)
    assert after[1] - before[1] < 500, (before, after)
