"""Every backend × credentials × state of its store: the verdicts are written down here, and a running daemon gives them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import get_args

import pytest

from .credentials import CREDENTIALS, USERS
from .measure import DEADLINE, TIMEOUT, Matrix, Running, measured, running
from .stores import SLOW_SECONDS, STORES, State

pytestmark = pytest.mark.real

TABLES: dict[str, str] = {
    "static": """
                                    up       slow     hanging  down
        right                       accept   n/a      n/a      n/a
        wrong                       reject   n/a      n/a      n/a
        unknown user                reject   n/a      n/a      n/a
        disabled, right password    reject   n/a      n/a      n/a
        expired, right password     n/a      n/a      n/a      n/a
        empty password              reject   n/a      n/a      n/a
        right password and a NUL    reject   n/a      n/a      n/a
        right login and a NUL       reject   n/a      n/a      n/a
        NUL within the login        reject   n/a      n/a      n/a
        4,000 bytes, right          accept   n/a      n/a      n/a
        4,000 bytes, wrong          reject   n/a      n/a      n/a
        password NFC, typed NFC     accept   n/a      n/a      n/a
        password NFC, typed NFD     accept   n/a      n/a      n/a
        password NFD, typed NFC     reject   n/a      n/a      n/a
        password NFD, typed NFD     accept   n/a      n/a      n/a
        login NFC, typed NFC        accept   n/a      n/a      n/a
        login NFC, typed NFD        accept   n/a      n/a      n/a
        login NFD, typed NFC        accept   n/a      n/a      n/a
        login NFD, typed NFD        accept   n/a      n/a      n/a
    """,
    "sqlite": """
                                    up       slow     hanging  down
        right                       accept   accept   defer    defer
        wrong                       reject   reject   defer    defer
        unknown user                reject   reject   defer    defer
        disabled, right password    reject   reject   defer    defer
        expired, right password     reject   reject   defer    defer
        empty password              reject   reject   reject   reject
        right password and a NUL    reject   reject   reject   reject
        right login and a NUL       reject   reject   reject   reject
        NUL within the login        reject   reject   reject   reject
        4,000 bytes, right          accept   accept   defer    defer
        4,000 bytes, wrong          reject   reject   defer    defer
        password NFC, typed NFC     accept   accept   defer    defer
        password NFC, typed NFD     accept   accept   defer    defer
        password NFD, typed NFC     reject   reject   defer    defer
        password NFD, typed NFD     accept   accept   defer    defer
        login NFC, typed NFC        accept   accept   defer    defer
        login NFC, typed NFD        accept   accept   defer    defer
        login NFD, typed NFC        reject   reject   defer    defer
        login NFD, typed NFD        reject   reject   defer    defer
    """,
    "mysql": """
                                    up       slow     hanging  down
        right                       accept   accept   defer    defer
        wrong                       reject   reject   defer    defer
        unknown user                reject   reject   defer    defer
        disabled, right password    reject   reject   defer    defer
        expired, right password     reject   reject   defer    defer
        empty password              reject   reject   reject   reject
        right password and a NUL    reject   reject   reject   reject
        right login and a NUL       reject   reject   reject   reject
        NUL within the login        reject   reject   reject   reject
        4,000 bytes, right          accept   accept   defer    defer
        4,000 bytes, wrong          reject   reject   defer    defer
        password NFC, typed NFC     accept   accept   defer    defer
        password NFC, typed NFD     accept   accept   defer    defer
        password NFD, typed NFC     reject   reject   defer    defer
        password NFD, typed NFD     accept   accept   defer    defer
        login NFC, typed NFC        accept   accept   defer    defer
        login NFC, typed NFD        accept   accept   defer    defer
        login NFD, typed NFC        reject   reject   defer    defer
        login NFD, typed NFD        reject   reject   defer    defer
    """,
    "ldap bind": """
                                    up       slow     hanging  down
        right                       accept   accept   defer    defer
        wrong                       reject   reject   defer    defer
        unknown user                reject   reject   defer    defer
        disabled, right password    reject   reject   defer    defer
        expired, right password     reject   reject   defer    defer
        empty password              reject   reject   reject   reject
        right password and a NUL    reject   reject   reject   reject
        right login and a NUL       reject   reject   reject   reject
        NUL within the login        reject   reject   reject   reject
        4,000 bytes, right          accept   accept   defer    defer
        4,000 bytes, wrong          reject   reject   defer    defer
        password NFC, typed NFC     accept   accept   defer    defer
        password NFC, typed NFD     reject   reject   defer    defer
        password NFD, typed NFC     reject   reject   defer    defer
        password NFD, typed NFD     accept   accept   defer    defer
        login NFC, typed NFC        accept   accept   defer    defer
        login NFC, typed NFD        accept   accept   defer    defer
        login NFD, typed NFC        accept   accept   defer    defer
        login NFD, typed NFD        accept   accept   defer    defer
    """,
    "ldap store": """
                                    up       slow     hanging  down
        right                       accept   accept   defer    defer
        wrong                       reject   reject   defer    defer
        unknown user                reject   reject   defer    defer
        disabled, right password    reject   reject   defer    defer
        expired, right password     reject   reject   defer    defer
        empty password              reject   reject   reject   reject
        right password and a NUL    reject   reject   reject   reject
        right login and a NUL       reject   reject   reject   reject
        NUL within the login        reject   reject   reject   reject
        4,000 bytes, right          accept   accept   defer    defer
        4,000 bytes, wrong          reject   reject   defer    defer
        password NFC, typed NFC     accept   accept   defer    defer
        password NFC, typed NFD     accept   accept   defer    defer
        password NFD, typed NFC     reject   reject   defer    defer
        password NFD, typed NFD     accept   accept   defer    defer
        login NFC, typed NFC        accept   accept   defer    defer
        login NFC, typed NFD        accept   accept   defer    defer
        login NFD, typed NFC        accept   accept   defer    defer
        login NFD, typed NFD        accept   accept   defer    defer
    """,
    "pam": """
                                    up       slow     hanging  down
        right                       accept   accept   defer    defer
        wrong                       reject   reject   defer    defer
        unknown user                reject   reject   defer    defer
        disabled, right password    reject   reject   defer    defer
        expired, right password     reject   reject   defer    defer
        empty password              reject   reject   reject   reject
        right password and a NUL    reject   reject   reject   reject
        right login and a NUL       reject   reject   reject   reject
        NUL within the login        reject   reject   reject   reject
        4,000 bytes, right          n/a      n/a      n/a      n/a
        4,000 bytes, wrong          reject   reject   reject   reject
        password NFC, typed NFC     accept   accept   defer    defer
        password NFC, typed NFD     reject   reject   defer    defer
        password NFD, typed NFC     reject   reject   defer    defer
        password NFD, typed NFD     accept   accept   defer    defer
        login NFC, typed NFC        accept   accept   defer    defer
        login NFC, typed NFD        accept   accept   defer    defer
        login NFD, typed NFC        reject   reject   defer    defer
        login NFD, typed NFD        reject   reject   defer    defer
    """,
    "shadow": """
                                    up       slow     hanging  down
        right                       accept   n/a      defer    defer
        wrong                       reject   n/a      defer    defer
        unknown user                reject   n/a      defer    defer
        disabled, right password    reject   n/a      defer    defer
        expired, right password     reject   n/a      defer    defer
        empty password              reject   n/a      reject   reject
        right password and a NUL    reject   n/a      reject   reject
        right login and a NUL       reject   n/a      reject   reject
        NUL within the login        reject   n/a      reject   reject
        4,000 bytes, right          n/a      n/a      n/a      n/a
        4,000 bytes, wrong          reject   n/a      defer    defer
        password NFC, typed NFC     accept   n/a      defer    defer
        password NFC, typed NFD     accept   n/a      defer    defer
        password NFD, typed NFC     reject   n/a      defer    defer
        password NFD, typed NFD     accept   n/a      defer    defer
        login NFC, typed NFC        accept   n/a      defer    defer
        login NFC, typed NFD        accept   n/a      defer    defer
        login NFD, typed NFC        reject   n/a      defer    defer
        login NFD, typed NFD        reject   n/a      defer    defer
    """,
}
"""What the daemon must say. A row is what its name says (``credentials.py``), a column the state of the store:

