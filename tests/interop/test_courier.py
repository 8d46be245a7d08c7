"""Courier's programs, and what else speaks authdaemond's protocol: each asks us as it would ask its own daemon.

authtest, authenumerate, courier-imap, courier-pop, maildrop, Postfix (by libsasl2, and with maildrop behind it), Exim. The
files of contrib are what they are set up with.
"""

from __future__ import annotations

import hmac
import imaplib
import os
import poplib
import shutil
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ..real import need
from ..real.courier import Said, authenumerate, authtest, imap, maildrop, pop3, within
from ..real.exim import Exim
from ..real.postfix import Postfix, swaks
from ..real.saslpy import Daemon, configured, folder, run, serving

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="namespaces and mailboxes want root"),
]

CONTRIB = Path(__file__).parents[2] / "contrib"
PASSWORD = "s3cret pass"
JOE, ANN, TOM, OFF = "joe@example.org", "ann@clear.example", "tom@clear.example", "off@clear.example"
BARE, AWAY, NOBODY = "bob@bare.example", "joe@away.example", "nobody@example.org"
NO, LATER = "Authentication FAILED: Operation not permitted", "Authentication FAILED: Input/output error"
UNSAID = "Authentication FAILED: Invalid argument"
"""The client library asks nobody."""
MESSAGE = "From: ann@example.net\nSubject: here\n\nhello\n"
OWNER = 65534

BACKENDS = """\
[backend.local]
type = "sqlite"
path = "users.db"
[backend.local.account]
uid = 65534
gid = 65534
home = "{place}/mail/{{local}}"
maildir = "{{home}}/Maildir"
quota = "10000000S"
[backend.clear]
type = "static"
[backend.clear.account]
uid = 65534
gid = 65534
home = "{place}/mail/{{local}}"
[backend.clear.users]
"ann@clear.example" = {{ password = "{{PLAIN}}s3cret pass", name = "Ann Doe", options = {{ disableimap = "1" }} }}
"tom@clear.example" = "{{PLAIN}}s3cret pass"
"off@clear.example" = {{ password = "{{PLAIN}}s3cret pass", disabled = true }}
[backend.bare]
type = "static"
users = {{ "bob@bare.example" = "{{PLAIN}}s3cret pass" }}
[backend.away]
type = "mysql"
socket = "no-such-socket"
user = "x"
database = "x"
schema = "extmail"
"""
AUTH = """\
mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5"]
min_seconds = 0
[[auth.route]]
domains = ["clear.example"]
chain = ["clear"]
[[auth.route]]
domains = ["bare.example"]
chain = ["bare"]
[[auth.route]]
domains = ["away.example"]
chain = ["away"]
"""
LISTEN = '[[listen]]\nprotocol = "authdaemon"\npath = "authdaemon"\nmode = "0666"\n'
COURIER = (CONTRIB / "courier/saslpy.toml").read_text()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        for name in ("joe", "ann", "tom"):
            for part in ("cur", "new", "tmp"):
                (path / "mail" / name / "Maildir" / part).mkdir(parents=True)
            for made in (path / "mail" / name, *(path / "mail" / name).rglob("*")):
                os.chown(made, OWNER, OWNER)
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    need("authtest", package="courier-authdaemon")  # its package has the user courier, too
    socket_of_courier = "/run/courier/authdaemon/socket"
    assert COURIER.count(socket_of_courier) == 1
    courier = COURIER.replace(socket_of_courier, f"{place}/courier")
    config = configured(place, BACKENDS.format(place=place), AUTH, LISTEN + courier)
    added = run(
        "user", "add", JOE, "--backend", "local", "--config", str(config), "--password-stdin", password=PASSWORD
    )
    assert added.returncode == 0, added.stderr
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module")
def door(daemon: Daemon, place: Path) -> Path:
    """For Courier's programs, as contrib has it."""
    assert (place / "courier").group() == "courier"
    return place / "courier"


@pytest.fixture(scope="module")
def open_door(daemon: Daemon, place: Path) -> Path:
    """For everybody."""
    return place / "authdaemon"


