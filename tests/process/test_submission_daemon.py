"""The daemon with submission workers: what happens to clients when processes end, are replaced, or go mad."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ..real import saslpy as real
from ..real.saslpy import Daemon, ask, serving
from .evil import changed
from .submitting import (
    MESSAGE,
    PASSWORD,
    RECIPIENT,
    SENDER,
    Site,
    certificate,
    mail,
    new_workers,
    workers,
)
from .test_supervisor import RECOVERY, wait_gone, wait_lines


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[Site, Daemon]]:
    """A daemon with two workers, for all that do it no lasting harm."""
    with real.folder() as place:
        made = Site(place)
        made.write(limits="messages_per_hour = 8\nrecipients_per_day = 0")
        with serving(made.config) as daemon:
            yield made, daemon


def test_two_workers_share_the_connections(site: tuple[Site, Daemon]) -> None:
    submission, daemon = site
    submission.settled(daemon)
    with ExitStack() as stack:
        for _ in range(40):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", submission.port), timeout=5))
            assert connection.recv(100).startswith(b"220 mail.example.org")
        counts = submission.status()
    opened = [one["open"] for one in counts["submission"]]
    assert sum(opened) == 40
    assert min(opened) >= 3, opened
    (listener,) = [one for one in counts["listeners"] if one["protocol"] == "submission"]
    assert (listener["open"], listener["refused"]) == (40, 0)
    assert [one["state"] for one in counts["submission"]] == 2 * ["serving"]


def test_limits_hold_for_all_workers_together(site: tuple[Site, Daemon]) -> None:
    submission, _ = site
    codes = []
    with ExitStack() as stack:
        clients = [stack.enter_context(submission.client("bob@example.org")) for _ in range(10)]
        before = submission.status()["submission"]
        for client in clients:
            client.mail("bob@example.org")
            client.rcpt(RECIPIENT)
            codes.append(client.docmd("DATA")[0])
            if codes[-1] == 354:
                client.send(MESSAGE.replace(b"joe", b"bob") + b".\r\n")
                assert client.getreply()[0] == 250
    assert codes == 8 * [354] + 2 * [450]
    assert min(one["open"] for one in before) >= 1  # both had some
    after = submission.status()["submission"]
    assert sum(one["messages"] for one in after) - sum(one["messages"] for one in before) == 8


def test_a_killed_worker_is_replaced_and_the_other_goes_on(site: tuple[Site, Daemon]) -> None:
    submission, daemon = site
    before = submission.settled(daemon)
    (auth,) = daemon.children("auth")
    with ExitStack() as stack:
        clients = [stack.enter_context(submission.client(SENDER)) for _ in range(8)]
        os.kill(before[0], signal.SIGKILL)
        new_workers(daemon, before, 1, RECOVERY)
        submission.works_within(RECOVERY)
        alive = []
        for client in clients:
            try:
                alive.append(client.noop()[0])
            except (OSError, smtplib.SMTPServerDisconnected):
                alive.append(0)
    assert {0, 250} == set(alive), alive
    assert daemon.children("auth") == [auth]


def tried(client: smtplib.SMTP, *commands: str) -> int:
    """The first code that is no yes; 421 where the connection is closed, since that was said."""
    code = 0
    for command in commands:
        try:
            code = client.docmd(command)[0]
        except (OSError, smtplib.SMTPServerDisconnected):
            return 421
        if code >= 400:
            break
    return code


def test_a_killed_auth_process_is_heard_of_as_try_again(site: tuple[Site, Daemon]) -> None:
    submission, daemon = site
    before = submission.settled(daemon)
    with submission.client(SENDER) as idle, submission.client() as fresh, submission.client("ann@example.org") as busy:
        assert mail(busy, "ann@example.org") == (250, 250)
        assert busy.docmd("DATA")[0] == 354
        os.kill(daemon.children("auth")[0], signal.SIGKILL)
        assert 400 <= tried(idle, "MAIL FROM:<joe@example.org>", f"RCPT TO:<{RECIPIENT}>", "DATA") < 500
        assert 400 <= tried(fresh, "AUTH PLAIN AGpvZUBleGFtcGxlLm9yZwBzZWNyZXQtNDcxMQ==") < 500
        busy.send(MESSAGE.replace(b"joe", b"ann") + b".\r\n")
        assert busy.getreply()[0] == 250  # what was asked before needs nobody
        submission.works_within(RECOVERY)
    new_workers(daemon, before, 2, RECOVERY)
    for pid in before:
        wait_gone(pid)
    assert not [line for line in daemon.lines("killed") if "submission" in line]


def test_a_session_goes_on_while_the_configuration_is_changed(site: tuple[Site, Daemon]) -> None:
    submission, daemon = site
    before = submission.settled(daemon)
    count = len(daemon.lines("reloaded"))
    with submission.client(SENDER) as old:
        submission.write(submission="trace_login = true", limits="messages_per_hour = 9")
        daemon.process.send_signal(signal.SIGHUP)
        wait_lines(daemon, "reloaded", count + 1)
        new = new_workers(daemon, before, 2)
        assert old.sendmail(SENDER, RECIPIENT, MESSAGE) == {}
        submission.works_within(RECOVERY)
        states = {one["pid"]: one["state"] for one in submission.status()["submission"]}
        assert {states[pid] for pid in new if pid in states} == {"serving"}  # the second may not be ready yet
        assert "leaving" in states.values()
    for pid in before:
        wait_gone(pid)


def test_status_in_words(site: tuple[Site, Daemon]) -> None:
    submission, daemon = site
    done = real.run("status", "--config", str(submission.config))
    assert "submission  state" in done.stdout
    for pid in workers(daemon):
        assert f"{pid}" in done.stdout


def test_a_worker_has_no_name_for_what_the_stores_hold(site: tuple[Site, Daemon]) -> None:
    submission, daemon = site
    assert not [line for line in daemon.lines("internal-error") if "submission" in line]
    assert PASSWORD not in daemon.log.read_text()
    submission.works_within(RECOVERY)


def test_a_certificate_that_was_renewed_is_taken(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, "import saslpy.process.watching as it; it.EVERY, it.SETTLED = 0.3, 0.2")
    submission = Site(place, workers=1)
    with serving(submission.config) as daemon:
        with submission.client(SENDER) as old:
            before = submission.trust()
            certificate(place)
            wait_lines(daemon, "reloaded")
            assert old.sendmail(SENDER, RECIPIENT, MESSAGE) == {}
        submission.works_within(RECOVERY)
        with smtplib.SMTP_SSL("localhost", submission.tls_port, context=submission.trust(), timeout=5) as renewed:
            assert renewed.noop()[0] == 250
        with pytest.raises(OSError, match="verif"):
            smtplib.SMTP_SSL("localhost", submission.tls_port, context=before, timeout=5)
        (place / "cert.pem").write_text("no certificate")
        assert "certificate" in wait_lines(daemon, "reload-failed")[0]
        time.sleep(1.0)
        assert len(daemon.lines("reload-failed")) == 2  # the fault, and that all stays as it was: once


def test_a_stop_lets_a_message_under_way_come_to_its_end(place: Path) -> None:
    submission = Site(place)
    daemon = Daemon(submission.config, place / "log")
    try:
        daemon.wait_for("ready")
        with submission.client(SENDER) as idle, submission.client(SENDER) as busy:
            assert mail(busy) == (250, 250)
            assert busy.docmd("DATA")[0] == 354
            busy.send(MESSAGE)
            daemon.process.send_signal(signal.SIGTERM)
            assert idle.getreply()[0] == 421
            time.sleep(0.3)
            busy.send(b"The end.\r\n.\r\n")
            assert busy.getreply()[0] == 250
        assert daemon.process.wait(5) == 0
        assert not daemon.lines("drain-cut-short")
        assert b"The end." in submission.delivered[0]
    finally:
        daemon.stop(signal.SIGKILL)


HOSTILE = """
import os
from saslpy.process import doorwire, submission, wire
real_serve = submission.serve
def serve(settings, sockets, log, channel):
    if not os.path.exists({flag!r}):
        return real_serve(settings, sockets, log, channel)
    channel.send(wire.encode(doorwire.Hello()))
    channel.recv(wire.MAX_PACKET)
    channel.setblocking(True)
    try:
        exec(open({flag!r}).read())
        while channel.recv(wire.MAX_PACKET):
            pass
    except OSError:
        pass
