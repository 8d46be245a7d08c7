"""A real Dovecot 2.3 without an auth service of its own: contrib's files make all of its processes ask saslpy."""

from __future__ import annotations

import base64
import grp
import imaplib
import os
import poplib
import pwd
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from saslpy_sqlite.store import SqliteStore

from ..real import need
from ..real.dovecot import CONTRIB, Dovecot, Lines
from ..real.saslpy import Daemon, configured, folder, run
from ..real.system import SystemUsers, need_root
from ..real.system import run as system

pytestmark = pytest.mark.real

PASSWORD = "s3cret pass"
VMAIL = 12_000
"""The uid of all mail, which nobody has in the system; but ``member`` has one of the system's users."""

NAMES = ("ann", "boss", "joe", "member", "off", "old")

QUOTA = """
mail_plugins = quota
protocol imap {
  mail_plugins = quota imap_quota
}
plugin {
  quota = maildir:User quota
}
"""


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    need_root()
    with folder() as path:
        yield path


class Site:
    """saslpy and Dovecot at work, with contrib's files as they are, but for the paths."""

    def __init__(self, place: Path, dovecot: Dovecot, config: Path) -> None:
        self.place = place
        self.dovecot = dovecot
        self.config = config
        self.daemons: list[Daemon] = []

    @property
    def daemon(self) -> Daemon:
        return self.daemons[-1]

    def start(self) -> None:
        """saslpy, with a log of its own for each start."""
        self.daemons.append(Daemon(self.config, self.place / f"saslpy{len(self.daemons)}.log"))
        self.daemon.wait_for("ready")

    def log(self) -> str:
        """Of all starts."""
        return "".join(daemon.log.read_text() for daemon in self.daemons)


@pytest.fixture(scope="module")
def member() -> Iterator[str]:
    """A user of the system who is in the group ``games``, too."""
    with SystemUsers() as users:
        name = users.add("member")
        system("usermod", "-a", "-G", "games", name)
        yield name


@pytest.fixture(scope="module")
def site(place: Path, member: str) -> Iterator[Site]:
    (place / "mail").mkdir()
    os.chown(place / "mail", VMAIL, VMAIL)
    dovecot = Dovecot(place, shipped() + QUOTA)
    site = Site(place, dovecot, configuration(place, dovecot.base))
    add_users(place)
    change(place, f"UPDATE users SET uid = {pwd.getpwnam(member).pw_uid} WHERE login = 'member@example.org'")
    site.start()
    try:
        with dovecot:
            yield site
    finally:
        assert site.daemon.stop() == 0, site.log()


def shipped() -> str:
    """contrib's file, as it is where dovecot-managesieved is installed."""
    before, found, block = (CONTRIB / "saslpy-2.3.conf").read_text().partition("#service managesieve-login {")
    assert found
    return before + re.sub(r"^#", "", found + block, flags=re.MULTILINE)


@pytest.fixture
def dovecot(site: Site) -> Dovecot:
    return site.dovecot


def configuration(place: Path, base: Path) -> Path:
    listen = (CONTRIB / "saslpy.toml").read_text().replace("/run/dovecot", str(base))
    return configured(
        place,
        '[backend.local]\ntype = "sqlite"\npath = "users.db"\n'
        f'[backend.local.account]\nuid = {VMAIL}\ngid = {VMAIL}\nhome = "{place}/mail/{{local}}"\n'
        'maildir = "{home}/Mail"\nquota = "10240000S,1000C"\n',
        'mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"]\nmaster_users = ["boss@example.org"]\n'
        "min_seconds = 0\n",
        "\n" + listen.replace('"dovecot-master"\n', '"dovecot-master"\nsystem_groups = true\n'),
    )


def add_users(place: Path) -> None:
    """All with one password: off is disabled, old has expired, boss is a master user."""
    with closing(SqliteStore(place / "users.db")) as store:
        for name in NAMES:
            store.add(f"{name}@example.org", (f"{{PLAIN}}{PASSWORD}",))
    change(place, "UPDATE users SET disabled = 1 WHERE login = 'off@example.org'")
    change(place, "UPDATE users SET expires = '2020-01-01' WHERE login = 'old@example.org'")


def change(place: Path, statement: str) -> None:
    store = sqlite3.connect(place / "users.db")
    with store:
        store.execute(statement)
    store.close()