def attempt_with(daemon: Daemon, text: str, seconds: float = 5.0) -> None:
    """An audit line with this text is there, or comes in time."""
    deadline = time.monotonic() + seconds
    while not any(text in line for line in daemon.lines("login")):
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.01)


# --- authtest, authenumerate


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        ((JOE, PASSWORD), 0, f"     Authenticated: {JOE}  (uid 65534, gid 65534)"),
        ((JOE, "wrong"), 1, NO),
        ((NOBODY, PASSWORD), 1, NO),
        ((OFF, PASSWORD), 1, NO),
        ((AWAY, PASSWORD), 1, LATER),
        ((BARE, PASSWORD), 1, LATER),
        ((BARE, "wrong"), 1, NO),
        (("-s", "smtp", BARE, PASSWORD), 0, f"     Authenticated: {BARE}  (*** UID/GID initialization error***)"),
        ((JOE,), 0, "             Quota: 10000000S"),
        ((ANN,), 0, "           Options: disableimap=1"),
        ((OFF,), 0, "           Options: disableimap=1,disablepop3=1,disablewebmail=1"),
        ((NOBODY,), 1, NO),
        ((AWAY,), 1, LATER),
        ((f"{JOE}\n", PASSWORD), 1, UNSAID),
        ((JOE, f"{PASSWORD}\nx"), 1, UNSAID),
    ],
)
def test_authtest(door: Path, arguments: tuple[str, ...], status: int, line: str) -> None:
    told = authtest(door, *arguments)
    assert told.status == status, told
    assert line in told.text.splitlines()


def test_what_authtest_is_told(door: Path, place: Path) -> None:
    assert authtest(door, JOE, PASSWORD) == Said(
        0,
        "Authentication succeeded.\n\n"
        f"     Authenticated: {JOE}  (uid 65534, gid 65534)\n"
        f"    Home Directory: {place}/mail/joe\n"
        f"           Maildir: {place}/mail/joe/Maildir\n"
        "             Quota: 10000000S\n"
        "Encrypted Password: (none)\n"
        "Cleartext Password: (none)\n"
        "           Options: (none)\n",
    )


def test_whose_account_was_not_told_stands_in_the_log(door: Path, daemon: Daemon) -> None:
    authtest(door, BARE, PASSWORD)
    assert f"{BARE} has no uid, gid, home for the service login" in daemon.wait_for("account-untold")


def test_a_new_password(door: Path) -> None:
    changed = "Password change succeeded.\n"
    assert authtest(door, JOE, "wrong", "new") == Said(1, f"{NO}\n")
    assert authtest(door, JOE, PASSWORD, "new pass") == Said(0, changed)
    assert authtest(door, JOE, PASSWORD) == Said(1, f"{NO}\n")
    assert authtest(door, JOE, "new pass", PASSWORD) == Said(0, changed)
    assert authtest(door, JOE, PASSWORD).status == 0
    # one that cannot be written to, and one that does not answer: authtest has one word for both
    assert authtest(door, ANN, PASSWORD, "new") == Said(1, f"{NO}\n")
    assert authtest(door, AWAY, PASSWORD, "new") == Said(1, f"{NO}\n")


def test_authenumerate(place: Path) -> None:
    """All users, but for those without a uid, whom it passes over; and all their options."""
    with folder() as other:
        users = "".join(f'"u{number:04}" = "{{PLAIN}}x"\n' for number in range(500))
        backends = BACKENDS.format(place="/srv").replace("[backend.clear.users]", "[backend.clear.users]\n" + users)
        config = configured(other, backends, 'chain = ["clear", "bare"]\n', LISTEN + "default_options = { a = '1' }\n")
        with serving(config):
            listed = authenumerate(other / "authdaemon", "-o")
            assert authenumerate(other / "authdaemon").text.count("\n") == 503
    assert listed.status == 0
    lines = listed.text.splitlines()
    assert lines[:2] == [
        "ann@clear.example\t65534\t65534\t/srv/mail/ann\t\ta=1,disableimap=1",
        "off@clear.example\t65534\t65534\t/srv/mail/off\t\ta=1,disableimap=1,disablepop3=1,disablewebmail=1",
    ]
    assert lines[3] == "u0000\t65534\t65534\t/srv/mail/u0000\t\ta=1"
    assert len(lines) == 503


