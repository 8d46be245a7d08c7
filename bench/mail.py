"""Mail submission, side by side with Postfix: messages and logins a second, and what an idle connection costs."""

from __future__ import annotations

import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from . import PASSWORD, tools
from .mailers import USER, Mailer, certificate, postfix, saslpy, sink
from .peers import Missing
from .processes import memory_kib
from .rounds import Timing
from .stage import FAULTS, Stage
from .tools import Mailed

CLIENTS, SIZE = 20, 4096
IDLE = 500
"""Connections, of which each is to cost little."""

LEAST = 1.0
"""saslpy's messages, or sessions, a second as a multiple of Postfix's."""


@dataclass(frozen=True, slots=True)
class MailScenario:
    """``messages`` in each session; with none, sessions are counted."""

    name: str
    tls: bool
    messages: int

    @property
    def counted(self) -> str:
        """What is counted."""
        return "messages" if self.messages else "sessions"


SCENARIOS = (
    MailScenario("submission-reconnecting", tls=False, messages=1),
    MailScenario("submission-reconnecting-tls", tls=True, messages=1),
    MailScenario("submission-20-a-session", tls=False, messages=20),
    MailScenario("submission-20-a-session-tls", tls=True, messages=20),
    MailScenario("submission-logins-tls", tls=True, messages=0),
)
CONNECTIONS = "submission-idle-connections"
NAMES = (*(scenario.name for scenario in SCENARIOS), CONNECTIONS)


@dataclass(slots=True)
class MailRow:
    """What was seen in one scenario: the rounds of both."""

    scenario: MailScenario
    saslpy: list[Mailed] = field(default_factory=list)
    postfix: list[Mailed] = field(default_factory=list)

    def of(self, name: str) -> list[Mailed]:
        """The rounds of one."""
        return self.saslpy if name == "saslpy" else self.postfix

    @property
    def ratio(self) -> float | None:
        """saslpy's rate as a multiple of Postfix's."""
        if not self.saslpy or not self.postfix:
            return None
        return median(one.rate for one in self.saslpy) / max(median(one.rate for one in self.postfix), 1e-9)


@dataclass(frozen=True, slots=True)
class Idle:
    """What one of many connections costs on which nothing is said any more, in KiB; ``most`` is the goal."""

    name: str
    kib: float
    most: float


@dataclass(slots=True)
class MailResults:
    """Of one run."""

    rows: list[MailRow] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)


def measure(stage: Stage, names: Sequence[str], timing: Timing, tell: Callable[[str], None]) -> MailResults:
    """All that are wanted; what fails is noted."""
    results = MailResults()
    if not names:
        return results
    with ExitStack() as stack:
        try:
            mailers = _started(stage, stack)
        except (*FAULTS, Missing) as fault:
            stage.fault(f"submission: {fault}")
            return results
        for scenario in (one for one in SCENARIOS if one.name in names):
            tell(scenario.name)
            results.rows.append(_row(stage, scenario, timing, mailers))
        if CONNECTIONS in names:
            tell(CONNECTIONS)
            results.idle += _idle(mailers[0])
    return results


def _started(stage: Stage, stack: ExitStack) -> list[Mailer]:
    """saslpy, and Postfix where there is one; both before one sink."""
    folder = stage.folder / "mail"
    folder.mkdir()
    for path in (stage.folder, folder):
        path.chmod(0o755)  # Postfix and Dovecot have users of their own
    pair = certificate(folder)
    hop = stack.enter_context(sink(folder))
    mailers = [stack.enter_context(saslpy(stage.program, folder, hop, pair, tools.cores()))]
    try:
        mailers.append(stack.enter_context(postfix(folder, hop, pair)))
    except Missing as missing:
        stage.absent["postfix"] = str(missing)
    return mailers


