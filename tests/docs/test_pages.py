# SPDX-License-Identifier: MIT
"""Whatever README.md and docs/ show, some test answers for it; and what they point to exists."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import shown
from shown import BLOCKS, PAGES, ROOT

#: What a block may be. Others have no test that would know what to do with them.
LANGUAGES = {"sh", "python", "text", "nginx", "ini", "dockerfile", "logrotate"}

#: Commands that are not run as they stand, with the test that shows the same.
ELSEWHERE = {
    "apt-get download node-llhttp && dpkg-deb -x node-llhttp_*.deb llhttp": (
        "tests/docs/test_install.py::test_meson_finds_llhttp_in_a_folder_that_is_named"
    ),
    "CGUNICORN_LLHTTP_DIR=$PWD/llhttp/usr/share/llhttp pip install .": (
        "tests/docs/test_install.py::test_meson_finds_llhttp_in_a_folder_that_is_named"
    ),
    "pip install .": "tests/docs/test_install.py::test_pip_installs_what_serves",
    "systemd-socket-activate -l 8000 cgunicorn app:app": (
        "tests/integration/test_inherited.py"
        "::test_systemd_socket_activate_starts_the_server_at_the_first_client"
    ),
    "pserve production.ini": "tests/docs/test_shown_files.py::test_server_section_of_pserve",
    "cp nginx/proxy-tcp.conf /etc/nginx/conf.d/myapp.conf": (
        "tests/deploy/test_examples_nginx.py::test_proxy_over_tcp"
    ),
    "nginx -t && nginx -s reload": "tests/deploy/test_examples_nginx.py::test_proxy_over_tcp",
    "cp supervisor/myapp.conf /etc/supervisor/conf.d/": (
        "tests/deploy/test_supervisord.py::test_it_serves_and_stops_and_starts"
    ),
    "supervisorctl reread && supervisorctl update": (
        "tests/deploy/test_supervisord.py::test_it_serves_and_stops_and_starts"
    ),
    "supervisorctl signal HUP myapp": (
        "tests/deploy/test_supervisord.py::test_signal_hup_takes_up_new_code"
    ),
    "cp systemd/myapp.service systemd/myapp.socket /etc/systemd/system/ "
    "&& systemctl daemon-reload": (
        "tests/deploy/test_systemd_files.py::test_systemd_has_nothing_to_complain_about"
    ),
    "systemctl enable --now myapp.socket myapp.service": (
        "tests/deploy/test_systemd_files.py::test_a_socket_of_systemds_is_served"
    ),
    "systemctl reload myapp": (
        "tests/integration/test_systemd.py::test_a_reload_is_announced_and_ended"
    ),
    "docker compose -f examples/deploy/docker/compose.yaml up --build": (
        "tests/deploy/test_container.py::test_it_serves_as_process_1_without_rights_on_a_read_only_root"
    ),
    "curl http://127.0.0.1:8080/": "tests/deploy/test_examples_nginx.py::test_compose",
    "docker compose -f examples/deploy/docker/compose.yaml down": (
        "tests/deploy/test_container.py::test_stop_is_term_and_ends_with_0"
    ),
    "build/venv/bin/python bench/instructions.py": (
        "tests/docs/test_instructions.py::test_costs_of_lines_and_of_functions_with_what_they_call"
    ),
    ". build/venv/bin/activate && meson test -C build/unit conn": (
        "tests/docs/test_commands.py::test_unit_test_that_is_named"
    ),
    "build/unit/tests/unit/conn_test": "tests/docs/test_commands.py::test_unit_test_that_is_named",
    "gdb --args build/unit/tests/unit/conn_test CASE": (
        "tests/docs/test_commands.py::test_unit_test_that_is_named"
    ),
}


@pytest.fixture(scope="module", autouse=True)
def claims() -> None:
    """Tests ask for their blocks when they are imported, which they need not be otherwise."""
    for path in Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(path.stem)


def test_every_block_says_what_it_is() -> None:
    unknown = [
        f"{block}: {block.language or 'no fence'}: {block.text.splitlines()[0]}"
        for block in BLOCKS
        if block.language not in LANGUAGES
    ]
    assert unknown == []


def test_a_test_answers_for_every_block() -> None:
    left = [f"{b}: {b.language}: {b.text.splitlines()[0]}" for b in shown.unclaimed_blocks()]
    assert left == []


def test_a_test_answers_for_every_command() -> None:
    left = shown.unclaimed_commands()
    assert [f"{c.place}: {c.text}" for c in left if c.text not in ELSEWHERE] == []


def test_no_row_for_a_command_is_left_over() -> None:
    assert set(ELSEWHERE) <= {c.text for c in shown.unclaimed_commands()}


@pytest.mark.parametrize("test", sorted(set(ELSEWHERE.values())))
def test_the_test_of_a_row_exists(test: str) -> None:
    path, _, function = test.partition("::")
    assert re.search(rf"^def {function}\(", (ROOT / path).read_text(), re.MULTILINE), test


def test_indented_code_and_foreign_languages_are_seen() -> None:
    page = (
        "text\n\n    indented\n    more\n\n```cobol\nx\n```\n\n1. list\n\n   ```sh\n   ls\n   ```\n"
    )
    found = [(b.line, b.language, b.text) for b in shown.read("page", page)]
    assert found == [(3, "", "    indented\n"), (7, "cobol", "x\n"), (13, "sh", "ls\n")]


def test_first_lines_show_how_to_start() -> None:
    first = "\n".join((ROOT / "README.md").read_text().splitlines()[:12])
    for command in ("./dev serve", "./dev test", "pip install ."):
        assert command in first


@pytest.mark.parametrize("folder", ["pyext", "server", "workers"])
def test_tour_of_the_source_names_what_is_there(folder: str) -> None:
    """The binding's files, the server's folders, the drivers' headers."""
    named = set(re.findall(r"`([\w./]+)`", (ROOT / folder / "README.md").read_text()))
    top = ROOT / folder
    there = {
        "pyext": lambda: {
            path.name
            for place in (top, top / "cgunicorn")
            for path in place.iterdir()
            if path.suffix in (".c", ".py") and path.name != "__init__.py"
        },
        "server": lambda: {path.name for path in top.iterdir() if path.is_dir()},
        "workers": lambda: {path.name for path in top.glob("*.c")},
    }[folder]()
    assert there - named == set()


# Links


def anchors(text: str) -> set[str]:
    """As the web pages of repositories make them from headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=shown.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text()):
        found = page.parent / target if target else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found.read_text()), f"{target}#{anchor}"


def test_every_page_leads_on_to_another() -> None:
    """Nobody who comes by a search stands at a dead end."""
    ends = [
        shown.name(page)
        for page in PAGES
        if page.parent.name == "docs" and not re.search(r"\]\([\w/.-]+\.md", page.read_text())
    ]
    assert ends == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in seen:
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)#:]+\.md)", page.read_text())
        ahead += [(page.parent / link).resolve() for link in links]
    assert set(PAGES) - seen == set()