def test_a_list_that_is_not_whole(door: Path, daemon: Daemon) -> None:
    """One store is away, so nobody knows all users."""
    assert authenumerate(door) == Said(1, "")
    assert "protocol=authdaemon" in daemon.wait_for("listing-failed")


# --- mailboxes


def mails(place: Path, name: str) -> list[str]:
    return [mail.read_text() for mail in sorted((place / "mail" / name / "Maildir" / "new").iterdir())]


def test_maildrop(door: Path, place: Path) -> None:
    later = Said(75, f"{need('maildrop', package='maildrop')}: Temporary authentication failure.\n")
    unknown = Said(67, "Invalid user specified.\n")
    assert maildrop(door, JOE, MESSAGE, "-a") == Said(0, "")
    assert [mail.endswith("Subject: here\n\nhello\n") for mail in mails(place, "joe")] == [True]
    assert maildrop(door, NOBODY, MESSAGE, "-a") == unknown
    assert maildrop(door, AWAY, MESSAGE, "-a") == later
    assert maildrop(door, BARE, MESSAGE, "-a") == later
    # why contrib/maildrop says -a
    assert maildrop(door, AWAY, MESSAGE) == unknown


@pytest.fixture(scope="module")
def imap_port(door: Path, place: Path) -> Iterator[int]:
    with imap(door, place) as port:
        yield port


@pytest.fixture(scope="module")
def pop3_port(door: Path, place: Path) -> Iterator[int]:
    with pop3(door, place) as port:
        yield port


def imap_says(port: int, login: str, password: str, how: str = "") -> str:
    """What courier-imap says to a login, and to a look into the mailbox after it. With ``how``, CRAM with this hash."""

    def proof(asked: bytes) -> bytes:
        return f"{login} {hmac.new(password.encode(), asked, how).hexdigest()}".encode()

    client = imaplib.IMAP4("127.0.0.1", port, timeout=20)
    try:
        if how:
            client.authenticate(f"CRAM-{how.upper()}", proof)
        else:
            client.login(login, password)
        return client.select()[0]
    except imaplib.IMAP4.error as refused:
        return str(refused)
    finally:
        client.shutdown()


def pop3_says(port: int, login: str, password: str) -> str:
    client = poplib.POP3("127.0.0.1", port, timeout=20)
    try:
        client.user(login)
        client.pass_(password)
        return "OK" if client.stat() else ""
    except poplib.error_proto as refused:
        return str(refused)
    finally:
        client.close()


@pytest.fixture(scope="module")
def refusals(imap_port: int, pop3_port: int) -> Iterator[list[Future[str]]]:
    """Courier takes five seconds to say no; other tests go on meanwhile."""
    with ThreadPoolExecutor(8) as threads:
        yield [
            threads.submit(imap_says, imap_port, JOE, "wrong"),
            threads.submit(imap_says, imap_port, OFF, PASSWORD),
            threads.submit(imap_says, imap_port, TOM, "wrong", "md5"),
            threads.submit(imap_says, imap_port, TOM, "wrong", "sha256"),
            threads.submit(pop3_says, pop3_port, JOE, "wrong"),
            threads.submit(pop3_says, pop3_port, NOBODY, PASSWORD),
        ]


@pytest.mark.usefixtures("refusals")
def test_courier_imap(imap_port: int, daemon: Daemon) -> None:
    assert imap_says(imap_port, JOE, PASSWORD) == "OK"
    attempt_with(daemon, "service=imap mechanism=PLAIN client=127.0.0.1 ")
    for how in ("md5", "sha1", "sha256"):
        assert imap_says(imap_port, TOM, PASSWORD, how) == "OK"
    for login in (AWAY, BARE):
        assert "Temporary problem, please try again later" in imap_says(imap_port, login, PASSWORD)
    assert "IMAP access disabled for this account" in imap_says(imap_port, ANN, PASSWORD)


