"""Courier's programs, and what else speaks authdaemond's protocol: each asks us as it would ask its own daemon.

authtest, authenumerate, courier-imap, courier-pop, maildrop, Postfix (by libsasl2, and with maildrop behind it), Exim; and
authdaemond itself, whose answers are ours. The files of contrib are what they are set up with.
"""

from __future__ import annotations

import base64
import hmac
import imaplib
import os
import poplib
import smtplib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from saslpy.protocols.authdaemon import encode_auth, encode_login

from ..real import need
from ..real.courier import Said, authdaemond, authenumerate, authtest, imap, maildrop, pop3, within
from ..real.exim import Exim
from ..real.postfix import Postfix, swaks
from ..real.saslpy import Daemon, configured, folder, run, serving

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="namespaces and mailboxes want root"),
]

CONTRIB = Path(__file__).parents[2] / "contrib"
PASSWORD = "s3cret pass"
JOE, ANN, OFF = "joe@example.org", "ann@clear.example", "off@clear.example"
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
    config = configured(place, BACKENDS.format(place=place), AUTH, LISTEN)
    added = run(
        "user", "add", JOE, "--backend", "local", "--config", str(config), "--password-stdin", password=PASSWORD
    )
    assert added.returncode == 0, added.stderr
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module")
def door(daemon: Daemon, place: Path) -> Path:
    return place / "authdaemon"


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
    assert maildrop(door, JOE, MESSAGE, "-a") == Said(0, "")
    assert [mail.endswith("Subject: here\n\nhello\n") for mail in mails(place, "joe")] == [True]
    assert maildrop(door, NOBODY, MESSAGE, "-a") == Said(67, "Invalid user specified.\n")
    for name in (AWAY, BARE):
        said = maildrop(door, name, MESSAGE, "-a")
        assert said.status == 75
        assert said.text.endswith("maildrop: Temporary authentication failure.\n")
    # why contrib/maildrop says -a
    assert maildrop(door, AWAY, MESSAGE) == Said(67, "Invalid user specified.\n")


def test_courier_imap(door: Path, place: Path) -> None:
    def connected() -> imaplib.IMAP4:
        return imaplib.IMAP4("127.0.0.1", port, timeout=20)

    def proof(user: str, password: str, hash_name: str) -> Callable[[bytes], bytes]:
        return lambda asked: f"{user} {hmac.new(password.encode(), asked, hash_name).hexdigest()}".encode()

    with imap(door, place) as port:
        with connected() as client:
            with pytest.raises(imaplib.IMAP4.error, match="Login failed"):
                client.login(JOE, "wrong")
            client.login(JOE, PASSWORD)
            assert client.select()[0] == "OK"
        for hash_name in ("md5", "sha1", "sha256"):
            with connected() as client:
                client.authenticate(f"CRAM-{hash_name.upper()}", proof("tom@clear.example", PASSWORD, hash_name))
                assert client.select()[0] == "OK"
        for login in (AWAY, BARE):
            client = connected()
            with pytest.raises(imaplib.IMAP4.abort, match="Temporary problem, please try again later"):
                client.login(login, PASSWORD)
            client.shutdown()
        client = connected()
        client.login(ANN, PASSWORD)
        with pytest.raises(imaplib.IMAP4.abort, match="IMAP access disabled for this account"):
            client.noop()
        client.shutdown()


def test_courier_pop3(door: Path, place: Path, daemon: Daemon) -> None:
    def login(name: str, password: str) -> str:
        client = poplib.POP3("127.0.0.1", port, timeout=20)
        try:
            client.user(name)
            client.pass_(password)
            return str(client.stat()[0] >= 0)
        except poplib.error_proto as error:
            return str(error)
        finally:
            client.close()

    with pop3(door, place) as port:
        assert login(JOE, PASSWORD) == "True"
        assert "Login failed" in login(JOE, "wrong")
        assert "Temporary problem, please try again later" in login(AWAY, PASSWORD)
    attempt = daemon.lines("login")[-1]
    assert "service=pop3 mechanism=PLAIN client=127.0.0.1 " in attempt


# --- Postfix