@contextmanager
def outage(place: Path) -> Iterator[None]:
    """The users' store is gone as long as the block runs."""
    (place / "users.db").rename(place / "away")
    try:
        yield
    finally:
        (place / "away").rename(place / "users.db")


def imap(dovecot: Dovecot, command: str) -> str:
    """What IMAP answers to one command."""
    with Lines(dovecot.imap) as lines:
        return lines.ask(f"a {command}", ["a "]).removeprefix("a ")


def login(dovecot: Dovecot, name: str, password: str = PASSWORD) -> str:
    return imap(dovecot, f'LOGIN {name}@example.org "{password}"')


def plain(authzid: str, name: str, password: str = PASSWORD) -> str:
    """The response of PLAIN."""
    return base64.b64encode(f"{authzid}@example.org\0{name}@example.org\0{password}".encode()).decode()


def rcpt(dovecot: Dovecot, name: str) -> str:
    """What LMTP answers to a recipient."""
    with Lines(dovecot.lmtp) as lines:
        assert lines.ask("LHLO here", ["250 "]).startswith("250")
        assert lines.ask("MAIL FROM:<sender@example.net>", ["2"]).startswith("250")
        return lines.ask(f"RCPT TO:<{name}@example.org>", ["2", "4", "5"])


# --- IMAP, POP3, submission and ManageSieve


def test_the_mechanisms_that_it_offers_are_ours(dovecot: Dovecot) -> None:
    with Lines(dovecot.imap) as lines:
        words = lines.greeting.partition("]")[0].split()
        offered = {word for word in words if word.startswith("AUTH=")}
    assert offered == {"AUTH=PLAIN", "AUTH=LOGIN", "AUTH=CRAM-MD5", "AUTH=SCRAM-SHA-256"}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_imap_logs_in_and_opens_the_mailbox(dovecot: Dovecot, place: Path, mechanism: str) -> None:
    with imaplib.IMAP4("127.0.0.1", dovecot.imap) as client:
        if mechanism == "CRAM-MD5":
            client.login_cram_md5("joe@example.org", PASSWORD)
        elif mechanism == "PLAIN":
            client.authenticate("PLAIN", lambda _: f"\0joe@example.org\0{PASSWORD}".encode())
        else:
            answers = iter((b"joe@example.org", PASSWORD.encode()))
            client.authenticate("LOGIN", lambda _: next(answers))
        assert client.select("INBOX")[0] == "OK"
    assert (place / "mail" / "joe" / "Mail" / "cur").is_dir()
    assert (place / "mail" / "joe" / "Mail").stat().st_uid == VMAIL


