"""Which sockets go to submission workers, and when: reloads that add, remove and exchange listeners; files that change."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import smtplib
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from saslpy import assemble
from saslpy.clients.saslauthd import ask_saslauthd
from saslpy.daemon import Site as DaemonSite
from saslpy.process.watching import EVERY, SETTLED, Watch
from saslpy.settings import BackendSettings, load
from saslpy.submission.limits import Allowed, Counters, Limits

from ..fakes import list_log
from ..real.saslpy import Daemon, ask, serving
from .evil import changed
from .submitting import PASSWORD, SENDER, Site, mail, new_workers, workers
from .test_supervisor import RECOVERY, wait_gone, wait_lines


def reload(daemon: Daemon, count: int, event: str = "reloaded") -> str:
    daemon.process.send_signal(signal.SIGHUP)
    return wait_lines(daemon, event, count)[-1]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_refused(port: int) -> None:
    """Until nobody listens: the supervisor closes a socket when the auth process has told that it goes on without it."""
    end = time.monotonic() + RECOVERY
    while not refused(port):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_listeners_come_and_go_and_change_hands(place: Path) -> None:
    site = Site(place, workers=1)
    whole = site.config.read_text()
    head = whole.partition('[[listen]]\nprotocol = "submission"')[0]
    site.config.write_text(head)
    with serving(site.config) as daemon:
        (auth,) = daemon.children("auth")
        assert not workers(daemon)

        site.config.write_text(whole)  # the first ones
        reload(daemon, 1)
        site.works_within(RECOVERY)
        (first,) = workers(daemon)

        site.config.write_text(head + f'[[listen]]\nprotocol = "saslauthd"\naddress = "127.0.0.1:{site.port}"\n')
        reload(daemon, 2)  # one of the addresses is the auth process's now
        wait_gone(first)
        assert ask_saslauthd(f"127.0.0.1:{site.port}", SENDER, PASSWORD)[0] == "accept"
        wait_refused(site.tls_port)
        assert not workers(daemon)

        site.config.write_text(whole)  # and a worker's again
        reload(daemon, 3)
        site.works_within(RECOVERY)
        (second,) = workers(daemon)

        site.config.write_text(whole.replace("workers = 1", "workers = 3"))
        reload(daemon, 4)
        assert len(new_workers(daemon, [second], 3)) == 3
        wait_gone(second)
        with smtplib.SMTP_SSL("localhost", site.tls_port, context=site.trust(), timeout=5) as smtp:
            assert smtp.login(SENDER, PASSWORD)[0] == 235
        assert daemon.children("auth") == [auth]
        assert ask(place, SENDER, PASSWORD) == "accept"
        assert site.status()["logins"]["defer"] == 0


def test_what_the_workers_cannot_go_by_is_refused_and_changes_nothing(place: Path) -> None:
    site = Site(place, workers=1)
    with serving(site.config) as daemon:
        before = workers(daemon)
        key = (place / "key.pem").read_bytes()
        (place / "key.pem").write_bytes(key[: len(key) // 2])
        reload(daemon, 2, "reload-failed")
        assert "submission.tls.key" in daemon.lines("reload-failed")[0]
        assert workers(daemon) == before
        site.works_within(RECOVERY)
        (place / "key.pem").write_bytes(key)
        reload(daemon, 1)
        site.works_within(RECOVERY)


def test_a_worker_that_cannot_begin_makes_a_reload_fail(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = place / "flag"
    changed(
        monkeypatch,
        f"import os\nfrom saslpy.submission import tls\nreal = tls.contexts\ndef contexts(*args):\n"
        f"    if os.path.exists({os.fspath(flag)!r}): raise OSError(24, 'Too many open files')\n    return real(*args)\n"
        "tls.contexts = contexts\n",
    )
    site = Site(place, workers=1)
    with serving(site.config) as daemon:
        before = workers(daemon)
        flag.touch()
        reload(daemon, 2, "reload-failed")
        told = daemon.lines("reload-failed")[0]
        assert "submission: " in told
        assert "Too many open files" in told
        assert before[0] in workers(daemon)
        site.works_within(RECOVERY)
        os.kill(before[0], signal.SIGKILL)  # and one that was fine cannot be replaced: all others are served
        time.sleep(0.5)
        assert ask(place, SENDER, PASSWORD) == "accept"
        flag.unlink()
        site.works_within(RECOVERY)


def test_a_daemon_without_a_submission_socket_loads_nothing_for_it() -> None:
    code = (
        "import sys, saslpy.cli, saslpy.daemon\n"
        "names = ('submission', 'relay', 'protocols.smtp', 'servers.submission', 'process.submission', 'process.door')\n"
        "print(*[name for name in sys.modules if name.startswith(tuple(f'saslpy.{one}' for one in names))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.split() == []


# --- watching


def test_a_file_is_told_of_once_and_when_it_is_complete(tmp_path: Path) -> None:
    files = [tmp_path / "cert", tmp_path / "key"]
    files[0].write_text("1")
    watch = Watch()
    assert watch.wait(0.0) > 1e9
    watch.begin(files, 0.0)
    assert watch.wait(0.0) == EVERY
    assert not watch.changed(files, EVERY)
    files[0].write_text("22")
    assert not watch.changed(files, 2 * EVERY)  # perhaps the other one follows
    assert watch.wait(2 * EVERY) == SETTLED
    files[1].write_text("22")
    assert not watch.changed(files, 2 * EVERY + SETTLED)
    assert watch.changed(files, 2 * EVERY + 2 * SETTLED)
    assert not watch.changed(files, 3 * EVERY)


def test_what_changed_while_it_was_read_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "cert"
    file.write_text("1")
    watch = Watch()
    watch.reading([file])
    file.write_text("22")
    watch.begin([file], 0.0)
    assert not watch.changed([file], EVERY)
    assert watch.changed([file], EVERY + SETTLED)


def test_a_reload_for_another_reason_is_one_for_this_one_too(tmp_path: Path) -> None:
    file = tmp_path / "cert"
    file.write_text("1")
    watch = Watch()
    watch.begin([file], 0.0)
    file.write_text("22")
    watch.reading([file])
    watch.begin([file], 1.0)
    assert not watch.changed([file], EVERY)
    watch.begin([], 1.0)
    assert watch.wait(1.0) > 1e9


# --- what a process has


def test_a_worker_has_the_sockets_that_it_serves_and_no_name_for_a_stores_secret(place: Path) -> None:
    site = Site(place)
    made = load(site.config)
    log, _ = list_log()
    with DaemonSite(made, None, log) as daemon:
        (role,) = [role for role in daemon.roles.values() if role.name == "submission"]
        (hashing,) = [role for role in daemon.roles.values() if role.name == "hash"]
        assert {listen.place for listen in made.listen if listen.in_workers} == set(role.serves)
        assert not hashing.serves
        assert len(holders()) == 1
        daemon.close(role)  # as its process does, after the fork
        assert not holders()
        assert not daemon.roles
        opened = {sock.getsockname()[1] for sock in listening_sockets(daemon)}
        assert opened == {site.port, site.tls_port}
        assert (place / "mux").exists()


def holders() -> list[BackendSettings]:
    """The backends of a configuration like ours that something in this process leads to."""
    gc.collect()
    return [
        one for one in gc.get_objects() if isinstance(one, BackendSettings) and PASSWORD in str(vars_of(one.config))
    ]


def vars_of(config: object) -> list[object]:
    names = getattr(config, "__slots__", ()) or getattr(config, "__dict__", ())  # another test's may be None
    return [getattr(config, name, None) for name in names]


def listening_sockets(daemon: DaemonSite) -> list[socket.socket]:
    return [sock for sock, _ in daemon._open.values() if sock.fileno() >= 0]


def test_the_auth_process_is_not_handed_what_is_the_workers(place: Path) -> None:
    made = load(Site(place).config)
    assert made.submission is not None
    assert b"PRIVATE KEY" in made.submission.tls.key_pem
    handed = assemble.for_auth(made)
    assert handed.relay is None
    assert b"PRIVATE KEY" not in pickle.dumps(handed)
    assert handed.submission is not None
    assert handed.submission.limits == made.submission.limits


def test_legacy_senders_have_limits_of_their_own() -> None:
    counters = Counters(Limits(1, 0), others={"legacy:printer@example.org": Limits(2, 0)})
    for login, most in (("joe", 1), ("legacy:printer@example.org", 2)):
        taken = [isinstance(counters.take(login, 1, 1, 0.0), Allowed) for _ in range(3)]
        assert taken.count(True) == most


def test_who_stays_for_too_long_after_a_reload_is_told_to_come_again(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, "import saslpy.process.submission as it; it.RETIRED = 0.5")
    site = Site(place, workers=1)
    with serving(site.config) as daemon:
        before = workers(daemon)
        with site.client(SENDER) as idle:
            reload(daemon, 1)
            assert idle.noop()[0] == 250
            assert idle.getreply()[0] == 421
        wait_gone(before[0])
        site.works_within(RECOVERY)


def test_at_a_stop_a_message_that_does_not_end_is_cut_off(place: Path) -> None:
    site = Site(place, workers=1)
    site.write(daemon="drain_seconds = 0.5")
    daemon = Daemon(site.config, place / "log")
    try:
        daemon.wait_for("ready")
        with site.client(SENDER) as endless:
            assert mail(endless) == (250, 250)
            assert endless.docmd("DATA")[0] == 354
            start = time.monotonic()
            assert daemon.stop() == 0
            assert time.monotonic() - start < 3.0
            assert endless.getreply()[0] == 421
        assert daemon.lines("drain-cut-short")
        assert not site.delivered
    finally:
        daemon.stop(signal.SIGKILL)
