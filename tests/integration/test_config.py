# SPDX-License-Identifier: MIT
"""How configuration is resolved: the layers, their order, the config file, a reload."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from cgunicorn import _cgunicorn
from cgunicorn.app.base import Settings
from cgunicorn.cli import invocation, start_directory
from cgunicorn.config import Config, load
from cgunicorn.config_view import ConfigView
from cgunicorn.errors import ConfigError
from cgunicorn.runtime import Runtime

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Each test runs in an empty folder, and leaves process and sys.path as they were."""
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    sys.path[:] = path


def config(*argv: str, **environ: str) -> Config:
    return load(invocation(["app:app", *argv], environ))


def refusal(*argv: str, **environ: str) -> str:
    with pytest.raises(ConfigError) as refused:
        config(*argv, **environ)
    return str(refused.value)


# Precedence


def test_each_layer_beats_the_one_before(folder: Path) -> None:
    environ: dict[str, str] = {}
    assert config(**environ).workers == 1
    environ["WEB_CONCURRENCY"] = "2"
    assert config(**environ).workers == 2
    (folder / "gunicorn.conf.py").write_text("workers = 3")
    assert config(**environ).workers == 3
    environ["CGUNICORN_WORKERS"] = "4"
    assert config(**environ).workers == 4
    environ["GUNICORN_CMD_ARGS"] = "-w 5"
    assert config(**environ).workers == 5
    assert config("-w", "6", **environ).workers == 6