*slow* answers after about a second, within the backend's timeout; *hanging* accepts the question and never answers;
*down* is not there. ``n/a``: there is no such cell, ``CANNOT_BE`` says why.

Some verdicts that are less plain than others:

- *password NFC, typed NFD* is accepted where saslpy holds the stored password: it tries SASLprep's form (RFC 4013) too. A
  directory or PAM is handed the bytes that came, and once: a second try would count as a second wrong password.
- *password NFD, typed NFC*: whoever stored it has not prepared it, and no form of what is typed is what was hashed.
- *login NFD*: the naming policy asks for the composed name, which is another name than the one that is stored; but to a
  directory both are one (RFC 4518, 2.3), and the static backend reads its users' names by the same policy.
- *pam, 4,000 bytes, wrong* is a no in every state: libpam takes 511 bytes at most (PAM_MAX_RESP_SIZE), so nobody has it.
"""

CANNOT_BE: dict[tuple[str, str], str] = {
    ("static", "slow"): "its users are in the daemon's memory",
    ("static", "hanging"): "its users are in the daemon's memory",
    ("static", "down"): "its users are in the daemon's memory",
    ("static", "expired, right password"): "a user in the configuration has no date of expiry",
    ("pam", "4,000 bytes, right"): "libpam hands over 511 bytes at most, so no user of PAM has such a password",
    (
        "shadow",
        "4,000 bytes, right",
    ): "crypt(3) takes 511 bytes at most, so no line of /etc/shadow holds such a password",
    ("shadow", "slow"): "a file is opened without waiting and has no locks: it is there or it is not",
}
"""Cells that cannot exist: of a backend, a column or a row."""

FAULTS: dict[tuple[str, str, str], str] = {}
"""Cells in which the daemon is wrong: (backend, state, row), and what is wrong."""

NEVER_ASKED = (
    "empty password",
    "right password and a NUL",
    "right login and a NUL",
    "NUL within the login",
)
"""Rows that no store is asked about, so that its state does not matter."""

RIGHT = (
    "right",
    "4,000 bytes, right",
    "password NFC, typed NFC",
    "password NFC, typed NFD",
    "password NFD, typed NFC",
    "password NFD, typed NFD",
    "login NFC, typed NFC",
    "login NFC, typed NFD",
    "login NFD, typed NFC",
    "login NFD, typed NFD",
)
"""Rows that may be accepted: nothing but the right password of somebody who may come in."""


def read(table: str) -> dict[tuple[str, str], str]:
    """(state, row) to the verdict."""
    head, *lines = table.strip().splitlines()
    cells: dict[tuple[str, str], str] = {}
    for line in lines:
        *words, up, slow, hanging, down = line.split()
        row = " ".join(words)
        cells |= {(state, row): word for state, word in zip(head.split(), (up, slow, hanging, down), strict=True)}
    return cells


EXPECTED = {backend: read(table) for backend, table in TABLES.items()}


def _cells() -> Iterator[object]:
    """A parameter for each cell that there is."""
    for backend, table in EXPECTED.items():
        for (state, row), verdict in table.items():
            if verdict != "n/a":
                fault = FAULTS.get((backend, state, row))
                marks = [pytest.mark.xfail(reason=fault, strict=True)] if fault else []
                yield pytest.param(backend, state, row, verdict, marks=marks, id=f"{backend}-{state}-{row}")


# --- the tables themselves


def test_the_tables_are_whole() -> None:
    assert list(TABLES) == list(STORES)
    for backend, table in EXPECTED.items():
        assert list(table) == [(state, row) for row in CREDENTIALS for state in get_args(State)], backend
        assert set(table.values()) <= {"accept", "reject", "defer", "n/a"}, backend


def test_what_cannot_be_has_a_reason() -> None:
    for backend, table in EXPECTED.items():
        for (state, row), verdict in table.items():
            impossible = (backend, state) in CANNOT_BE or (backend, row) in CANNOT_BE
            assert (verdict == "n/a") == impossible, (backend, state, row)


def test_the_tables_keep_the_rule() -> None:
    """An outage is never a no to a question that had to be asked, and never a yes; only who is right comes in."""
    for backend, table in EXPECTED.items():
        for (state, row), verdict in table.items():
            cell = (backend, state, row)
            if verdict == "accept":
                assert row in RIGHT, cell
                assert state in ("up", "slow"), cell
            elif verdict == "defer":
                assert state in ("hanging", "down"), cell
            elif verdict == "reject" and state in ("hanging", "down"):
                assert row in NEVER_ASKED or (backend, row) == ("pam", "4,000 bytes, wrong"), cell
            if state == "slow" and verdict != "n/a":
                assert verdict == table["up", row], cell


# --- the daemon


class Matrices:
    """The matrices of the backends that are wanted; all are measured at the same time, each with a daemon of its own."""

    def __init__(self, backends: list[str], stack: ExitStack) -> None:
        self._threads = stack.enter_context(ThreadPoolExecutor(len(backends)))
        self._stack = stack
        # all run before one is measured: what is slow should not be slower because others start
        opened = {backend: self._threads.submit(self._open, backend) for backend in backends}
        for future in opened.values():
            future.exception()
        self.measured = {backend: self._threads.submit(_measured, future) for backend, future in opened.items()}

    def _open(self, backend: str) -> Running:
        own = ExitStack()
        run = own.enter_context(running(backend))
        self._stack.push(own)
        return run


def _measured(opened: Future[Running]) -> tuple[Matrix, str]:
    run = opened.result()
    return measured(run), run.daemon.log.read_text()


@pytest.fixture(scope="module")
def matrices(request: pytest.FixtureRequest) -> Iterator[Matrices]:
    wanted = {_backend(item) for item in request.session.items if item.path == request.path}
    with ExitStack() as stack:
        yield Matrices([backend for backend in STORES if backend in wanted], stack)


def _backend(item: pytest.Item) -> object:
    """The backend that a test is about, if it is about one."""
    return (
        item.callspec.params.get("backend") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else None
    )


@pytest.fixture
def matrix(matrices: Matrices, backend: str) -> Matrix:
    """The matrix of a backend; where a program is missing, the test is skipped here."""
    return matrices.measured[backend].result()[0]


@pytest.mark.parametrize(("backend", "state", "row", "verdict"), list(_cells()))
def test_cell(matrix: Matrix, backend: str, state: State, row: str, verdict: str) -> None:
    assert matrix[state, row].verdict == verdict


of_each = pytest.mark.parametrize("backend", STORES)


@of_each
def test_every_answer_comes_in_time(matrix: Matrix, backend: str) -> None:
    late = {cell: found for cell, found in matrix.items() if found.seconds > DEADLINE + 0.5}
    assert late == {}


@of_each
def test_what_no_store_need_be_asked_about_is_answered_at_once(matrix: Matrix, backend: str) -> None:
    slow = {(state, row): found for (state, row), found in matrix.items() if row in NEVER_ASKED and found.seconds > 0.5}
    assert slow == {}


@pytest.mark.parametrize("backend", [name for name in STORES if name not in ("static", "shadow")])
def test_slow_is_slow_and_hanging_hangs(matrix: Matrix, backend: str) -> None:
    """The columns are what they say: else this whole file might prove nothing."""

    def seconds(wanted: State) -> list[float]:
        return [found.seconds for (state, _), found in matrix.items() if state == wanted]

    assert SLOW_SECONDS - 0.1 < max(seconds("slow")) < TIMEOUT
    assert max(seconds("hanging")) > TIMEOUT - 0.1
    # the shortest: a busy machine makes any one of them long
    assert min(seconds("up")) < SLOW_SECONDS > min(seconds("down"))


@of_each
def test_no_password_is_in_the_log(matrices: Matrices, backend: str) -> None:
    log = matrices.measured[backend].result()[1]
    assert "verdict=accept" in log
    for user in USERS:
        assert user.password not in log
