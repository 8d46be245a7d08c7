"""What the matrix brought to light beside its cells: how one user's trouble, and questions that were none, touch others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.pam import YES, stack, userdb_stack
from tests.real.saslpy import ask, configured, folder, serving

pytestmark = pytest.mark.real

JOE = ("joe", "s3cret joe")
NEVER_ASKED = ("a/b", "x")
"""A name that is refused in the worker, before PAM is asked."""


@pytest.fixture
def place() -> Iterator[Path]:
    """A configuration with PAM, whose service "smtp" is a database with one user."""
    with folder() as path:
        confdir = path / "pam.d"
        confdir.mkdir()
        userdb_stack(confdir, dict([JOE]))
        backend = f'[backend.it]\ntype = "pam"\nservice = "smtp"\nconfdir = "{confdir}"\ntimeout = 0.5\n'
        configured(path, backend, 'chain = ["it"]\nmin_seconds = 0\n')
        yield path


@pytest.mark.xfail(
    strict=True,
    reason="Supervisor._ended counts workers that it was told to kill for its back-off, so that new ones wait up to 2 s",
)
def test_a_login_at_which_pam_hangs_does_not_keep_out_the_others(place: Path) -> None:
    auth, account = (place / "pam.d" / "smtp").read_text().splitlines()
    stuck = (
        "auth [success=ignore default=1] pam_succeed_if.so quiet user = stuck",
        "auth required pam_exec.so /bin/sleep 9",
    )
    stack(place / "pam.d", "smtp", *stuck, auth, account)
    seen = []
    with serving(place / "saslpy.toml"):
        assert ask(place, *JOE) == "accept"
        for _ in range(5):
            assert ask(place, "stuck", "x") == "defer"
            start = time.monotonic()
            seen.append((ask(place, *JOE), round(time.monotonic() - start, 2)))
    assert all(verdict == "accept" and seconds < 0.3 for verdict, seconds in seen), seen


@pytest.mark.xfail(
    strict=True,
    reason="Guarded._call takes every answer for a sign that the store works, those too that it was not asked for",
)
def test_an_answer_without_the_store_does_not_say_that_it_works(place: Path) -> None:
    with serving(place / "saslpy.toml") as daemon:
        assert ask(place, *JOE) == "accept"
        (place / "pam.d" / "smtp").unlink()
        for _ in range(5):
            assert ask(place, *JOE) == "defer"
            assert ask(place, *NEVER_ASKED) == "reject"
        time.sleep(0.6)  # until the log is written
        assert (len(daemon.lines("backend-down")), len(daemon.lines("backend-up"))) == (1, 0)


@pytest.mark.xfail(
    strict=True, reason="Guarded._call closes the circuit for every answer, those too for which the store was not asked"
)
def test_an_answer_without_the_store_does_not_close_the_circuit(place: Path) -> None:
    stack(place / "pam.d", "smtp", "auth required pam_exec.so quiet /bin/sleep 9", YES)
    seen = []
    with serving(place / "saslpy.toml"):
        for number in range(6):
            start = time.monotonic()
            assert ask(place, f"user{number}", "x") == "defer"
            seen.append(round(time.monotonic() - start, 1))
            assert ask(place, *NEVER_ASKED) in ("reject", "defer")
    # three wait for their answer, then all are told at once
    assert [seconds < 0.3 for seconds in seen].count(True) >= 2, seen
