"""What the matrix brought to light beside its cells: how one user's trouble, and questions that were none, touch others."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.pam import stack, userdb_stack
from tests.real.saslpy import Daemon, ask, configured, folder, serving

pytestmark = pytest.mark.real

JOE = ("joe", "s3cret joe")
NEVER_ASKED = ("ｊｏｅ", "x")
"""A name that is refused before the directory is asked: to it, it would be another spelling of joe."""


@pytest.fixture
def with_pam() -> Iterator[Path]:
    """A configuration with PAM, whose service "smtp" is a database with one user."""
    with folder() as path:
        confdir = path / "pam.d"
        confdir.mkdir()
        userdb_stack(confdir, dict([JOE]))
        backend = f'[backend.it]\ntype = "pam"\nservice = "smtp"\nconfdir = "{confdir}"\ntimeout = 0.5\n'
        configured(path, backend, 'chain = ["it"]\nmin_seconds = 0\n')
        yield path


def test_a_login_at_which_pam_hangs_does_not_keep_out_the_others(with_pam: Path) -> None:
    auth, account = (with_pam / "pam.d" / "smtp").read_text().splitlines()
    stuck = (
        "auth [success=ignore default=1] pam_succeed_if.so quiet user = stuck",
        "auth required pam_exec.so /bin/sleep 9",
    )
    stack(with_pam / "pam.d", "smtp", *stuck, auth, account)
    seen = []
    with serving(with_pam / "saslpy.toml"):
        assert ask(with_pam, *JOE) == "accept"
        for _ in range(5):
            assert ask(with_pam, "stuck", "x") == "defer"
            start = time.monotonic()
            seen.append((ask(with_pam, *JOE), round(time.monotonic() - start, 2)))
    assert all(verdict == "accept" and seconds < 0.3 for verdict, seconds in seen), seen


@contextlib.contextmanager
def directory(port: int) -> Iterator[tuple[Path, Daemon]]:
    """A daemon that asks for its users on a port."""
    with folder() as path:
        backend = (
            f'[backend.it]\ntype = "ldap"\nurls = ["ldap://127.0.0.1:{port}"]\ndriver = "ldap3"\nbase = "dc=org"\n'
            'filter = "(uid={login})"\ntimeout = 0.5\n'
        )
        with serving(configured(path, backend, 'chain = ["it"]\nmin_seconds = 0\n')) as daemon:
            yield path, daemon


def test_an_answer_without_the_store_does_not_say_that_it_works() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # connections are refused
        with directory(nobody.getsockname()[1]) as (place, daemon):
            for _ in range(5):
                assert ask(place, *JOE) == "defer"
                assert ask(place, *NEVER_ASKED) == "reject"
            time.sleep(0.6)  # until the log is written
            assert (len(daemon.lines("backend-down")), len(daemon.lines("backend-up"))) == (1, 0)


def test_an_answer_without_the_store_does_not_close_the_circuit() -> None:
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as silent, directory(silent.getsockname()[1]) as (place, _):
        for number in range(6):
            start = time.monotonic()
            assert ask(place, f"user{number}", "x") == "defer"
            seen.append(round(time.monotonic() - start, 1))
            assert ask(place, *NEVER_ASKED) in ("reject", "defer")
    # three wait for their answer, then all are told at once
    assert [seconds < 0.3 for seconds in seen].count(True) >= 2, seen