def _row(stage: Stage, scenario: MailScenario, timing: Timing, mailers: Sequence[Mailer]) -> MailRow:
    row = MailRow(scenario)
    wanted = tools.Mail(CLIENTS, timing.seconds, scenario.tls, scenario.messages, SIZE, USER, PASSWORD)
    try:
        for _ in range(timing.rounds):
            for mailer in mailers:
                row.of(mailer.name).append(tools.mail(mailer.port, wanted))
                mailer.settle()
    except FAULTS as fault:
        stage.fault(f"{scenario.name}: {fault}")
    for mailer in mailers:
        if failed := sum(one.failed for one in row.of(mailer.name)):
            stage.fault(f"{scenario.name}: {mailer.name}: {failed} sessions failed")
    return row


def _idle(mailer: Mailer) -> Iterator[Idle]:
    for name, tls, most in (("before AUTH", False, 40.0), ("before AUTH, with TLS", True, 80.0)):
        with _connections(mailer.port, 20, tls):  # what is made once is there
            time.sleep(0.5)
        time.sleep(0.5)
        before = memory_kib(mailer.pid, "Rss")
        with _connections(mailer.port, IDLE, tls):
            time.sleep(0.5)
            yield Idle(name, (memory_kib(mailer.pid, "Rss") - before) / IDLE, most)
        time.sleep(0.5)


@contextmanager
def _connections(port: int, count: int, tls: bool) -> Iterator[None]:
    """So many connections whose client has said EHLO, after STARTTLS or without."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 100:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count + 100, hard), hard))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack:
        for _ in range(count):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.recv(1000)
            _said(connection, b"EHLO bench.example.org\r\n")
            if tls:
                _said(connection, b"STARTTLS\r\n")
                secured = stack.enter_context(context.wrap_socket(connection, server_hostname="mail.example.org"))
                _said(secured, b"EHLO bench.example.org\r\n")
        yield


def _said(connection: socket.socket, line: bytes) -> None:
    connection.sendall(line)
    reply = b""
    while not (reply.endswith(b"\n") and reply.splitlines()[-1][3:4] == b" "):
        reply += connection.recv(4096)


# --- the table

HEAD = ("submission", "saslpy /s", "p50 ms", "p99 ms", "postfix /s", "p50 ms", "p99 ms", "ratio", "goal", "")


def lines(results: MailResults) -> list[tuple[str, ...]]:
    """The table, its head first; empty where nothing was measured."""
    if not results.rows and not results.idle:
        return []
    return [HEAD, *map(_line, results.rows), *map(_idle_line, results.idle)]


def _line(row: MailRow) -> tuple[str, ...]:
    ratio = row.ratio
    reached = "?" if ratio is None else "ok" if ratio >= LEAST else "MISSED"
    told = "-" if ratio is None else f"{ratio:.2f}"
    return (row.scenario.name, *_side(row.saslpy), *_side(row.postfix), told, f"{LEAST:.1f} x postfix", reached)


def _side(rounds: Sequence[Mailed]) -> tuple[str, ...]:
    if not rounds:
        return ("-", "-", "-")
    rate, p50, p99 = (median(getattr(one, key) for one in rounds) for key in ("rate", "p50", "p99"))
    return (f"{rate:.0f}", f"{p50 / 1000:.1f}", f"{p99 / 1000:.1f}")


def _idle_line(idle: Idle) -> tuple[str, ...]:
    reached = "ok" if idle.kib <= idle.most else "MISSED"
    return (f"idle {idle.name}", f"{idle.kib:.1f} KiB", *("",) * 6, f"<= {idle.most:.0f} KiB", reached)


def as_json(results: MailResults) -> dict[str, Any]:
    """Everything, each round too."""
    return {
        "scenarios": [
            {
                "name": row.scenario.name,
                "counted": row.scenario.counted,
                "ratio": row.ratio,
                "rounds": {name: [one.as_dict() for one in row.of(name)] for name in ("saslpy", "postfix")},
            }
            for row in results.rows
        ],
        "idle": [{"name": idle.name, "kib": idle.kib, "most": idle.most} for idle in results.idle],
    }
