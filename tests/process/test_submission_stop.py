"""A daemon that is told to stop: who comes from then on is refused at once, and not left waiting until the end."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..real.postfix import free_port
from ..real.processes import end
from ..real.saslpy import Daemon
from ..real.systemd import started_with
from .submitting import MESSAGE, SENDER, Site, mail
from .test_submission_reload import wait_refused

LISTEN = '[[listen]]\nprotocol = "{protocol}"\naddress = "127.0.0.1:{port}"\n'


@contextmanager
def stopping(site: Site, daemon: Daemon) -> Iterator[None]:
    """A message is under way, and the daemon has been told to stop; in the end, the message is taken."""
    with site.client(SENDER) as busy:
        assert mail(busy) == (250, 250)
        assert busy.docmd("DATA")[0] == 354
        busy.send(MESSAGE)
        daemon.process.send_signal(signal.SIGTERM)
        daemon.wait_for("stopping")
        yield
        assert daemon.process.poll() is None
        busy.send(b".\r\n")
        assert busy.getreply()[0] == 250
    assert daemon.process.wait(5) == 0


def test_every_listener_refuses_while_sessions_end(place: Path) -> None:
    site, port = Site(place), free_port()
    site.write(more=LISTEN.format(protocol="http", port=port))
    daemon = Daemon(site.config, place / "log")
    try:
        daemon.wait_for("ready")
        with stopping(site, daemon):
            for one in (site.port, site.tls_port, port):
                wait_refused(one)
            assert not (place / "mux").exists()
    finally:
        daemon.stop(signal.SIGKILL)


def test_who_comes_during_a_stop_waits_in_the_socket_that_systemd_has_opened(place: Path) -> None:
    site = Site(place)
    site.config.write_text(
        site.config.read_text().replace(
            f'"submissions"\naddress = "127.0.0.1:{site.tls_port}"', '"submissions"\nsystemd = "smtps"'
        )
    )
    with socket.create_server(("127.0.0.1", site.tls_port)) as passed:
        with started_with(site.config, "smtps", passed) as process:
            try:
                wait_greeting(site.port)
                process.send_signal(signal.SIGTERM)
                process.wait(5)
            finally:
                end(process)
        with socket.create_connection(passed.getsockname(), timeout=5):
            passed.accept()[0].close()  # the next daemon


def wait_greeting(port: int) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                assert connection.recv(3) == b"220"
                return
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
