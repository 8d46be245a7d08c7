"""Servers that several tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real.mariadb import MariaDb


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """A server that runs at the beginning of each test, if the tests before leave it so."""
    with MariaDb() as server:
        yield server