def test_scram_as_gsasl_speaks_it(dovecot: Dovecot) -> None:
    program = need("gsasl", package="gsasl")
    options = ("--imap", "--no-starttls", "--quiet", "--mechanism=SCRAM-SHA-256", f"--connect=127.0.0.1:{dovecot.imap}")

    def gsasl(password: str) -> tuple[int, str]:
        done = subprocess.run(
            [program, *options, "--authentication-id=joe@example.org", f"--password={password}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return done.returncode, done.stdout + done.stderr

    status, told = gsasl(PASSWORD)
    assert status == 0, told + dovecot.log()
    assert "OK" in told
    status, told = gsasl("wrong")
    assert status != 0
    assert "[AUTHENTICATIONFAILED]" in told


@pytest.mark.parametrize(
    ("name", "password", "answer"),
    [
        ("joe", "wrong", "NO [AUTHENTICATIONFAILED]"),
        ("nobody", PASSWORD, "NO [AUTHENTICATIONFAILED]"),
        ("off", PASSWORD, "NO [AUTHENTICATIONFAILED]"),
        ("old", PASSWORD, "NO [EXPIRED]"),
        ("old", "wrong", "NO [AUTHENTICATIONFAILED]"),
    ],
)
def test_what_imap_says_of_a_no(dovecot: Dovecot, name: str, password: str, answer: str) -> None:
    assert login(dovecot, name, password).startswith(answer)


def test_a_master_user_opens_anothers_mailbox_and_others_do_not(dovecot: Dovecot, place: Path) -> None:
    with Lines(dovecot.imap) as lines:
        assert lines.ask("a AUTHENTICATE PLAIN " + plain("ann", "boss"), ["a "]).startswith("a OK")
        assert lines.ask("b SELECT INBOX", ["b "]).startswith("b OK")
    assert (place / "mail" / "ann" / "Mail").is_dir()
    assert not (place / "mail" / "boss").exists()
    assert imap(dovecot, "AUTHENTICATE PLAIN " + plain("ann", "joe")).startswith("NO [AUTHORIZATIONFAILED]")
    assert imap(dovecot, "AUTHENTICATE PLAIN " + plain("nobody", "boss")).startswith("NO [AUTHENTICATIONFAILED]")


def test_pop3(dovecot: Dovecot) -> None:
    client = poplib.POP3("127.0.0.1", dovecot.pop3, timeout=15)
    client.user("joe@example.org")
    assert client.pass_(PASSWORD).startswith(b"+OK")
    assert client.stat()[0] >= 0
    client.quit()
    client = poplib.POP3("127.0.0.1", dovecot.pop3, timeout=15)
    client.user("joe@example.org")
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        client.pass_("wrong")
    client.close()


def submission(dovecot: Dovecot, name: str, password: str = PASSWORD) -> str:
    """What the submission server answers to AUTH."""
    with Lines(dovecot.submission) as lines:
        assert lines.ask("EHLO here", ["250 "]).startswith("250 ")
        return lines.ask("AUTH PLAIN " + plain(name, name, password), ["2", "4", "5"])


@contextmanager
def sieve(dovecot: Dovecot) -> Iterator[Lines]:
    """A connection to ManageSieve, behind its greeting."""
    with Lines(dovecot.sieve) as lines:
        while not lines.line().startswith("OK"):
            pass
        yield lines


def managesieve(dovecot: Dovecot, name: str, password: str = PASSWORD) -> str:
    """What ManageSieve answers to AUTHENTICATE."""
    with sieve(dovecot) as lines:
        return lines.ask(f'AUTHENTICATE "PLAIN" "{plain(name, name, password)}"', ["OK", "NO"])


@pytest.mark.parametrize(
    ("ask", "service", "yes", "no", "later"),
    [
        (submission, "submission", "235 2.7.0", "535 5.7.8", "454 4.7.0"),
        (managesieve, "sieve", 'OK "Logged in', 'NO "Authentication failed', "NO (TRYLATER)"),
    ],
    ids=["submission", "managesieve"],
)
def test_submission_and_managesieve(
    site: Site, ask: Callable[..., str], service: str, yes: str, no: str, later: str
) -> None:
    assert ask(site.dovecot, "joe").startswith(yes), site.dovecot.log()
    for name, password in (("joe", "wrong"), ("nobody", PASSWORD), ("off", PASSWORD), ("old", PASSWORD)):
        assert ask(site.dovecot, name, password).startswith(no)
    with outage(site.place):
        assert ask(site.dovecot, "joe").startswith(later)
        assert ask(site.dovecot, "joe", "wrong").startswith(later)
    assert ask(site.dovecot, "joe").startswith(yes)
    site.daemon.wait_for(f"login verdict=accept reason=ok login=joe@example.org service={service} mechanism=PLAIN")


def test_managesieve_writes_into_the_users_home(dovecot: Dovecot, place: Path) -> None:
    with sieve(dovecot) as lines:
        assert lines.ask(f'AUTHENTICATE "PLAIN" "{plain("joe", "joe")}"', ["OK", "NO"]).startswith("OK")
        assert lines.ask('PUTSCRIPT "mine" {7+}\r\nkeep;\r\n', ["OK", "NO"]).startswith("OK"), dovecot.log()
    [script] = (place / "mail" / "joe").rglob("mine.sieve")
    assert script.stat().st_uid == VMAIL


def test_the_quota_is_the_accounts(dovecot: Dovecot) -> None:
    with Lines(dovecot.imap) as lines:
        assert lines.ask(f'a LOGIN joe@example.org "{PASSWORD}"', ["a "]).startswith("a OK")
        told = lines.ask("b GETQUOTAROOT INBOX", ["* QUOTA "])
    assert "STORAGE" in told
    assert told.split("(")[1].replace(")", "").split()[2::3] == ["10000", "1000"]


def test_the_mail_process_gets_the_groups_of_the_systems_user(dovecot: Dovecot, place: Path, member: str) -> None:
    home, uid = place / "mail" / "member", pwd.getpwnam(member).pw_uid
    home.mkdir()
    os.chown(home, uid, VMAIL)
    with Lines(dovecot.imap) as lines:
        assert lines.ask(f'a LOGIN member@example.org "{PASSWORD}"', ["a "]).startswith("a OK"), dovecot.log()
        told = [line for line in dovecot.log().splitlines() if "Login: user=<member@example.org>" in line]
        process = Path("/proc", told[-1].partition("mpid=")[2].partition(",")[0])
        status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(uid)] * 4
    assert str(grp.getgrnam("games").gr_gid) in status["Groups"].split()


# --- users


def test_doveadm_user(dovecot: Dovecot, place: Path) -> None:
    status, told = dovecot.doveadm("user", "joe@example.org")
    assert status == 0, told
    assert dict(line.split("\t", 1) for line in told.splitlines()) == {
        "field": "value",
        "uid": str(VMAIL),
        "gid": str(VMAIL),
        "home": f"{place}/mail/joe",
        "mail": f"maildir:{place}/mail/joe/Mail",
        "quota_rule": "*:bytes=10240000:messages=1000",
    }
    assert dovecot.doveadm("user", "-f", "home", "joe@example.org") == (0, f"{place}/mail/joe\n")
    status, told = dovecot.doveadm("user", "nobody@example.org")
    assert status == 67
    assert "doesn't exist" in told


def test_doveadm_lists_users(dovecot: Dovecot) -> None:
    everybody = [f"{name}@example.org" for name in NAMES]
    status, told = dovecot.doveadm("user", "*")
    assert (status, told.split()) == (0, everybody)
    status, told = dovecot.doveadm("user", "?O*@example.org")
    assert (status, told.split()) == (0, ["boss@example.org", "joe@example.org"])
    status, told = dovecot.doveadm("user", "nothing*")
    assert (status, told) == (0, "")


def test_doveadm_auth(dovecot: Dovecot) -> None:
    status, told = dovecot.doveadm("auth", "test", "joe@example.org", PASSWORD)
    assert (status, "auth succeeded" in told) == (0, True), told
    status, told = dovecot.doveadm("auth", "test", "-M", "boss@example.org", "joe@example.org", PASSWORD)
    assert (status, "user=joe@example.org" in told) == (0, True), told
    status, told = dovecot.doveadm("auth", "test", "joe@example.org", "wrong")
    assert (status, "auth failed" in told) == (77, True), told
    status, told = dovecot.doveadm("auth", "lookup", "joe@example.org")
    assert (status, "user" in told) == (0, True), told
    assert PASSWORD not in told
    status, told = dovecot.doveadm("auth", "login", "-a", f"{dovecot.base}/auth-client", "joe@example.org", PASSWORD)
    assert (status, f"uid={VMAIL}" in told, "auth_mech=PLAIN" in told) == (0, True, True), told
    assert dovecot.doveadm("auth", "cache", "flush") == (0, "0 cache entries flushed\n")
    assert dovecot.doveadm("auth", "cache", "flush", "joe@example.org") == (0, "0 cache entries flushed\n")


def test_another_system_user_may_ask_about_himself_alone(dovecot: Dovecot, member: str) -> None:
    def ask(*arguments: str) -> tuple[int, str]:
        return dovecot.doveadm("user", "-f", "uid", *arguments, user=member)

    assert ask("member@example.org") == (0, f"{pwd.getpwnam(member).pw_uid}\n")
    assert ask("joe@example.org")[0] == 75
    assert dovecot.doveadm("user", "*", user=member)[0] == 75
    assert ask("nobody@example.org")[0] == 67


# --- LMTP


def test_lmtp_delivers_into_the_maildir(dovecot: Dovecot, place: Path) -> None:
    new = place / "mail" / "ann" / "Mail" / "new"
    before = len(list(new.glob("*"))) if new.exists() else 0
    with Lines(dovecot.lmtp) as lines:
        assert lines.ask("LHLO here", ["250 "]).startswith("250")
        assert lines.ask("MAIL FROM:<sender@example.net>", ["2"]).startswith("250")
        assert lines.ask("RCPT TO:<ann@example.org>", ["2", "4", "5"]).startswith("250 2.1.5")
        assert lines.ask("RCPT TO:<nobody@example.org>", ["2", "4", "5"]).startswith("550 5.1.1")
        assert lines.ask("DATA", ["354"]).startswith("354")
        assert lines.ask("Subject: hello\r\n\r\nhello\r\n.", ["2", "4", "5"]).startswith("250 2.0.0")
    delivered = list(new.glob("*"))
    assert len(delivered) == before + 1
    assert delivered[0].stat().st_uid == VMAIL


def test_lmtp_takes_mail_for_those_who_may_only_not_log_in(dovecot: Dovecot) -> None:
    assert rcpt(dovecot, "off").startswith("250")
    assert rcpt(dovecot, "old").startswith("250")


# --- outages


def test_an_outage_is_never_a_no(dovecot: Dovecot, place: Path) -> None:
    with outage(place):
        assert login(dovecot, "joe").startswith("NO [UNAVAILABLE]")
        assert login(dovecot, "joe", "wrong").startswith("NO [UNAVAILABLE]")
        client = poplib.POP3("127.0.0.1", dovecot.pop3, timeout=15)
        client.user("joe@example.org")
        with pytest.raises(poplib.error_proto, match=r"\[SYS/TEMP\]"):
            client.pass_(PASSWORD)
        client.close()
        assert rcpt(dovecot, "joe").startswith("451 4.3.0")
        assert rcpt(dovecot, "nobody").startswith("451 4.3.0")
        assert dovecot.doveadm("user", "joe@example.org")[0] == 75
        assert dovecot.doveadm("user", "*")[0] == 75
        assert dovecot.doveadm("auth", "lookup", "joe@example.org")[0] == 75
    assert login(dovecot, "joe").startswith("OK")
    assert rcpt(dovecot, "joe").startswith("250")
    assert rcpt(dovecot, "nobody").startswith("550 5.1.1")


def test_what_a_hang_up_would_be_to_dovecot(site: Site, place: Path) -> None:
    """Why ``temporary_failure`` is not "drop" here: a login process takes a hang-up for a wrong password."""
    text = site.config.read_text()
    site.config.write_text(text.replace('"dovecot"\n', '"dovecot"\ntemporary_failure = "drop"\n'))
    try:
        assert run("reload", "--config", str(site.config)).returncode == 0
        with outage(place):
            assert login(site.dovecot, "joe").startswith("NO [AUTHENTICATIONFAILED]")
    finally:
        site.config.write_text(text)
        assert run("reload", "--config", str(site.config)).returncode == 0
    assert login(site.dovecot, "joe").startswith("OK")


def test_reloads_restarts_and_a_killed_process(site: Site) -> None:
    """None of them costs a session, and the first login afterwards is right again."""
    dovecot = site.dovecot
    with Lines(dovecot.imap) as session:
        assert session.ask(f'a LOGIN joe@example.org "{PASSWORD}"', ["a "]).startswith("a OK")
        assert dovecot.doveadm("reload") == (0, "")
        until_logged(dovecot, "SIGHUP received")
        assert login(dovecot, "joe").startswith("OK"), dovecot.log()
        told = run("reload", "--config", str(site.config))
        assert told.returncode == 0, told.stderr
        assert login(dovecot, "joe").startswith("OK")
        os.kill(site.daemon.children("auth")[0], signal.SIGKILL)
        assert login(dovecot, "joe").startswith("OK"), dovecot.log()
        assert site.daemon.stop() == 0
        site.start()
        assert login(dovecot, "joe").startswith("OK"), dovecot.log()
        assert rcpt(dovecot, "joe").startswith("250")
        assert dovecot.doveadm("user", "joe@example.org")[0] == 0
        assert session.ask("b SELECT INBOX", ["b "]).startswith("b OK")


def until_logged(dovecot: Dovecot, words: str) -> None:
    deadline = time.monotonic() + 10
    while words not in dovecot.log():
        assert time.monotonic() < deadline, dovecot.log()
        time.sleep(0.01)


def test_nothing_in_the_log_is_a_secret_or_a_fault(site: Site) -> None:
    ours, theirs = site.log(), site.dovecot.log()
    assert PASSWORD not in ours + theirs
    for fault in ("internal-error", "protocol-error"):
        assert f"event={fault}" not in ours
    assert "BUG" not in theirs
