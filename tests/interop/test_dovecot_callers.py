"""A real Dovecot 2.3 with an auth service of its own that asks saslpy: by checkpassword, and by Lua over HTTP.

The first cases of each are the rows of the table of who hears a temporary failure how.
"""

from __future__ import annotations

import os
import secrets
import shlex
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from saslpy_sqlite.store import SqliteStore

from ..real import need
from ..real.dovecot import CONTRIB, Dovecot, Lines
from ..real.postfix import free_port
from ..real.saslpy import configured, folder, serving
from ..real.system import need_root

pytestmark = pytest.mark.real

PASSWORD = 's3cret "\\pass ü'
ODD = 'a "\\b ü'
VMAIL = 12_000
OWN = """
service auth {
  user = root
}
service auth-worker {
  user = root
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
"""
"""A checkout's Python may be open to root alone; and nobody is to wait longer for each wrong password."""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    need_root()
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def port(place: Path) -> Iterator[int]:
    """saslpy, with HTTP on a port and on a socket."""
    (place / "mail").mkdir()
    os.chown(place / "mail", VMAIL, VMAIL)
    (place / "secret").write_text(secrets.token_hex(16) + "\n")
    add_users(place)
    port = free_port()
    http = f'[[listen]]\nprotocol = "http"\naddress = "127.0.0.1:{port}"\nsecret_file = "secret"\n'
    config = configured(
        place,
        '[backend.local]\ntype = "sqlite"\npath = "users.db"\n'
        f'[backend.local.account]\nuid = {VMAIL}\ngid = {VMAIL}\nhome = "{place}/mail/{{local}}"\n'
        'maildir = "{home}/Mail"\nquota = "10240000S,1000C"\n',
        "min_seconds = 0\n",
        f'\n{http}[[listen]]\nprotocol = "http"\npath = "http"\n',
    )
    with serving(config) as daemon:
        yield port
        assert "internal-error" not in daemon.log.read_text()


def add_users(place: Path) -> None:
    """All with one password: off is disabled, old has expired."""
    with closing(SqliteStore(place / "users.db")) as store:
        for name in ("joe", "off", "old"):
            store.add(f"{name}@example.org", (f"{{PLAIN}}{PASSWORD}",))
    with closing(sqlite3.connect(place / "users.db")) as database, database:
        database.execute("UPDATE users SET disabled = 1 WHERE login = 'off@example.org'")
        database.execute("UPDATE users SET expires = '2020-01-01' WHERE login = 'old@example.org'")
        database.execute("UPDATE users SET options = ? WHERE login = 'joe@example.org'", (f"userdb_x={ODD}",))


@pytest.fixture(scope="module", params=["checkpassword", "lua"])
def dovecot(request: pytest.FixtureRequest, place: Path, port: int) -> Iterator[Dovecot]:
    own = place / request.param
    own.mkdir()
    own.chmod(0o755)
    text = checkpassword(own, place) if request.param == "checkpassword" else lua(own, place, port)
    with Dovecot(own, OWN + text) as running:
        yield running


def checkpassword(own: Path, place: Path) -> str:
    program = own / "saslpy-checkpassword"
    socket, python = shlex.quote(str(place / "http")), shlex.quote(sys.executable)
    program.write_text(f'#!/bin/sh\nSASLPY_SOCKET={socket} exec {python} -P -m saslpy.checkpassword "$@"\n')
    program.chmod(0o755)
    text = (CONTRIB / "checkpassword-2.3.conf").read_text()
    return text.replace("/usr/local/bin/saslpy-checkpassword", str(program))


def lua(own: Path, place: Path, port: int) -> str:
    need_lua()
    script = (CONTRIB / "saslpy.lua").read_text()
    script = script.replace("http://127.0.0.1:9080", f"http://127.0.0.1:{port}")
    (own / "saslpy.lua").write_text(script.replace("/etc/dovecot/saslpy.secret", str(place / "secret")))
    return (CONTRIB / "lua-2.3.conf").read_text().replace("/etc/dovecot/saslpy.lua", str(own / "saslpy.lua"))


def need_lua() -> None:
    """Without the module the test is skipped; in CI that is a failure."""
    if not Path("/usr/lib/dovecot/modules/auth/libauthdb_lua.so").exists():
        need("libauthdb_lua.so", package="dovecot-auth-lua")


@contextmanager
def outage(place: Path) -> Iterator[None]:
    """The users' store is gone as long as the block runs."""
    (place / "users.db").rename(place / "away")
    try:
        yield
    finally:
        (place / "away").rename(place / "users.db")


def login(dovecot: Dovecot, name: str, password: str = PASSWORD) -> str:
    with Lines(dovecot.imap) as lines:
        quoted = password.replace("\\", "\\\\").replace('"', '\\"')
        return lines.ask(f'a LOGIN {name}@example.org "{quoted}"', ["a "]).removeprefix("a ")


def rcpt(dovecot: Dovecot, name: str) -> str:
    """What LMTP answers to a recipient."""
    with Lines(dovecot.lmtp) as lines:
        assert lines.ask("LHLO here", ["250 "]).startswith("250")
        assert lines.ask("MAIL FROM:<sender@example.net>", ["2"]).startswith("250")
        return lines.ask(f"RCPT TO:<{name}@example.org>", ["2", "4", "5"])


def test_yes_no_and_could_not_find_out(dovecot: Dovecot, place: Path) -> None:
    assert login(dovecot, "joe").startswith("OK"), dovecot.log()
    assert login(dovecot, "joe", "wrong").startswith("NO [AUTHENTICATIONFAILED]")
    assert login(dovecot, "nobody").startswith("NO [AUTHENTICATIONFAILED]")
    assert login(dovecot, "off").startswith("NO [AUTHENTICATIONFAILED]")
    told = login(dovecot, "old")
    # the program has no word for it
    assert told.startswith(
        "NO [AUTHENTICATIONFAILED]" if dovecot.folder.parent.name == "checkpassword" else "NO [EXPIRED]"
    )
    with outage(place):
        assert login(dovecot, "joe").startswith("NO [UNAVAILABLE]")
        assert login(dovecot, "joe", "wrong").startswith("NO [UNAVAILABLE]")
    assert login(dovecot, "joe").startswith("OK")


def test_users(dovecot: Dovecot, place: Path) -> None:
    status, told = dovecot.doveadm("user", "joe@example.org")
    assert status == 0, told + dovecot.log()
    fields = dict(line.split("\t", 1) for line in told.splitlines()[1:])
    assert fields == {
        "uid": str(VMAIL),
        "gid": str(VMAIL),
        "home": f"{place}/mail/joe",
        "mail": f"maildir:{place}/mail/joe/Mail",
        "quota_rule": "*:bytes=10240000:messages=1000",
        "x": ODD,
    }
    assert dovecot.doveadm("user", "nobody@example.org")[0] == 67
    with outage(place):
        assert dovecot.doveadm("user", "joe@example.org")[0] == 75


def test_mail_is_delivered_returned_or_kept(dovecot: Dovecot, place: Path) -> None:
    assert rcpt(dovecot, "joe").startswith("250")
    assert rcpt(dovecot, "off").startswith("250")
    assert rcpt(dovecot, "nobody").startswith("550 5.1.1")
    with outage(place):
        assert rcpt(dovecot, "joe").startswith("451 4.3.0")
