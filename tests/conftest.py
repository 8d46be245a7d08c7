"""One profile for hypothesis in every run, and a longer one for `make fuzz`; a folder for a daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from .real.saslpy import folder

settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.register_profile(
    "fuzz", deadline=None, max_examples=20_000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("fuzz" if os.environ.get("SASLPY_FUZZ") else "suite")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for a daemon: its path is short enough for sockets, and its user may enter."""
    with folder() as path:
        yield path
