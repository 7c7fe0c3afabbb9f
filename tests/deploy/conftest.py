# SPDX-License-Identifier: MIT
"""Fixtures with the programs that deployments are made of, beside the server's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nginx import Nginx


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[Callable[..., Nginx]]:
    """A factory: nginx(server_block, http_block) or nginx(site=file) starts one; all are ended with
    the test."""
    started: list[Nginx] = []

    def start(server: str = "", http: str = "", site: str = "") -> Nginx:
        started.append(Nginx(tmp_path / f"nginx-{len(started)}", server, http, site))
        return started[-1]

    yield start
    for one in started:
        one.close()
