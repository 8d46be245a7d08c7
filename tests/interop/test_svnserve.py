"""A real svnserve and svn, set up by the files that contrib has for them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from saslpy import passwords
from saslpy_sqlite.store import SqliteStore

from ..real import need
from ..real.postfix import free_port
from ..real.processes import await_greeting, end
from ..real.saslpy import Daemon, back_within, configured, folder, serving
from ..real.system import need_namespaces

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="a mount namespace wants root"),
]

CONTRIB = Path(__file__).parents[2] / "contrib/svnserve"
SOCKET = "saslauthd_path: /run/saslauthd/mux\n"
LOGIN, PASSWORD = "joe@example.org", "s3cret pass"
SCRIPT = """\
mount --bind "$1/sasl" /usr/lib/sasl2
exec "$2" --daemon --foreground --listen-host 127.0.0.1 --listen-port "$3" --root "$1" --config-file "$1/svnserve.conf"
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    with closing(SqliteStore(place / "users.db")) as store:
        store.add(LOGIN, [passwords.make("SHA512-CRYPT", PASSWORD)])
    config = configured(place, '[backend.local]\ntype = "sqlite"\npath = "users.db"\n', "min_seconds = 0")
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module")
def repository(place: Path, daemon: Daemon) -> Iterator[str]:
    """The URL of an empty one."""
    program = need("svnserve", package="subversion")
    need_namespaces()
    subprocess.run([need("svnadmin", package="subversion"), "create", place / "repository"], check=True)
    (place / "sasl").mkdir()
    shipped = (CONTRIB / "svn.conf").read_text()
    assert SOCKET in shipped
    (place / "sasl" / "svn.conf").write_text(shipped.replace(SOCKET, f"saslauthd_path: {place}/mux\n"))
    (place / "svnserve.conf").write_text((CONTRIB / "svnserve.conf").read_text())
    port = free_port()
    errors = place / "svnserve.log"
    with errors.open("wb") as file:
        server = subprocess.Popen(
            ["unshare", "--mount", "sh", "-ec", SCRIPT, "sh", place, program, str(port)], stderr=file
        )
    try:
        await_greeting(server, port, b"( success ", errors.read_text)
        yield f"svn://127.0.0.1:{port}/repository"
    finally:
        end(server)


def svn(place: Path, repository: str, login: str, password: str) -> str:
    """What ``svn list`` complains of; nothing when it may."""
    done = subprocess.run(
        [
            *(need("svn", package="subversion"), "list", "--non-interactive", "--no-auth-cache"),
            *("--config-dir", place / "svn", "--username", login, "--password", password, repository),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode == 0) == (done.stderr == "")
    return done.stderr


def test_a_right_password_and_a_wrong_one(place: Path, daemon: Daemon, repository: str) -> None:
    assert svn(place, repository, LOGIN, PASSWORD) == ""
    assert svn(place, repository, "joe", PASSWORD) == "", "the realm is his domain"
    assert "SASL(-13): authentication failure" in svn(place, repository, LOGIN, "wrong")
    assert "SASL(-13): authentication failure" in svn(place, repository, "nobody", PASSWORD)
    for said in ("accept reason=ok", "reject reason=wrong-password"):
        daemon.wait_for(f"login verdict={said} login={LOGIN} service=svn")


def test_a_domain_that_is_not_the_realm(place: Path, repository: str) -> None:
    """svnserve refuses it without asking."""
    assert "SASL(-5): bad protocol / cancel" in svn(place, repository, "joe@example.com", PASSWORD)


def test_an_outage(place: Path, daemon: Daemon, repository: str) -> None:
    (place / "users.db").rename(place / "away.db")
    try:
        assert "SASL(-1): generic failure" in svn(place, repository, LOGIN, PASSWORD)
    finally:
        (place / "away.db").rename(place / "users.db")
    daemon.wait_for(f"login verdict=defer reason=backend-failed login={LOGIN} service=svn")
    back_within(3.0, place, LOGIN, PASSWORD)
    assert svn(place, repository, LOGIN, PASSWORD) == ""
