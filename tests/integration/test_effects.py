# SPDX-License-Identifier: MIT
"""What each setting does, seen from outside: which test shows it, and tests of those that no other
file is about."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cgunicorn.settings import SETTINGS
from harness import PATIENCE, Client, Server, poll, server_environment

Serve = Callable[..., Server]

HERE = Path(__file__).parent

_NO_TLS = "test_tls_is_refused_by_saying_what_to_do"
_ROLLING = "test_a_rolling_reload_loses_no_request_and_has_never_more_workers_than_it_may"
_HOOKS = "test_order_of_a_short_life"

#: Setting -> the test that shows what it does. Those that have no effect are not listed.
SHOWN_BY = {
    "config": "test_files_name_the_application_and_its_surroundings",
    "wsgi_app": "test_files_name_the_application_and_its_surroundings",
    "bind": "test_all_addresses_are_served_and_told",
    "backlog": "test_backlog_that_a_reload_changes_reaches_the_listener",
    "workers": "test_ttin_and_ttou",
    "worker_class": "test_connections_are_kept_alive",
    "threads": "test_requests_go_on_beside_a_busy_thread",
    "max_streams": "test_streams_have_threads_of_their_own",
    "worker_connections": "test_a_full_worker_accepts_nobody",
    "max_requests": "test_one_worker_is_recycled_without_a_gap",
    "max_requests_jitter": "test_a_jitter_puts_the_end_off",
    "max_worker_lifetime": "test_a_worker_leaves_at_the_end_of_its_lifetime",
    "max_worker_lifetime_jitter": "test_a_jitter_puts_the_end_off",
    "reload_on_rss": "test_a_worker_leaves_when_it_has_grown",
    "reload_on_rss_jitter": "test_a_jitter_puts_the_end_off",
    "timeout": "test_stuck_request_is_named_with_its_stack_and_the_worker_replaced",
    "boot_timeout": "test_a_stuck_import_is_ended_and_its_stack_logged",
    "graceful_timeout": "test_graceful_timeout_bounds_term",
    "rolling_reload": _ROLLING,
    "keepalive": "test_keep_alive_ends_after_its_time",
    "limit_request_line": "test_limits_of_a_head",
    "limit_request_fields": "test_limits_of_a_head",
    "limit_request_field_size": "test_limits_of_a_head",
    "limit_request_body": "test_body_limit",
    "forwarded_allow_ips": "test_proxies_are_addresses_and_networks",
    "secure_scheme_headers": "test_scheme_headers_are_a_setting",
    "forwarder_headers": "test_every_header_of_a_proxy_is_kept_with_an_asterisk",
    "header_map": "test_header_map_refuse",
    "permit_obsolete_folding": "test_folded_headers_where_permitted",
    "strip_header_spaces": "test_spaces_before_the_colon_where_permitted",
    "permit_unconventional_http_method": "test_any_method_where_permitted",
    "permit_unconventional_http_version": "test_other_versions_where_permitted",
    "casefold_http_method": "test_method_in_upper_case_where_asked_for",
    "client_header_timeout": "test_dribbling_does_not_extend_the_time_for_a_head",
    "client_body_timeout": "test_slow_request_is_answered_408",
    "send_timeout": "test_reader_that_stops_is_cut_after_send_timeout",
    "reload": "test_a_change_is_served",
    "reload_engine": "test_a_file_written_in_place_counts",
    "reload_extra_files": "test_extra_files_and_globs",
    "spew": "test_spew_prints_each_line_with_its_values",
    "check_config": "test_check_config_is_silent_when_all_is_well",
    "print_config": "test_print_config_is_sorted_and_padded",
    "preload_app": "test_preload_loads_once_in_the_master",
    "sendfile": "test_files_are_sent_by_the_kernel_unless_told_otherwise",
    "reuse_port": "test_reuse_port_lets_two_servers_have_an_address",
    "chdir": "test_files_name_the_application_and_its_surroundings",
    "daemon": "test_daemon_serves_when_its_command_returns",
    "enable_stdio_inheritance": "test_daemon_keeps_redirected_streams_when_it_is_told_to",
    "raw_env": "test_files_name_the_application_and_its_surroundings",
    "pidfile": "test_pidfile_holds_the_pid_of_the_master_while_it_runs",
    "user": "test_workers_run_as_user_and_group_and_the_master_stays_root",
    "group": "test_workers_run_as_user_and_group_and_the_master_stays_root",
    "initgroups": "test_initgroups_gives_the_groups_of_the_user",
    "umask": "test_umask_decides_the_mode_of_the_socket_file",
    "proxy_protocol": "test_header_names_the_client",
    "proxy_allow_ips": "test_peer_in_a_network_of_the_list_may",
    "protocol": "test_the_binds_prefix_goes_before_the_setting",
    "uwsgi_allow_ips": "test_a_network_may_be_allowed",
    "client_body_buffer_size": "test_a_large_body_waits_in_the_folder_for_it",
    "tmp_upload_dir": "test_a_large_body_waits_in_the_folder_for_it",
    "pythonpath": "test_files_name_the_application_and_its_surroundings",
    "paste": "test_paste_loads_the_main_application",
    "raw_paste_global_conf": "test_a_section_and_variables",
    "proc_name": "test_titles_have_the_name_that_was_given_and_a_reload_changes_it",
    "default_proc_name": "test_files_name_the_application_and_its_surroundings",
    "accesslog": "test_access_log_is_gunicorns",
    "disable_redirect_access_to_syslog": "test_syslog_can_be_without_the_access_log",
    "access_log_format": "test_access_log_format_atoms",
    "errorlog": "test_logs_belong_to_the_user_and_can_be_rotated",
    "loglevel": "test_the_debug_level_logs_each_request",
    "capture_output": "test_capture_output_sends_prints_to_the_error_log",
    "logger_class": "test_logger_class_of_its_own",
    "logconfig": "test_logging_configured_by_a_file",
    "logconfig_dict": "test_logconfig_dict_gets_the_servers_lines_and_the_atoms",
    "logconfig_json": "test_logging_configured_by_a_file",
    "syslog": "test_syslog_lines_begin_with_the_programs_name",
    "syslog_addr": "test_syslog_over_tcp_gets_a_line_for_each_record",
    "syslog_prefix": "test_syslog_lines_begin_with_the_programs_name",
    "syslog_facility": "test_syslog_lines_begin_with_the_programs_name",
    "statsd_host": "test_each_request_is_three_metrics",
    "dogstatsd_tags": "test_prefix_and_tags",
    "statsd_prefix": "test_prefix_and_tags",
    "enable_backlog_metric": "test_backlog_is_told_when_wanted",
    "on_starting": _HOOKS,
    "on_reload": "test_a_reload_calls_the_new_hooks_and_old_workers_keep_theirs",
    "when_ready": _HOOKS,
    "pre_fork": _HOOKS,
    "post_fork": _HOOKS,
    "post_worker_init": _HOOKS,
    "worker_int": "test_worker_int_of_an_idle_worker",
    "worker_abort": "test_worker_abort_of_a_worker_that_has_exceeded_its_timeout",
    "pre_exec": "test_pre_exec_runs_in_the_new_master_before_it_is_one",
    "pre_request": _HOOKS,
    "post_request": _HOOKS,
    "child_exit": _HOOKS,
    "worker_exit": _HOOKS,
    "nworkers_changed": "test_ttin_and_ttou_tell_the_number_of_workers",
    "on_exit": _HOOKS,
    "certfile": _NO_TLS,
    "keyfile": _NO_TLS,
    "ssl_context": _NO_TLS,
    "worker_tmp_dir": "test_settings_for_gunicorns_ways_change_nothing",
    "http_parser": "test_settings_for_gunicorns_ways_change_nothing",
}


def test_every_setting_has_its_test() -> None:
    without = {name for name, row in SETTINGS.items() if row.instead}
    assert set(SHOWN_BY) == set(SETTINGS) - without


@pytest.mark.parametrize("name", SHOWN_BY)
def test_the_test_of_a_setting_exists_and_is_about_it(name: str) -> None:
    """Its file speaks of the setting, or of all hooks by those of story.py."""
    words = "|".join(map(re.escape, (*SETTINGS[name].flags, name, SETTINGS[name].variable)))
    about = re.compile(rf"(?<![\w-])({words})(?![\w-])")
    sources = [path.read_text() for path in HERE.glob("test_*.py")]
    found = [s for s in sources if re.search(rf"^def {SHOWN_BY[name]}\(", s, re.MULTILINE)]
    assert found, f"there is no {SHOWN_BY[name]}"
    told = [_without_the_table(source) for source in found]
    assert any(map(about.search, (*told, (HERE / "story.py").read_text())))


def _without_the_table(source: str) -> str:
    before, found, after = source.partition("SHOWN_BY = {")
    return before + after.partition("\n}\n")[2] if found else source


# The head of a request

ECHO = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]
"""