def test_courier_pop3(pop3_port: int, daemon: Daemon) -> None:
    assert pop3_says(pop3_port, JOE, PASSWORD) == "OK"
    attempt_with(daemon, "service=pop3 mechanism=PLAIN client=127.0.0.1 ")
    assert "Temporary problem, please try again later" in pop3_says(pop3_port, AWAY, PASSWORD)


# --- Postfix


@pytest.fixture(scope="module")
def postfix(open_door: Path, place: Path) -> Iterator[Postfix]:
    with Postfix(
        place,
        open_door,
        settings="virtual_mailbox_domains = example.org, away.example\nvirtual_transport = maildrop\n"
        "maildrop_destination_recipient_limit = 1\n",
        smtpd_conf=(CONTRIB / "postfix/smtpd-authdaemond.conf").read_text(),
        services=(CONTRIB / "maildrop/master.cf").read_text().replace("user=vmail", "user=nobody:nogroup"),
        within=within(open_door),
    ) as running:
        (running.folder / "queue/private/authdaemon").symlink_to(open_door)
        yield running


def test_postfix_with_libsasl2(postfix: Postfix, daemon: Daemon) -> None:
    cases = [
        (JOE, PASSWORD, "235 2.7.0"),
        (BARE, PASSWORD, "235 2.7.0"),
        (JOE, "wrong", "535 5.7.8"),
        (NOBODY, PASSWORD, "535 5.7.8"),
        (AWAY, PASSWORD, "454 4.7.0"),
    ]
    with ThreadPoolExecutor(5) as threads:
        for mechanism in ("PLAIN", "LOGIN"):
            answers = threads.map(lambda case, how=mechanism: swaks(postfix.port, case[0], case[1], how), cases)
            for case, answer in zip(cases, answers, strict=True):
                assert answer.startswith(case[2]), f"{case} {answer}\n{postfix.log()}"
    start = time.monotonic()
    assert swaks(postfix.port, JOE, PASSWORD, "PLAIN").startswith("235")
    assert time.monotonic() - start < 3.0, "libsasl2 reads until we close"
    attempt_with(daemon, f"login={BARE} service=smtp mechanism=PLAIN client=- ")


def test_postfix_with_maildrop_behind_it(postfix: Postfix, place: Path) -> None:
    """Sent, bounced, or kept for later."""
    before = len(mails(place, "joe"))
    with smtplib.SMTP("127.0.0.1", postfix.port, "localhost", timeout=20) as client:
        client.login(JOE, PASSWORD)
        client.sendmail(JOE, [JOE, NOBODY, AWAY], MESSAGE)
    outcomes = {recipient: outcome_of(postfix, recipient) for recipient in (JOE, NOBODY, AWAY)}
    assert "status=sent" in outcomes[JOE], outcomes
    assert "status=bounced" in outcomes[NOBODY], outcomes
    assert "status=deferred" in outcomes[AWAY], outcomes
    assert len(mails(place, "joe")) > before


def outcome_of(postfix: Postfix, recipient: str, seconds: float = 15.0) -> str:
    deadline = time.monotonic() + seconds
    while True:
        for line in postfix.log().splitlines():
            if f"to=<{recipient}>" in line and " status=" in line and "relay=maildrop" in line:
                return line
        assert time.monotonic() < deadline, postfix.log()
        time.sleep(0.02)


# --- Exim


@pytest.fixture(scope="module")
def exim_door(place: Path) -> Path:
    return place / "exim-authdaemon"


@pytest.fixture(scope="module")
def exim(exim_door: Path, place: Path) -> Iterator[Exim]:
    recipe = (CONTRIB / "exim/authdaemon.conf").read_text()
    assert recipe.count("readsocket{/run/saslpy/exim-authdaemon}") == 2
    with Exim(place, recipe.replace("/run/saslpy/exim-authdaemon", str(exim_door))) as running:
        yield running


