"""The main job: a real Postfix and testsaslauthd ask, SQLite and a real MariaDB answer; and one of them goes away."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from saslpy import passwords

from ..real import need
from ..real.mariadb import MariaDb
from ..real.postfix import MAIN, SMTPD_CONF, Postfix, swaks
from ..real.saslpy import Daemon, ask, back_within, configured, folder, run, serving

pytestmark = pytest.mark.real

LOGIN, PASSWORD = "joe@example.org", "s3cret pass"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def database() -> Iterator[MariaDb]:
    with MariaDb() as server:
        server.sql(
            "CREATE DATABASE mail; CREATE USER mail@localhost IDENTIFIED BY 'dbpw';"
            "GRANT SELECT ON mail.* TO mail@localhost;"
            "CREATE TABLE mail.mailbox (username VARCHAR(255) PRIMARY KEY, password VARCHAR(255) NOT NULL,"
            " name VARCHAR(255), maildir VARCHAR(255), quota BIGINT, domain VARCHAR(255), active TINYINT(1) DEFAULT 1);"
        )
        for login, scheme, active in ((LOGIN, "SHA512-CRYPT", 1), ("off@example.org", "MD5-CRYPT", 0)):
            secret = passwords.make(scheme, PASSWORD)
            server.sql(f"INSERT INTO mail.mailbox VALUES ('{login}', '{secret}', '', 'x/', 0, 'example.org', {active})")
        yield server


@pytest.fixture(scope="module")
def daemon(place: Path, database: MariaDb) -> Iterator[Daemon]:
    (place / "dbpw").write_text("dbpw\n")
    config = configured(
        place,
        f'[backend.local]\ntype = "sqlite"\npath = "users.db"\n'
        f'[backend.virtual]\ntype = "mysql"\nsocket = "{database.socket}"\nuser = "mail"\npassword_file = "dbpw"\n'
        f'database = "mail"\nschema = "postfixadmin"\n',
        'chain = ["virtual"]\nmin_seconds = 0\n[[auth.route]]\ndomains = ["local.example"]\nchain = ["local"]\n',
    )
    added = run("user", "add", "ann@local.example", "--config", str(config), "--password-stdin", password=PASSWORD)
    assert added.returncode == 0, added.stderr
    with serving(config) as running:
        yield running


def mux_client(place: Path, *options: str) -> tuple[int, str]:
    done = subprocess.run(
        [need("testsaslauthd", package="sasl2-bin"), "-f", str(place / "mux"), *options],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        (("-u", LOGIN, "-p", PASSWORD), 0, '0: OK "Success."'),
        (("-u", "joe", "-r", "example.org", "-p", PASSWORD, "-s", "smtp"), 0, '0: OK "Success."'),
        (("-u", LOGIN, "-p", PASSWORD + "x"), 255, '0: NO "authentication failed"'),
        (("-u", "nobody@example.org", "-p", PASSWORD), 255, '0: NO "authentication failed"'),
        (("-u", "off@example.org", "-p", PASSWORD), 255, '0: NO "authentication failed"'),
        (("-u", "ann", "-r", "local.example", "-p", PASSWORD), 0, '0: OK "Success."'),
    ],
)
def test_testsaslauthd(daemon: Daemon, place: Path, options: tuple[str, ...], status: int, text: str) -> None:
    assert mux_client(place, *options) == (status, text)


@pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="Postfix's master wants root")
def test_postfix(daemon: Daemon, place: Path, database: MariaDb) -> None:
    """SMTP AUTH through libsasl2, by the file of contrib, in a chroot: 235, 535; 454 while the database is gone
    or hangs; 235 when it is back."""
    with Postfix(place, place / "mux", chroot=True) as postfix:
        for mechanism in ("PLAIN", "LOGIN"):
            assert swaks(postfix.port, LOGIN, PASSWORD, mechanism).startswith("235 2.7.0"), postfix.log()
            assert swaks(postfix.port, LOGIN, "wrong", mechanism).startswith("535 5.7.8"), postfix.log()
            assert swaks(postfix.port, "nobody@example.org", "x", mechanism).startswith("535 5.7.8")
        database.stop()
        try:
            assert swaks(postfix.port, LOGIN, PASSWORD, "PLAIN").startswith("454 4.7.0"), postfix.log()
            assert swaks(postfix.port, LOGIN, "wrong", "LOGIN").startswith("454 4.7.0")
            # another store, another domain: not harmed
            assert swaks(postfix.port, "ann@local.example", PASSWORD, "PLAIN").startswith("235 2.7.0")
        finally:
            database.start()
        back_within(3.0, place, LOGIN, PASSWORD)
        assert swaks(postfix.port, LOGIN, PASSWORD, "PLAIN").startswith("235 2.7.0")
        database.pause()
        try:
            start = time.monotonic()
            assert swaks(postfix.port, LOGIN, PASSWORD, "PLAIN").startswith("454 4.7.0")
            assert time.monotonic() - start < 9.0
        finally:
            database.resume()
        back_within(3.0, place, LOGIN, PASSWORD)
        assert swaks(postfix.port, LOGIN, PASSWORD, "LOGIN").startswith("235 2.7.0")
    down, up = daemon.lines("backend-down"), daemon.lines("backend-up")
    assert len(down) == 2, down
    assert len(up) == 2, up


def test_postfix_ran_with_the_lines_that_the_file_names() -> None:
    named = [line.removeprefix("#   ") for line in SMTPD_CONF.splitlines() if line.startswith("#   smtpd_")]
    assert len(named) == 3
    assert set(named) <= set(MAIN.splitlines())


def test_no_secret_is_in_the_log(daemon: Daemon, place: Path) -> None:
    ask(place, LOGIN, PASSWORD)
    text = daemon.log.read_text()
    assert "verdict=accept" in text
    for secret in (PASSWORD, "s3cret", "dbpw", "$6$", "wrong "):
        assert secret not in text
    assert PASSWORD.encode() not in Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
