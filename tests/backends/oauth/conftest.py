"""Identity providers, made once: keys and certificates take their time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.idp import Idp, Signer


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def _running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idp]:
    with Idp(tmp_path_factory.mktemp("idp")) as idp:
        yield idp


@pytest.fixture
def idp(_running: Idp) -> Idp:
    """One that answers as it should at the beginning of each test."""
    _running.start()
    _running.hang_up()
    _running.reset()
    return _running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a file of keys may be."""
    return tmp_path / "keys.json"