def pointed(exim_door: Path, target: Path) -> None:
    exim_door.unlink(missing_ok=True)
    exim_door.symlink_to(target)


def exim_says(exim: Exim, login: str, password: str, how: str, authzid: str = "") -> int:
    client = smtplib.SMTP("127.0.0.1", exim.port, "localhost", timeout=20)
    try:
        client.ehlo()
        client.user, client.password = login, password
        plain = f"{authzid}\0{login}\0{password}"
        return client.auth(how, client.auth_login if how == "LOGIN" else lambda _=None: plain)[0]
    except smtplib.SMTPAuthenticationError as refused:
        return refused.smtp_code
    finally:
        client.close()  # without QUIT, for which Exim takes its time


def test_exim(exim: Exim, exim_door: Path, open_door: Path, daemon: Daemon) -> None:
    pointed(exim_door, open_door)
    cases = [
        (JOE, PASSWORD, 235),
        (BARE, PASSWORD, 235),
        (JOE, "wrong", 535),
        (NOBODY, PASSWORD, 535),
        (OFF, PASSWORD, 535),
        (AWAY, PASSWORD, 435),
        # what would be more than a name or a password, were the bytes not counted and line feeds not refused
        (f"{JOE}\n{PASSWORD}", "x", 535),
        (f"{JOE}\n", PASSWORD, 535),
        (JOE, f"{PASSWORD}\n", 535),
        (JOE, f"{PASSWORD}\n\n", 535),
        (f"{JOE}\n{PASSWORD}\nENUMERATE", "x", 535),
        ("}{$value", "${readsocket", 535),
    ]
    for login, password, code in cases:
        for how in ("PLAIN", "LOGIN"):
            assert exim_says(exim, login, password, how) == code, f"{login!r} {how}\n{exim.log()}"
    assert exim_says(exim, JOE, PASSWORD, "PLAIN", JOE) == 235
    assert exim_says(exim, JOE, PASSWORD, "PLAIN", ANN) == 535
    attempt_with(daemon, "service=smtp mechanism=PLAIN client=127.0.0.1 ")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", 435),
        (b"\n", 435),
        (b"OK\n", 435),
        (b"ADDRESS=joe\n", 435),
        (b"ADDRESS=.\nHOME=FAIL\n", 435),
        (b"ADDRESS=joe\n.\n", 235),
        (b"FAIL\n", 535),
        (None, 435),
    ],
)
def test_exim_takes_nothing_for_a_yes_that_is_none(
    exim: Exim, exim_door: Path, place: Path, answer: bytes | None, code: int
) -> None:
    """What anybody could answer at that socket, also nothing, and nobody there at all."""
    with saying(place / "other", answer) as there:
        pointed(exim_door, there)
        for how in ("PLAIN", "LOGIN"):
            assert exim_says(exim, JOE, PASSWORD, how) == code, exim.log()


@contextmanager
def saying(path: Path, answer: bytes | None) -> Iterator[Path]:
    """A socket where everybody gets one answer; with None there is nobody at it."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        if answer is not None:
            listener.listen(8)

            def serve() -> None:
                with suppress(OSError):
                    while True:
                        with listener.accept()[0] as connection:
                            while connection.recv(65_536):
                                pass
                            connection.sendall(answer or b"")

            threading.Thread(target=serve, daemon=True).start()
        yield path
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


# --- systemd


def test_the_unit_in_the_place_of_authdaemonds(place: Path) -> None:
    """Debian's courier-imap requires a courier-authdaemon.service."""
    with folder() as units:
        shutil.copy(CONTRIB / "courier/courier-authdaemon.service", units)
        (units / "saslpy.service").write_text("[Service]\nExecStart=/bin/true\n")
        done = subprocess.run(
            [need("systemd-analyze", package="systemd"), "verify", str(units / "courier-authdaemon.service")],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"},
        )
    assert (done.returncode, done.stderr) == (0, "")


# --- what has taken its time


def test_what_courier_says_to_wrong_passwords(refusals: list[Future[str]]) -> None:
    for refusal in refusals:
        assert "Login failed" in refusal.result(20)