submission.serve = serve
"""

WHAT = {
    "it sends what is no answer": r'channel.send(b"\xff" * 1000)',
    "it does not read": """
whence = doorwire.Whence("p", "192.0.2.1", True, "")
for number in range(200_000):
    channel.send(wire.encode(doorwire.Start(number, number, "LOGIN", whence, False, None)))
""",
    "it begins an exchange that is open": """
whence = doorwire.Whence("p", "192.0.2.1", True, "")
for number in range(2):
    channel.send(wire.encode(doorwire.Start(number, 1, "LOGIN", whence, False, None)))
""",
}


def greeting(port: int, stack: ExitStack) -> bytes:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
    return connection.recv(100)[:9]


def test_connections_of_a_client_are_counted_over_all_workers(place: Path) -> None:
    site = Site(place, workers=4)
    config = site.config.read_text()
    site.config.write_text(config.replace("[submission]", "max_connections_per_client = 6\n[submission]"))
    port = site.tls_port
    site.config.write_text(site.config.read_text().replace('"submissions"', '"submission"'))
    with serving(site.config) as daemon, ExitStack() as outer:
        victim = site.settled(daemon)[0]
        with ExitStack() as stack:
            assert [greeting(port, stack) for _ in range(8)] == 6 * [b"220 mail."] + 2 * [b"421 4.3.2"]
            assert greeting(site.port, stack) == b"220 mail."  # the other listener counts for itself
        wait_free(port, outer)
        outer.pop_all().close()
        with ExitStack() as stack:
            while greeting(port, stack) == b"220 mail.":
                pass
            before = sum(one["open"] for one in site.status()["submission"])
            gone = next(one["open"] for one in site.status()["submission"] if one["pid"] == victim)
            os.kill(victim, signal.SIGKILL)
            site.settled(daemon)
            got = []
            while (said := greeting(port, stack)) == b"220 mail.":
                got.append(said)
            assert len(got) == gone, (gone, before)


def wait_free(port: int, stack: ExitStack) -> None:
    deadline = time.monotonic() + 5
    while greeting(port, stack) != b"220 mail.":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_that_was_taken_over_harms_nobody_else(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = place / "flag"
    changed(monkeypatch, HOSTILE.format(flag=str(flag)))
    submission = Site(place, workers=1)
    with serving(submission.config) as daemon:
        (auth,) = daemon.children("auth")
        for why, what in WHAT.items():
            flag.write_text(what)
            for pid in workers(daemon):
                os.kill(pid, signal.SIGKILL)
            wait_detail(daemon, why)
            start = time.monotonic()
            assert ask(place, SENDER, PASSWORD) == "accept"
            assert time.monotonic() - start < 1.0
        flag.unlink()
        submission.works_within(RECOVERY)
        assert daemon.children("auth") == [auth]
        assert all("process=submission" in line for line in daemon.lines("killed"))


def wait_detail(daemon: Daemon, why: str) -> None:
    """Until a worker was killed for this."""
    deadline = time.monotonic() + 10
    while not any(why in line for line in daemon.lines("killed")):
        assert time.monotonic() < deadline, daemon.log.read_text()
        time.sleep(0.02)