def test_source_is_remembered(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("timeout = 3")
    cfg = config("-w", "5", GUNICORN_CMD_ARGS="--backlog 1", PORT="80")
    names = ("workers", "timeout", "backlog", "bind", "loglevel")
    assert [cfg.source(name) for name in names] == [
        "the command line",
        "gunicorn.conf.py",
        "GUNICORN_CMD_ARGS",
        "the environment variable PORT",
        "the default",
    ]


def test_our_variable_replaces_gunicorns() -> None:
    cfg = config(CGUNICORN_CMD_ARGS="-w 2", GUNICORN_CMD_ARGS="-w 3 -t 9")
    assert (cfg.workers, cfg.timeout) == (2, 30)
    assert config(CGUNICORN_CMD_ARGS="", GUNICORN_CMD_ARGS="-w 3").workers == 3


def test_application_in_the_variable_is_ignored() -> None:
    assert config(GUNICORN_CMD_ARGS="other:app -w 2").app_spec == "app:app"


def test_list_replaces_the_list_of_a_weaker_layer(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("bind = ['a:1', 'b:2']")
    assert config().bind == ["a:1", "b:2"]
    assert config("-b", "c:3", "-b", "d:4").bind == ["c:3", "d:4"]


def test_port_moves_the_default_bind() -> None:
    assert config(PORT="5000").bind == ["0.0.0.0:5000"]
    assert config("-b", "a:1", PORT="5000").bind == ["a:1"]


def test_empty_variable_is_as_good_as_none() -> None:
    cfg = config(PORT="", WEB_CONCURRENCY="", SENDFILE="", CGUNICORN_WORKERS="")
    assert (cfg.bind, cfg.workers, cfg.sendfile) == (["127.0.0.1:8000"], 1, True)


@pytest.mark.parametrize(
    ("environ", "argv", "file", "on"),
    [
        ("", [], "", True),
        ("no", [], "", False),
        ("Yes", [], "", True),
        ("no", [], "sendfile = True", True),
        ("", [], "sendfile = False", False),
        ("", ["--no-sendfile"], "sendfile = True", False),
    ],
)
def test_sendfile_means_what_it_says(
    folder: Path, environ: str, argv: list[str], file: str, on: bool
) -> None:
    (folder / "gunicorn.conf.py").write_text(file)
    assert config(*argv, SENDFILE=environ).sendfile is on


def test_wrong_value_is_refused_though_a_stronger_layer_overrides_it(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("workers = 'many'")
    assert "gunicorn.conf.py" in refusal("-w", "1")


@pytest.mark.parametrize(
    ("argv", "environ", "source"),
    [
        (["-w", "1001"], {}, "the command line, -w/--workers"),
        ([], {"CGUNICORN_CMD_ARGS": "-w 1001"}, "CGUNICORN_CMD_ARGS, -w/--workers"),
        ([], {"WEB_CONCURRENCY": "1001"}, "the environment variable WEB_CONCURRENCY"),
    ],
)
def test_refusal_names_setting_value_source_and_what_is_valid(
    argv: list[str], environ: dict[str, str], source: str
) -> None:
    told = refusal(*argv, **environ).replace("'1001'", "1001")
    assert told == (
        f"Invalid value for workers: 1001 (from {source}):"
        " it must be an integer from 0 to 1000 or 'auto'."
    )


def test_variable_that_is_no_argument_list_is_refused() -> None:
    told = refusal(GUNICORN_CMD_ARGS="--env 'A=1")
    assert told == "GUNICORN_CMD_ARGS can't be split into arguments: No closing quotation."


# The config file


def test_our_file_name_comes_first_and_only_one_is_read(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("workers = 2\ntimeout = 2")
    assert config().config == "gunicorn.conf.py"
    (folder / "cgunicorn.conf.py").write_text("workers = 3")
    assert (config().workers, config().timeout, config().config) == (3, 30, "cgunicorn.conf.py")
    (folder / "other.py").write_text("workers = 4")
    assert config("-c", "other.py").workers == 4
    assert config(GUNICORN_CMD_ARGS="-c other.py").workers == 4
    assert config("-c", "gunicorn.conf.py", GUNICORN_CMD_ARGS="-c other.py").workers == 2
    assert config(CGUNICORN_CONFIG="other.py").workers == 4
    assert config("-c", "gunicorn.conf.py", CGUNICORN_CONFIG="other.py").workers == 2


@pytest.mark.parametrize("form", ["{}", "file:{}"])
def test_file_forms(folder: Path, form: str) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "c.py").write_text("workers = len(__file__.split('/'))")
    assert config("-c", form.format("deep/c.py")).workers == 2


def test_module_form(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    (folder / "settings_of_mine.py").write_text("workers = 7")
    assert config("-c", "python:settings_of_mine").workers == 7
    (folder / "raises_of_mine.py").write_text("import not_to_be_found")
    assert refusal("-c", "python:raises_of_mine").startswith("Failed to read config file: ")
    assert refusal("-c", "python:nowhere.at.all") == (
        "Failed to read config file: No module named 'nowhere'."
    )
    assert refusal("-c", "python:") == (
        "Failed to read config file: '' is not the name of a module, as in package.module."
    )


def test_unreadable_file_is_one_sentence(folder: Path) -> None:
    assert refusal("-c", "nowhere.py") == "'nowhere.py' doesn't exist."
    (folder / "folder.py").mkdir()
    assert refusal("-c", "folder.py") == "Failed to read config file: folder.py (Is a directory)."


@pytest.mark.parametrize("body", ["raise KeyError('mine')", "raise SystemExit('mine')"])
def test_file_that_raises_keeps_its_traceback(folder: Path, body: str) -> None:
    (folder / "gunicorn.conf.py").write_text(f"workers = 1\n{body}\n")
    with pytest.raises(ConfigError) as refused:
        config()
    assert str(refused.value) == "Failed to read config file: gunicorn.conf.py"
    assert 'gunicorn.conf.py", line 2' in refused.value.details
    assert "cgunicorn/config.py" not in refused.value.details


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"a = 1\nb = = 2\n", ":2: invalid syntax."),
        (b"a = '\xe9'\n", ":1: (unicode error) 'utf-8' codec can't decode byte 0xe9"),
        (b"a = 1\0\n", ": source code string cannot contain null bytes."),
        (b"# coding: nope\n", ": unknown encoding: nope."),
    ],
)
def test_file_that_is_no_python_is_one_sentence(folder: Path, body: bytes, told: str) -> None:
    (folder / "gunicorn.conf.py").write_bytes(body)
    with pytest.raises(ConfigError) as refused:
        config()
    assert str(refused.value).startswith(f"Failed to read config file: gunicorn.conf.py{told}")
    assert refused.value.details == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_one_sentence(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("workers = 2")
    (folder / "gunicorn.conf.py").chmod(0)
    told = "Failed to read config file: gunicorn.conf.py (Permission denied)."
    assert refusal() == told


def test_module_is_looked_for_where_the_server_will_be(folder: Path) -> None:
    (folder / "inner" / "lib").mkdir(parents=True)
    (folder / "inner" / "conf_in_chdir.py").write_text("import conf_in_lib\nworkers = 2")
    (folder / "inner" / "lib" / "conf_in_lib.py").touch()
    cfg = config("-c", "python:conf_in_chdir", "--chdir", "inner", CGUNICORN_PYTHONPATH="lib")
    assert cfg.workers == 2
    assert str(folder / "inner") not in sys.path


def test_second_edit_within_a_second_is_seen(folder: Path) -> None:
    for n in "12":
        (folder / "gunicorn.conf.py").write_text(f"workers = {n}")
        assert config().workers == int(n)
    assert not (folder / "__pycache__").exists()


def test_none_in_a_file_leaves_the_default(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("workers = None\nerrorlog = None\nconfig = 'x'")
    assert (config().workers, config().errorlog, config().config) == (1, "-", "gunicorn.conf.py")


def test_misspelt_setting_draws_a_warning(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("worker_clas = 'sync'\nmax_request = 1\nelse_ = 1")
    assert config().warnings == (
        "gunicorn.conf.py:1: unknown setting 'worker_clas', did you mean 'worker_class'?",
        "gunicorn.conf.py:2: unknown setting 'max_request', did you mean 'max_requests'?",
    )


def test_word_of_a_flag_is_told_the_setting(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("preload = True\naccess_logfile = '-'\nname = 'a'")
    assert config(CGUNICORN_LOG_LEVEL="info").warnings == (
        "gunicorn.conf.py:1: unknown setting 'preload', did you mean 'preload_app'?",
        "gunicorn.conf.py:2: unknown setting 'access_logfile', did you mean 'accesslog'?",
        "unknown environment variable 'CGUNICORN_LOG_LEVEL', did you mean 'CGUNICORN_LOGLEVEL'?",
    )


def test_colon_in_place_of_an_equals_sign_draws_a_warning(folder: Path) -> None:
    """As in YAML: for Python it is an annotation of a variable that has no value."""
    (folder / "gunicorn.conf.py").write_text("timeout: 9\nworkers: 4\nother: 1\ntimeout = 5")
    cfg = config()
    assert (cfg.workers, cfg.timeout) == (1, 5)
    if sys.version_info < (3, 14):  # there nobody is told of annotations before asking
        told = "gunicorn.conf.py:2: workers is given no value, which is written workers = ..."
        assert cfg.warnings == (told,)


def test_misspelt_variable_draws_a_warning() -> None:
    names = ("CGUNICORN_WORKER_CLAS", "CGUNICORN_TEST", "CGUNICORN_CMD_ARGS", "GUNICORN_WORKER")
    assert config(**dict.fromkeys(names, "")).warnings == (
        "unknown environment variable 'CGUNICORN_WORKER_CLAS', did you mean"
        " 'CGUNICORN_WORKER_CLASS'?",
    )


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ("workers = 'x'", 1),
        ("workers = 1\nif True:\n    workers = \\\n        'x'", 3),
        ("def f():\n    workers = 1\nworkers: int = 'x'\nclass C:\n    workers = 1", 3),
        ("for workers in 'x':\n    pass", 1),
        ("import os as workers, sys\nfrom sys import path as workers", 2),
        ("def workers(): pass", 1),
    ],
)
def test_line_of_a_wrong_value_is_told(folder: Path, body: str, line: int) -> None:
    (folder / "gunicorn.conf.py").write_text(body)
    assert f"(from gunicorn.conf.py:{line})" in refusal()


def test_line_that_cannot_be_seen_is_left_out(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("globals()['workers'] = 'x'")
    assert "(from gunicorn.conf.py)" in refusal()


def test_line_in_a_module_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    (folder / "wrong_of_mine.py").write_text("\nworkers = 'x'")
    told = refusal("-c", "python:wrong_of_mine")
    assert f"(from {folder}/wrong_of_mine.py:2)" in told


def test_helper_variables_draw_no_warning(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text(
        "import os as bindd\nTIMEOUT = 3\n_workers = 2\nworker = 2\nworkers = worker\n"
        "logconfig = None\nreload = False\nport = 1\n"
    )
    assert config().warnings == ()


def test_file_without_python_extension_draws_a_warning(folder: Path) -> None:
    (folder / "c.cfg").write_text("workers = 2")
    assert config("-c", "c.cfg").workers == 2
    assert config("-c", "c.cfg").warnings == (
        "c.cfg: configuration file should have a valid Python extension.",
    )


# The result


def test_settings_are_not_changed_as_attributes() -> None:
    cfg = config()
    with pytest.raises(AttributeError, match=r"cfg\.set\('workers'"):
        cfg.workers = 2
    with pytest.raises(AttributeError, match="can't be deleted: workers"):
        del cfg.workers
    with pytest.raises(AttributeError, match="No configuration setting for: worker"):
        _ = cfg.worker


@pytest.mark.parametrize("make", [config, Settings], ids=["of the server", "of a program"])
def test_settings_can_be_asked_and_set_as_gunicorns(make: Callable[[], ConfigView]) -> None:
    cfg = make()
    workers = cfg.settings["workers"]
    assert (workers.name, workers.default, workers.get(), workers.value) == ("workers", 1, 1, 1)
    workers.set("5")
    cfg.set("raw_env", ["A=b=c"])
    cfg.set("bind", ["[::1]:1", "unix:a", "fd://3"])
    assert (cfg.workers, workers.get(), cfg.settings["threads"].get()) == (5, 5, 1)
    assert (cfg.env, cfg.address) == ({"A": "b=c"}, [("::1", 1), "a", 3])
    with pytest.raises(
        ValueError,
        match=r"Invalid value for workers: 'many' .from .*test_config.py:\d+.: it must be",
    ):
        cfg.set("workers", "many")
    with pytest.raises(AttributeError, match="No configuration setting for: worker"):
        cfg.set("worker", 1)


def test_c_is_told_of_changes_once() -> None:
    cfg = config()
    cfg.set("workers", "auto")
    cfg.set("threads", 3)
    cfg.set("timeout", None)
    changed = cfg.changes_for_c()
    assert changed["workers"] >= 1
    assert (changed["threads"], changed["worker_class"], changed["timeout"]) == (3, "gthread", 30)
    assert cfg.changes_for_c() is None


def test_nobody_gets_what_the_table_has_in_common() -> None:
    config().bind.append("other")
    config().secure_scheme_headers["OTHER"] = "1"
    assert config().bind == ["127.0.0.1:8000"]
    assert "OTHER" not in config().secure_scheme_headers


def test_c_gets_every_field_in_its_type() -> None:
    types = {"int": int, "bool": bool, "str": (str, type(None)), "list": list}
    values = config().for_c()
    assert list(values) == [name for name, _ in _cgunicorn.setting_fields]
    for name, c_type in _cgunicorn.setting_fields:
        assert isinstance(values[name], types[c_type]), name
    assert values["keepalive"] == 0
    assert config("--keep-alive", "5").for_c()["keepalive"] == 5


def test_application_from_the_file_yields_to_the_command_line(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text("wsgi_app = 'filed:app'")
    assert load(invocation([], {})).app_spec == "filed:app"
    assert config().app_spec == "app:app"


def test_no_application_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^No application module specified\. Name it"):
        load(invocation([], {}))


def test_start_folder_keeps_the_name_of_the_shell(folder: Path) -> None:
    (folder / "release").mkdir()
    (folder / "current").symlink_to("release")
    os.chdir("current")
    assert start_directory({"PWD": str(folder / "current")}) == str(folder / "current")
    assert start_directory({"PWD": str(folder)}) == str((folder / "release").resolve())
    assert start_directory({"PWD": "current"}) == str((folder / "release").resolve())
    assert start_directory({}) == str((folder / "release").resolve())


# The runtime


Make = Callable[..., Runtime]


@pytest.fixture
def runtime() -> Iterator[Make]:
    """Makes runtimes whose changes to the process are taken back."""
    made: list[Runtime] = []

    def make(*argv: str, **environ: str) -> Runtime:
        made.append(Runtime(invocation(list(argv), environ)))
        return made[-1]

    yield make
    for each in reversed(made):
        each._surroundings.restore()


def boot(runtime: Runtime, config: Config) -> WSGIApplication:
    """As a new worker does, in this process."""
    runtime.hooks.worker = SimpleNamespace(begin=lambda requests_max: None, cfg=config)
    return runtime.boot(config, 0)


def write_app(folder: Path, name: str, body: str = "app = lambda e, s: []") -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(body)


def test_chdir_pythonpath_and_env_are_there_when_the_application_loads(
    folder: Path, runtime: Make
) -> None:
    body = "import os, rt_lib\napp = lambda e, s: [os.environ['RT_A'], os.getcwd()]"
    write_app(folder / "inner", "rt_app_1", body)
    write_app(folder / "inner" / "lib", "rt_lib")
    rt = runtime("rt_app_1:app", "--chdir", "inner", "--pythonpath", "lib", "-e", "RT_A=x=y")
    assert boot(rt, rt.config)({}, lambda *_: lambda _: None) == ["x=y", str(folder / "inner")]
    assert sys.path[:3] == [str(folder / "inner" / "lib"), str(folder / "inner"), str(folder)]


def test_reload_reads_the_file_again_from_the_start_folder(folder: Path, runtime: Make) -> None:
    (folder / "inner").mkdir()
    file = folder / "gunicorn.conf.py"
    file.write_text("chdir = 'inner'\nraw_env = ['RT_A=1', 'RT_B=1']\nworkers = 2")
    rt = runtime("a:app")
    assert Path.cwd() == folder / "inner"
    file.write_text("import os\nassert 'RT_A' not in os.environ\nraw_env = 'RT_B=2'\nworkers = 3")
    config = rt.reload()
    assert config is rt.config and config.for_c()["workers"] == 3
    assert Path.cwd() == folder
    assert "RT_A" not in os.environ and os.environ["RT_B"] == "2"
    assert str(folder / "inner") not in sys.path


def test_worker_of_an_older_generation_boots_as_its_configuration_says(
    folder: Path, runtime: Make
) -> None:
    (folder / "rt_old.py").write_text("import os\ndef app(*_): return [os.environ.get('RT_A')]")
    file = folder / "gunicorn.conf.py"
    file.write_text("raw_env = 'RT_A=old'\nwsgi_app = 'rt_old:app'")
    rt = runtime()
    old = rt.config
    file.write_text("raw_env = 'RT_A=new'\nwsgi_app = 'nowhere:app'")
    assert rt.reload() is not old
    assert boot(rt, old)({}, lambda *_: lambda _: None) == ["old"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("workers = 'many'", "Invalid value for workers: 'many' (from gunicorn.conf.py:2)"),
        ("raise KeyError('mine')", "KeyError: 'mine'"),
        ("raise SystemExit(1)", "SystemExit: 1"),
        ("chdir = 'nowhere'", "can't chdir to 'nowhere'"),
        ("preload_app = True", "No module named 'a'"),
        ("preload_app = True\nwsgi_app = 'rt_raises'", "ZeroDivisionError"),
    ],
)
def test_failed_reload_says_why_and_changes_nothing(
    folder: Path, runtime: Make, monkeypatch: pytest.MonkeyPatch, body: str, told: str
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(_cgunicorn, "log", lambda _, message: lines.append(message))
    write_app(folder, "rt_raises", "1 / 0")
    (folder / "inner").mkdir()
    file = folder / "gunicorn.conf.py"
    before = "wsgi_app = 'a:app'\nchdir = 'inner'\nraw_env = 'RT_A=1'"
    file.write_text(before)
    rt = runtime()
    old, path = rt.config, list(sys.path)
    file.write_text(f"wsgi_app = 'a:app'\n{body}")
    assert rt.reload() is None
    assert len(lines) == 1 and told in lines[0]
    assert rt.config is old
    assert Path.cwd() == folder / "inner"
    assert os.environ["RT_A"] == "1"
    assert sys.path == path


def test_preloaded_application_is_kept_over_a_reload(folder: Path, runtime: Make) -> None:
    write_app(folder, "rt_app_2")
    rt = runtime("rt_app_2:app", "--preload")
    rt.preload()
    app = boot(rt, rt.config)
    del sys.modules["rt_app_2"]
    assert rt.reload() is not None
    assert boot(rt, rt.config) is app