@pytest.fixture(scope="module")
def postfix(door: Path, place: Path) -> Iterator[Postfix]:
    with Postfix(
        place,
        door,
        settings="virtual_mailbox_domains = example.org, away.example\nvirtual_transport = maildrop\n"
        "maildrop_destination_recipient_limit = 1\n",
        smtpd_conf=(CONTRIB / "postfix/smtpd-authdaemond.conf").read_text(),
        services=(CONTRIB / "maildrop/master.cf").read_text().replace("user=vmail", "user=nobody:nogroup"),
        within=within(door),
    ) as running:
        (running.folder / "queue/private/authdaemon").symlink_to(door)
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
    assert "service=smtp" in daemon.lines("login")[-1]


def test_postfix_with_maildrop_behind_it(postfix: Postfix, place: Path) -> None:
    """Sent, bounced, or kept for later."""
    before = len(mails(place, "joe"))
    with smtplib.SMTP("127.0.0.1", postfix.port, timeout=20) as client:
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
    client = smtplib.SMTP("127.0.0.1", exim.port, timeout=20)
    try:
        client.ehlo()
        client.user, client.password = login, password
        plain = f"{authzid}\0{login}\0{password}"
        return client.auth(how, client.auth_login if how == "LOGIN" else lambda _=None: plain)[0]
    except smtplib.SMTPAuthenticationError as refused:
        return refused.smtp_code
    finally:
        client.close()  # without QUIT, for which Exim takes its time


def test_exim(exim: Exim, exim_door: Path, door: Path, daemon: Daemon) -> None:
    pointed(exim_door, door)
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
    assert "service=smtp mechanism=PLAIN client=127.0.0.1 " in daemon.lines("login")[-1]


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


# --- authdaemond itself

USERDB = """\
joe\tsystempw={hash}|uid=65534|gid=65534|home=/srv/joe|mail=/srv/joe/Maildir|quota=1000S|gecos=Joe Doe|options=a=1,b=2
ann\tsystempw={hash}|uid=65534|gid=65534|home=/srv/ann|hmac-md5pw={hmac}
"""
STATIC = """\
[backend.local]
type = "static"
[backend.local.account]
uid = 65534
gid = 65534
[backend.local.users]
joe = {{ password = "{{CRYPT}}{hash}", home = "/srv/joe", maildir = "/srv/joe/Maildir", quota = "1000S", name = "Joe Doe", \
options = {{ a = "1", b = "2" }} }}
ann = {{ password = "{{PLAIN}}secret", home = "/srv/ann" }}
"""
HASH = "$1$GWDmXHJw$qD9sKlFjUvFcnOV8foXRh1"  # secret


def auth(body: bytes, count: bytes | None = None) -> bytes:
    return b"AUTH %b\n%b" % (b"%d" % len(body) if count is None else count, body)


def cram(user: str, password: str, sep: str = " ") -> bytes:
    proof = hmac.new(password.encode(), b"<1@x>", "md5").hexdigest()
    response = (user + sep + proof).encode()
    return encode_auth(b"imap", b"cram-md5", b"PDFAeD4=\n%b\n" % b64(response))


def b64(data: bytes) -> bytes:
    return base64.b64encode(data)


