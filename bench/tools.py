"""The programs in C: compiled when they are older than their source, and run with a bound on their time."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import HERE, PASSWORD, RESULTS
from .client import Door

SASLLOAD = ("saslload", ())
CRYPT_ALONE = ("crypt_alone", ("-pthread", "-lcrypt"))
SMTPLOAD = ("smtpload", ("-lssl", "-lcrypto"))
DEADLINE = 10.0
"""Seconds for one login; Postfix gives up then."""


class ToolError(Exception):
    """A compiler or one of the tools failed; says what it said."""


@dataclass(frozen=True, slots=True)
class Load:
    """One measured stretch: so many logins at a time, for so long, so many percent of them with a wrong password."""

    user: str
    users: int
    concurrency: int
    seconds: float
    wrong: int = 0
    warmup: float = 0.2


@dataclass(frozen=True, slots=True)
class Measured:
    """What the load generator saw. Times are microseconds; ``mismatched`` are wrong answers, which no daemon may give."""

    rps: float
    p50: float
    p95: float
    p99: float
    worst: float
    ok: int
    no: int
    mismatched: int
    errors: int
    backlog_full: int


def build() -> None:
    """Compile those that all scenarios need."""
    RESULTS.mkdir(exist_ok=True)
    for name, libraries in (SASLLOAD, CRYPT_ALONE):
        _compile(name, libraries)


def _compile(name: str, libraries: tuple[str, ...]) -> None:
    source, program = HERE / f"{name}.c", RESULTS / name
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        _run(["cc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(source), *libraries], 60)


def load(door: Door, wanted: Load) -> Measured:
    """Put load on a daemon. Raises ``ToolError``."""
    seen = _json(
        [
            RESULTS / "saslload",
            *("--protocol", door.protocol, "--socket", door.socket),
            *("--concurrency", wanted.concurrency, "--seconds", wanted.seconds, "--warmup", wanted.warmup),
            *("--user", wanted.user, "--users", wanted.users, "--password", PASSWORD),
            *("--wrong", wanted.wrong, "--deadline", DEADLINE),
        ],
        wanted.seconds + wanted.warmup + DEADLINE + 15,
    )
    return Measured(
        rps=seen["rps"],
        p50=seen["p50_us"],
        p95=seen["p95_us"],
        p99=seen["p99_us"],
        worst=seen["max_us"],
        ok=seen["ok"],
        no=seen["no"],
        mismatched=seen["mismatched"],
        errors=seen["errors"],
        backlog_full=seen["backlog_full"],
    )


@dataclass(frozen=True, slots=True)
class Mail:
    """One measured stretch of submission: so many clients, and messages of so many bytes in each session."""

    clients: int
    seconds: float
    tls: bool
    messages: int
    size: int
    user: str
    password: str
    warmup: float = 0.5


@dataclass(frozen=True, slots=True)
class Mailed:
    """What was seen of messages, or of sessions where there are none. Times are microseconds."""

    rate: float
    p50: float
    p99: float
    failed: int
    refused: int

    def as_dict(self) -> dict[str, float]:
        """As plain values."""
        return asdict(self)


def mail(port: int, wanted: Mail) -> Mailed:
    """Submit mail on a port of loopback. Raises ``ToolError``."""
    _compile(*SMTPLOAD)
    seen = _json(
        [
            RESULTS / "smtpload",
            *("--port", port, "--concurrency", wanted.clients, "--seconds", wanted.seconds, "--warmup", wanted.warmup),
            *(
                "--messages",
                wanted.messages,
                "--bytes",
                wanted.size,
                "--user",
                wanted.user,
                "--password",
                wanted.password,
            ),
            *("--from", wanted.user, "--to", "ann@example.net", *(("--tls",) if wanted.tls else ())),
        ],
        wanted.seconds + wanted.warmup + 15,
    )
    found = seen["messages" if wanted.messages else "sessions"]
    return Mailed(found["per_second"], found["p50_us"], found["p99_us"], seen["failed"], seen["refused"])


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def crypt_alone(stored: str, seconds: float) -> float:
    """Checks a second of this stored hash that ``crypt_r`` does with nothing around it, on all cores."""
    rate: float = _json([RESULTS / "crypt_alone", stored, PASSWORD, seconds], seconds + 30)["per_second"]
    return rate


def _json(command: list[object], timeout: float) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(_run([str(word) for word in command], timeout))
    return answer


def _run(command: list[str], timeout: float) -> str:
    name = Path(command[0]).name
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError:
        raise ToolError(f"{name}: not found (apt-get install gcc libc6-dev libcrypt-dev libssl-dev)") from None
    except subprocess.TimeoutExpired:
        raise ToolError(f"{name}: did not end within {timeout:g} s") from None
    if done.returncode != 0:
        raise ToolError(f"{name}: exit status {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
