"""OpenLDAP's pass-through: a simple bind of an entry with ``userPassword: {SASL}joe@example.org`` asks our mux socket.

Debian's slapd gives libsasl2 its configuration's folder itself, /etc/ldap/sasl2, so that SASL_CONF_PATH counts for nothing.
Here it runs in a mount namespace in which a folder of ours stands there.

**An outage is a wrong password here, and not by us.** We hang up, and libsasl2 says SASL_FAIL; but slapd's ``chk_sasl``
makes the same of everything that is not SASL_OK (OpenLDAP, servers/slapd/sasl.c: ``rtn = ( sc != SASL_OK ) ?
LUTIL_PASSWD_ERR : LUTIL_PASSWD_OK``), and the backend makes invalidCredentials (49) of that. Whoever binds cannot tell;
slapd's log can: an outage is a line "SASL [conn=…] Failure: …", a wrong password is none.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from saslpy import passwords
from saslpy_sqlite.store import SqliteStore

from ..backends.ldap import PEOPLE, person, tree
from ..real import need
from ..real.saslpy import Daemon, back_within, configured, folder, serving
from ..real.slapd import Slapd

pytestmark = pytest.mark.real

LOGIN, PASSWORD = "joe@example.org", "s3cret pass"
SASL_FOLDER = "/etc/ldap/sasl2"
SUCCESS, INVALID_CREDENTIALS = 0, 49

WRAPPER = """\
#!/bin/sh
exec {unshare} sh -c 'mount --bind {ours} {theirs} && exec {slapd} "$@"' slapd "$@"
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    with closing(SqliteStore(place / "users.db")) as store:
        store.add(LOGIN, [passwords.make("SHA512-CRYPT", PASSWORD)])
    config = configured(
        place, '[backend.local]\ntype = "sqlite"\npath = "users.db"\n', 'chain = ["local"]\nmin_seconds = 0'
    )
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module")
def directory(place: Path, daemon: Daemon) -> Iterator[Slapd]:
    """Entries whose passwords are ours to check, and one whose password is slapd's."""
    entries = tree(
        person("joe", None, userPassword=f"{{SASL}}{LOGIN}"),
        person("joseph", None, userPassword="{SASL}JOE@EXAMPLE.ORG"),
        person("gone", None, userPassword="{SASL}nobody@example.org"),
        person("own", PASSWORD),
    )
    with pytest.MonkeyPatch.context() as patch:
        wrapper = slapd_with_sasl(place)
        patch.setattr(
            "tests.real.slapd.need", lambda name, package: wrapper if name == "slapd" else need(name, package=package)
        )
        with Slapd(entries) as server:
            yield server


def slapd_with_sasl(place: Path) -> str:
    """A program in slapd's place, for which libsasl2 is configured to ask our mux socket."""
    ours = place / "sasl"
    ours.mkdir()
    shipped = (Path(__file__).parents[2] / "contrib" / "openldap" / "slapd.conf").read_text()
    path = "saslauthd_path: /run/saslauthd/mux"
    assert path in shipped
    (ours / "slapd.conf").write_text(shipped.replace(path, f"saslauthd_path: {place}/mux"))
    unshare = [need("unshare", package="util-linux"), "--mount"]
    if os.geteuid() != 0:
        unshare += ["--user", "--map-root-user"]
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("this system allows no mount namespace")
    wrapper = place / "slapd"
    wrapper.write_text(
        WRAPPER.format(unshare=" ".join(unshare), ours=ours, theirs=SASL_FOLDER, slapd=need("slapd", package="slapd"))
    )
    wrapper.chmod(0o755)
    return str(wrapper)


def bind(directory: Slapd, uid: str, password: str) -> int:
    """The result code of a simple bind."""
    done = subprocess.run(
        [
            need("ldapwhoami", package="ldap-utils"),
            *("-x", "-H", directory.url, "-D", f"uid={uid},{PEOPLE}", "-w", password),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode >= 0, done.stderr
    return done.returncode


def failures(directory: Slapd) -> list[str]:
    """What slapd says of password checks that libsasl2 could not make."""
    return [line.partition("Failure: ")[2] for line in directory.said().splitlines() if "SASL [conn=" in line]


def next_login(daemon: Daemon, before: int) -> str:
    """The line about the first login after so many; it may be written a moment after the answer."""
    deadline = time.monotonic() + 5
    while len(lines := daemon.lines("login")) <= before:
        assert time.monotonic() < deadline, "no line"
        time.sleep(0.01)
    return lines[before]


@pytest.mark.parametrize(
    ("uid", "password", "code"),
    [
        ("joe", PASSWORD, SUCCESS),
        ("joe", PASSWORD + "x", INVALID_CREDENTIALS),
        ("joe", "pässwörd", INVALID_CREDENTIALS),
        ("joseph", PASSWORD, SUCCESS),
        ("gone", PASSWORD, INVALID_CREDENTIALS),
        ("own", PASSWORD, SUCCESS),
        ("own", PASSWORD + "x", INVALID_CREDENTIALS),
    ],
)
def test_yes_and_no(directory: Slapd, uid: str, password: str, code: int) -> None:
    assert bind(directory, uid, password) == code
    assert failures(directory) == []


def test_we_are_asked_with_the_realm_apart_for_the_service_ldap(directory: Slapd, daemon: Daemon) -> None:
    before = len(daemon.lines("login"))
    assert bind(directory, "joe", PASSWORD) == SUCCESS
    assert f"login={LOGIN} service=ldap " in next_login(daemon, before)


def test_an_outage(directory: Slapd, daemon: Daemon, place: Path) -> None:
    """invalidCredentials, alas (see above); the log of slapd and ours tell, and the password is right again afterwards."""
    before, logins = len(failures(directory)), len(daemon.lines("login"))
    (place / "users.db").rename(place / "away.db")
    try:
        assert bind(directory, "joe", PASSWORD) == INVALID_CREDENTIALS
        assert bind(directory, "own", PASSWORD) == SUCCESS
    finally:
        (place / "away.db").rename(place / "users.db")
    assert "verdict=defer" in next_login(daemon, logins)
    assert failures(directory)[before:] == ["size read failed"]
    back_within(3.0, place, LOGIN, PASSWORD)
    assert bind(directory, "joe", PASSWORD) == SUCCESS