LOGIN_JOE = b"imap\nlogin\njoe\nsecret\n"
QUESTIONS = [
    # PRE
    b"PRE . login joe\n",
    b"PRE . login ann\n",
    b"PRE . login nobody\n",
    b"PRE authmysql login joe\n",
    b"PRE  .   login   joe\n",
    b"PRE . login joe \n",
    b"PRE . login joe\r\n",
    b"PRE . login \n",
    b"PRE . login\n",
    b"PRE .\n",
    b"PRE\n",
    b"PRE\t.\tlogin\tjoe\n",
    b"pre . login joe\n",
    b" PRE . login joe\n",
    b"PRE . login jo=e\n",
    b"PRE . l=ogin joe\n",
    b"PRE . login joe\nPRE . login ann\n",
    # metadata
    b"TCPREMOTEIP=192.0.2.7\nPRE . login joe\n",
    b"X=1\nY=\n=\nPRE . login joe\n",
    b"PRE=1 . login joe\nPRE . login joe\n",
    b"A B=1\nPRE . login joe\n",
    b"\nPRE . login joe\n",
    # AUTH, and how many bytes
    encode_login(b"imap", b"joe", b"secret", b"192.0.2.7"),
    encode_login(b"imap", b"joe", b"wrong"),
    encode_login(b"imap", b"nobody", b"secret"),
    encode_login(b"imap", b"", b"secret"),
    encode_login(b"imap", b"joe", b""),
    encode_login(b"", b"joe", b"secret"),
    auth(LOGIN_JOE[:-1]),
    auth(LOGIN_JOE + b"beyond", b"%d" % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"%d " % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"  +%d" % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"%d of them" % len(LOGIN_JOE)),
    auth(LOGIN_JOE, b"-1"),
    auth(LOGIN_JOE, b"many"),
    auth(LOGIN_JOE, b"8192"),
    auth(b"x" * 8191),
    auth(b"imap\nlogin\njoe\n"),
    auth(b"imap\nlogin\n"),
    auth(b"imap\n"),
    auth(b""),
    auth(b"imap\npam\njoe\nsecret\n"),
    auth(b"imap\nLOGIN\njoe\nsecret\n"),
    auth(b"imap\n\nlogin\njoe\nsecret\n"),
    cram("ann", "secret"),
    cram("ann", "wrong"),
    cram("ann", "secret", ""),
    cram("nobody", "secret"),
    encode_auth(b"imap", b"cram-md5", b"PDFAeD4=\n!!!\n"),
    encode_auth(b"imap", b"cram-md5", b"PDFAeD4=\n"),
    # PASSWD
    b"PASSWD imap\tjoe\twrong\tnew\n",
    b"PASSWD imap\tjoe\twrong\tnew\t\n",
    b"PASSWD imap\tjoe\twrong\tnew\tmore\n",
    b"PASSWD imap\tjoe\twro\x01ng\tnew\n",
    b"PASSWD imap\t\twrong\tnew\n",
    b"PASSWD imap\tjoe\twrong\n",
    b"PASSWD imap joe wrong new\n",
    # and the rest
    b"ENUMERATE\n",
    b"ENUMERATE of what\n",
    b"QUIT\n",
    b"\n",
    b"PRE . login " + b"x" * 8178 + b"\n",
    b"PRE . login " + b"x" * 8179 + b"\n",
    b"PRE . login " + b"x" * 20_000 + b"\n",
]
DIFFERENT = {
    # the line feeds are the password's: authdaemond forgets them, and what comes after them
    auth(b"imap\nlogin\njoe\nsecret\n\n"): b"FAIL\n",
    auth(b"imap\nlogin\njoe\nsecret\nmore\n"): b"FAIL\n",
    # a name or a password is no shorter for a NUL
    auth(b"imap\nlogin\njoe\nsecret\0more\n"): b"FAIL\n",
    b"PRE . login joe\0more\n": b"FAIL\n",
    # an empty name is none, and not the line behind it
    auth(b"imap\nlogin\n\njoe\nsecret\n"): b"FAIL\n",
}


def answer_of(path: Path, question: bytes) -> bytes:
    """What a socket answers, without what is secret, and without the name that stands above a list."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20)
        sock.connect(str(path))
        data = b""
        with suppress(ConnectionResetError, BrokenPipeError):
            sock.sendall(question)
            sock.shutdown(socket.SHUT_WR)
            while more := sock.recv(65_536):
                data += more
    lines = [line for line in data.splitlines(True) if not line.startswith((b"PASSWD", b"# "))]
    return b"".join(sorted(lines) if question.startswith(b"ENUM") else lines)  # in the order of their database


def test_authdaemond_answers_the_same(tmp_path: Path) -> None:
    hashed = subprocess.run(
        [need("userdbpw", package="courier-authlib-userdb"), "-hmac-md5"],
        input=b"secret\n",
        capture_output=True,
        check=True,
    )
    with folder() as place, authdaemond(place, USERDB.format(hash=HASH, hmac=hashed.stdout.decode().strip())) as theirs:
        listen = LISTEN + 'mechanisms = ["PLAIN", "CRAM-MD5"]\n'
        with serving(configured(place, STATIC.format(hash=HASH), "min_seconds = 0\n", listen)):
            ours = place / "authdaemon"
            for question in QUESTIONS:
                assert answer_of(ours, question) == answer_of(theirs, question), question
            for question, answer in DIFFERENT.items():
                assert answer_of(ours, question) == answer, question
                assert answer_of(theirs, question).startswith(b"UID="), question