def head_of(line_n: int = 0, fields_n: int = 0, field_n: int = 0) -> bytes:
    """A request whose line and longest field have so many bytes, and so many fields."""
    target = "/".ljust(line_n - len("GET  HTTP/1.1"), "x")
    fields = ["Host: a", *(f"X-{n}: y" for n in range(fields_n - 1))]
    if field_n:
        fields.append("X: ".ljust(field_n, "z"))
    return "\r\n".join([f"GET {target} HTTP/1.1", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    ("flag", "word", "limit", "most", "status"),
    [
        ("--limit-request-line", "line_n", 100, 8190, 414),
        ("--limit-request-fields", "fields_n", 5, 1000, 431),
        ("--limit-request-field_size", "field_n", 100, 8192, 431),
    ],
)
def test_limits_of_a_head(
    serve: Serve,
    worker_class: str,
    flag: str,
    word: str,
    limit: int,
    most: int,
    status: int,
) -> None:
    """Both sides of the limit; 0 lets more pass than the default does. The end of a field's line
    counts."""
    server = serve(ECHO, "-k", worker_class, flag, str(limit))
    limit -= 2 * (word == "field_n")
    for n, expected in ((limit, 200), (limit + 1, status)):
        answer = server.raw(head_of(**{word: n}))
        assert answer.startswith(f"HTTP/1.1 {expected} ".encode()), answer
    server.stop()
    server = serve(ECHO, "-k", worker_class, flag, "0")
    assert server.raw(head_of(**{word: most})).startswith(b"HTTP/1.1 200 ")


# Clients and threads


def waiting_at(port: int) -> int:
    """Connections that the kernel has made and nobody has accepted; -1 when the table, which
    changes while it is read, does not show the listener."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1].endswith(f":{port:04X}") and words[3] == "0A":
            return int(words[4].partition(":")[2], 16)
    return -1


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp")
def test_a_full_worker_accepts_nobody(serve: Serve, worker_class: str) -> None:
    """Unless one of its clients is idle, which has to leave then."""
    args = ["--worker-connections", "2", "--keep-alive", "600", "--client-body-timeout", "600"]
    server = serve(ECHO, "-k", worker_class, *args)
    clients = [server.connect() for _ in range(2)]
    try:
        for client in clients:
            client.send(b"POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n")
            client.send(b"Content-Length: 2\r\n\r\n")
            assert client.head().status == 100
        clients += [server.connect() for _ in range(2)]
        for client in clients[2:]:
            client.send_request("GET", "/b")
        poll(lambda: waiting_at(server.port) == 2, "the others wait")
        clients[0].send(b"xx")
        assert clients[0].response().body == b"/a"
        assert clients[2].response().body == b"/b"
        assert clients[3].response().body == b"/b"
        assert clients[0].at_end()
        clients[1].send(b"xx")
        assert clients[1].response().body == b"/a"
    finally:
        for client in clients:
            client.close()


#: /stream sends a piece and the next one when there is a file `go`; all else says whether there is.
STREAMS = """
import pathlib, time
def app(environ, start_response):
    start_response("200 OK", [])
    if environ["PATH_INFO"] != "/stream":
        return [str(pathlib.Path("go").exists()).encode()]
    return stream()
def stream():
    yield b"piece"
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    yield b"end"
"""


@pytest.mark.parametrize(("streams_n", "waited"), [(2, False), (0, True)])
def test_streams_have_threads_of_their_own(
    serve: Serve, tmp_path: Path, streams_n: int, waited: bool
) -> None:
    """Two streams and two threads: without threads for streams nothing else is done meanwhile."""
    server = serve(STREAMS, "--threads", "2", "--max-streams", str(streams_n))
    streams = [server.connect() for _ in range(2)]
    try:
        for client in streams:
            client.send_request("GET", "/stream")
            client.head()
            assert client.line() == b"5"
            assert client.line() == b"piece"
        with server.connect() as other:
            other.send_request("GET", "/other")
            if waited:
                time.sleep(1)  # in which it must not be served
                (tmp_path / "go").touch()
            assert other.response().body == str(waited).encode()
        (tmp_path / "go").touch()
    finally:
        for client in streams:
            client.close()


# Recycling

PID = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
"""


@pytest.mark.parametrize(
    ("limit", "jitter", "most"),
    [
        ("--max-requests", "--max-requests-jitter", 2**31 - 2),
        ("--max-worker-lifetime", "--max-worker-lifetime-jitter", 2**31 - 2),
        ("--reload-on-rss", "--reload-on-rss-jitter", 2**20),
    ],
)
def test_a_jitter_puts_the_end_off(serve: Serve, limit: str, jitter: str, most: int) -> None:
    """Of two servers with the same limit the one that adds to it keeps its worker."""
    plain = serve(PID, limit, "1")
    jittered = serve(PID, limit, "1", jitter, str(most))
    (worker,) = jittered.wait_workers(1)

    def was_replaced() -> bool:
        assert int(jittered.get().body) == worker
        plain.get()
        return plain.log.count("Booting worker") > 1

    poll(was_replaced, "the limit alone ends a worker")
    assert int(jittered.get().body) == worker
    assert jittered.log.count("Booting worker") == 1


# Files and folders

#: Notes that it was called, and does it.
SENDFILE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>
static long note(int to, int from, void *at, unsigned long n) {
    close(open("sendfile-was-called", O_CREAT | O_WRONLY, 0600));
    return syscall(SYS_sendfile, to, from, at, n);
}
long sendfile(int to, int from, void *at, unsigned long n) { return note(to, from, at, n); }
long sendfile64(int to, int from, void *at, unsigned long n) { return note(to, from, at, n); }
"""

FILE = """
def app(environ, start_response):
    start_response("200 OK", [])
    return environ["wsgi.file_wrapper"](open("data", "rb"))
"""


@pytest.mark.skipif(not shutil.which("cc") or sys.platform != "linux", reason="needs cc and Linux")
@pytest.mark.parametrize("args", [(), ("--no-sendfile",)], ids=["sendfile", "no-sendfile"])
def test_files_are_sent_by_the_kernel_unless_told_otherwise(
    serve: Serve, tmp_path: Path, worker_class: str, args: tuple[str, ...]
) -> None:
    (tmp_path / "data").write_bytes(b"x" * 300_000)
    (tmp_path / "shim.c").write_text(SENDFILE)
    command = ["cc", "-shared", "-fPIC", "-o", "shim.so", "shim.c"]
    subprocess.run(command, cwd=tmp_path, check=True, env={**os.environ, "LD_PRELOAD": ""})
    preload = [server_environment().get("LD_PRELOAD", ""), str(tmp_path / "shim.so")]
    env = {"LD_PRELOAD": " ".join(preload).strip()}
    server = serve(FILE, "-k", worker_class, *args, env=env)
    assert server.get().body == b"x" * 300_000
    assert (tmp_path / "sendfile-was-called").exists() is not bool(args)


def open_files(pid: int) -> list[str]:
    found = []
    for path in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(str(path.readlink()))
        except OSError:
            continue
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_body_waits_in_the_folder_for_it(
    serve: Serve, tmp_path: Path, worker_class: str
) -> None:
    """In a file without a name, and only when it is larger than the buffer."""
    app = """
def app(environ, start_response):
    start_response("200 OK", [])
    return [str(len(environ["wsgi.input"].read())).encode()]
"""
    (tmp_path / "uploads").mkdir()
    (tmp_path / "gunicorn.conf.py").write_text("tmp_upload_dir = 'uploads'\n")
    server = serve(app, "-k", worker_class, "--client-body-buffer-size", "100000")
    (worker,) = server.wait_workers(1)

    def in_file() -> bool:
        return any(file.startswith(f"{tmp_path}/uploads/") for file in open_files(worker))

    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200001\r\n\r\n")
        client.send(b"x" * 200_000)
        poll(in_file, f"a file in {tmp_path}/uploads")
        assert list((tmp_path / "uploads").iterdir()) == []
        client.send(b"x")
        assert client.response().body == b"200001"
    poll(lambda: not in_file(), "the file is closed")
    with server.connect() as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n")
        client.send(b"x" * 99_999)
        server.get()
        assert not in_file()
        client.send(b"x")
        assert client.response().body == b"100000"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("gunicorn.conf.py", ()),
        ("cgunicorn.conf.py", ()),
        ("mine.py", ("--config", "mine.py")),
        ("mine.py", ("--config", "file:mine.py")),
        ("mine.py", ("--config", "python:mine")),
    ],
    ids=["gunicorn.conf.py", "cgunicorn.conf.py", "path", "file", "module"],
)
def test_files_name_the_application_and_its_surroundings(
    serve: Serve, tmp_path: Path, name: str, args: tuple[str, ...]
) -> None:
    """wsgi_app, chdir, pythonpath, raw_env and default_proc_name of a config file."""
    (tmp_path / "site" / "lib").mkdir(parents=True)
    (tmp_path / "site" / "lib" / "helper.py").write_text("NAME = 'helped'\n")
    (tmp_path / "site" / "shop.py").write_text(
        "import helper, os, sys\n"
        "seen = [os.environ['COLOUR'], os.getcwd(), helper.NAME, sys.path[0]]\n"
        "def make(word):\n"
        "    def app(environ, start_response):\n"
        "        start_response('200 OK', [])\n"
        "        return ['|'.join([*seen, word, os.getcwd()]).encode()]\n"
        "    return app\n"
    )
    (tmp_path / name).write_text(
        "wsgi_app = 'shop:make(\"made\")'\n"
        "chdir = 'site'\n"
        "pythonpath = 'lib'\n"
        "raw_env = ['COLOUR=a=b']\n"
        "default_proc_name = 'the-shop'\n"
    )
    server = serve(None, *args, spec="")
    site = str(tmp_path / "site")
    expected = ["a=b", site, "helped", f"{site}/lib", "made", site]
    assert server.get().body.decode().split("|") == expected
    (worker,) = server.wait_workers(1)
    for pid, role in ((server.pid, "master"), (worker, "worker")):
        title = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode()
        assert title == f"cgunicorn: {role} [the-shop]"


def test_settings_for_gunicorns_ways_change_nothing(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "beats").mkdir()
    server = serve(ECHO, "--worker-tmp-dir", "beats", "--http-parser", "python")
    with server.connect() as client:
        served(client)
    assert list((tmp_path / "beats").iterdir()) == []
    assert server.stop() == 0


def served(client: Client) -> None:
    client.send_request("GET", "/x")
    assert client.response().body == b"/x"


# A reload

REPORT = """
import os
def app(environ, start_response):
    start_response("200 OK", [])
    return [f"{environ['wsgi.multithread']} {os.environ.get('COLOUR')} {os.getcwd()}".encode()]
"""


def test_a_reload_takes_up_what_has_changed(serve: Serve, tmp_path: Path) -> None:
    """Of each kind of setting one: what workers, the head of a request, logs, metrics and the
    surroundings of the application go by. Then all of it is taken back."""
    config = tmp_path / "gunicorn.conf.py"
    config.touch()
    access = tmp_path / "access"
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "app.py").write_text(REPORT)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as metrics:
        metrics.bind(("127.0.0.1", 0))
        metrics.settimeout(PATIENCE)
        changed = (
            "threads = 3\n"
            "workers = 2\n"
            "keepalive = 600\n"
            "limit_request_line = 100\n"
            "access_log_format = 'changed %(U)s'\n"
            f"accesslog = {str(access)!r}\n"
            "loglevel = 'debug'\n"
            "chdir = 'inner'\n"
            "raw_env = ['COLOUR=red']\n"
            f"statsd_host = '127.0.0.1:{metrics.getsockname()[1]}'\n"
            "def post_fork(server, worker):\n    server.log.info('forked by the hook')\n"
        )
        server = serve(REPORT)
        for n in range(2):
            is_as_before(server, tmp_path)
            count = server.log.count("Reloaded: ")
            config.write_text(changed)
            server.send_signal(signal.SIGHUP)
            server.wait_log("Reloaded: ", count=count + 1)
            server.wait_workers(2)
            with server.connect() as client:
                client.send_request("GET", f"/{n}")
                first = client.response()
                client.send_request("GET", "/" + "x" * 100)
                assert client.response().status == 414
            assert first.field("connection") == "keep-alive"
            assert first.body.decode() == f"True red {tmp_path}/inner"
            poll(lambda n=n: f"changed /{n}\n" in access.read_text(), "the line of the access log")
            while b"gunicorn.request" not in metrics.recv(1000):
                pass
            assert "forked by the hook" in server.log
            assert re.search(r"\[DEBUG\]", server.log)
            count = server.log.count("Reloaded: ")
            config.write_text("")
            server.send_signal(signal.SIGHUP)
            server.wait_log("Reloaded: ", count=count + 1)
            server.wait_workers(1)
        is_as_before(server, tmp_path)
    assert re.findall(r"changed (/.*)", access.read_text()) == ["/0", "/1"]


def is_as_before(server: Server, folder: Path) -> None:
    answer = server.get("/" + "x" * 100)
    assert answer.field("connection") == "close"
    assert answer.body.decode() == f"False None {folder}"
