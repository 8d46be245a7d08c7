"""Fills a matrix: every row in every state, asked through the mux socket of a running daemon."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.real.saslpy import Daemon, ask, back_within, configured, folder, serving

from .credentials import CREDENTIALS, JOE, USERS
from .stores import STORES, State, Store

TIMEOUT = 2.0
"""Of the backend."""

DEADLINE = 3.0
"""Of one login."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one login got, and after how many seconds."""

    verdict: str
    seconds: float


Matrix: TypeAlias = Mapping[tuple[State, str], Cell]


@dataclass(frozen=True, slots=True)
class Running:
    """A daemon with one backend, and its store."""

    place: Path
    store: Store
    daemon: Daemon


@contextmanager
def running(backend: str) -> Iterator[Running]:
    """A daemon that has no cache and no floor in time, with one backend."""
    with folder() as place, STORES[backend](place, USERS) as store:
        section = f"[backend.it]\ntimeout = {TIMEOUT}\n{store.keys}"
        config = configured(place, section, f'chain = ["it"]\ndeadline = {DEADLINE}\nmin_seconds = 0\n')
        with serving(config) as daemon:
            yield Running(place, store, daemon)


def measured(run: Running) -> Matrix:
    """All rows in all states that the store can be in; after each state it must work again."""
    cells: dict[tuple[State, str], Cell] = {}
    rows = list(CREDENTIALS)
    groups = [rows[start : start + run.store.at_once] for start in range(0, len(rows), run.store.at_once)]
    with ThreadPoolExecutor(len(rows)) as threads:
        for state, enter in run.store.states.items():
            for group in groups:
                with enter():
                    cells |= zip(((state, row) for row in group), threads.map(_ask(run), group), strict=True)
                back_within(3.0, run.place, JOE.login, JOE.password)
    return cells


class _ask:
    """Asks for a row."""

    def __init__(self, run: Running) -> None:
        self._place = run.place

    def __call__(self, row: str) -> Cell:
        start = time.monotonic()
        verdict = ask(self._place, *CREDENTIALS[row])
        return Cell(verdict, time.monotonic() - start)
