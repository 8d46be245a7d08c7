"""Lines: nothing in a value can forge a key or a line, nothing that reads slowly can stop a login."""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy import Accept, Account, Caller, Defer, Login, Origin, Reason, Reject, Verdict
from saslpy.observe import sink as sink_module
from saslpy.observe.audit import Audit, address, fields, plain_line
from saslpy.observe.log import Bridge, Log, json_line, logfmt, timestamp
from saslpy.observe.sink import MAX_LINE, Sink
from saslpy.systemd import is_journal

from .fakes import list_log


def test_a_line() -> None:
    log, lines = list_log(clock=lambda: 1_700_000_000.5)
    log.info("ready", listen="/run/saslauthd/mux", ms=1.25, text="two words", nothing="")
    assert lines == [
        'time=2023-11-14T22:13:20.500Z level=info event=ready listen=/run/saslauthd/mux ms=1.2 text="two words" nothing=-'
    ]


@given(st.text())
def test_a_value_stays_a_value(text: str) -> None:
    line = logfmt({"a": text, "verdict": "reject"})
    assert line.isascii()
    assert line.isprintable()
    assert line.endswith(" verdict=reject")
    value = line.removesuffix(" verdict=reject").removeprefix("a=")
    assert (json.loads(value) if value.startswith('"') else "" if value == "-" and not text else value) == text


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none())))
def test_json_is_one_line(fields: dict[str, object]) -> None:
    line = json_line(fields)
    assert "\n" not in line
    assert json.loads(line) == fields


def test_levels() -> None:
    log, lines = list_log(level="error")
    log.info("a")
    log.warning("b")
    log.error("c")
    log.audit({"verdict": "accept"})
    assert [line.split()[2] for line in lines] == ["event=c", "event=login"]


def test_the_audit_line_is_stable() -> None:
    log, lines = list_log(clock=lambda: 0.0)
    audit = Audit(log)
    login = Login.of("Joe@example.org")
    origin = Origin("saslauthd", "smtp", "PLAIN", "192.0.2.7", Caller(12, 33, 33))
    audit.attempt(login, origin, Accept(Account("joe@example.org"), "virtual"), 0.0123)
    audit.attempt(login, origin, Reject(Reason.WRONG_PASSWORD, "virtual"), 0.0123)
    audit.attempt(login, origin, Accept(Account("boss@example.org"), "virtual"), 0.0123)
    audit.attempt(login, Origin("saslauthd"), Defer(Reason.TIMEOUT, "virtual", "no answer in 3 s"), 3.0)
    start = "time=1970-01-01T00:00:00.000Z level=info event=login"
    assert lines == [
        f"{start} verdict=accept reason=ok login=joe@example.org service=smtp mechanism=PLAIN client=192.0.2.7"
        " caller=12:33 backend=virtual ms=12.3",
        f"{start} verdict=reject reason=wrong-password login=Joe@example.org service=smtp mechanism=PLAIN"
        " client=192.0.2.7 caller=12:33 backend=virtual ms=12.3",
        f"{start} verdict=accept reason=ok login=boss@example.org service=smtp mechanism=PLAIN client=192.0.2.7"
        " caller=12:33 backend=virtual ms=12.3 asked=Joe@example.org",
        f"{start} verdict=defer reason=timeout login=Joe@example.org service=- mechanism=PLAIN client=- caller=-"
        ' backend=virtual ms=3000.0 detail="no answer in 3 s"',
    ]
    assert all(len(shlex.split(line)) == len({part.partition("=")[0] for part in shlex.split(line)}) for line in lines)


def test_the_journal_hears_each_lines_priority() -> None:
    log, lines = list_log(journal=True)
    log.warning("a")
    log.error("b", detail=LONGEST)
    Audit(log).attempt(Login.of("joe"), Origin("saslauthd"), Reject(Reason.WRONG_PASSWORD), 0.1)
    log.audit({"verdict": "accept"})
    assert [line[:8] for line in lines] == ["<4>time=", "<3>time=", "<6>time=", "<6>time="]
    assert all(len(line) < MAX_LINE for line in lines)


def test_the_journal_is_known_by_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as file:
        found = os.fstat(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        assert is_journal(file.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        assert not is_journal(file.fileno())  # its output was redirected
        monkeypatch.delenv("JOURNAL_STREAM")
        assert not is_journal(file.fileno())
    assert not is_journal(9999)


@pytest.mark.parametrize(
    ("client", "told"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ('fe80::1%" client=192.0.2.99 ', "fe80::1"),
        ("", ""),
        ("mail.example.org", ""),
        ("192.0.2.7 client=192.0.2.99", ""),
        ("192.0.2.7\n", ""),
        ("[2001:db8::7]", ""),
        ("3221226005", ""),
        ("192.0.2.0/24", ""),
        ("x" * 6000, ""),
        ("fe80::1%" + "x" * 6000, ""),
        ("\udcff", ""),
    ],
)
def test_the_client_is_an_address_or_nothing(client: str, told: str) -> None:
    assert address(client) == told


LONGEST = "\N{GRINNING FACE}" * 10_000
"""Every character of it takes twelve bytes in a line."""


@pytest.mark.parametrize("text", ["x" * 10_000, LONGEST, '"\\\n' * 5000, "= " * 5000])
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_a_long_line_is_whole_whatever_its_values(form: Literal["logfmt", "json"], text: str) -> None:
    log, lines = list_log(form=form)
    login = Login(text, text, "", text)
    Audit(log).attempt(login, Origin("x", text, text, text), Reject(Reason.MALFORMED, text, text), 0.01)
    log.error("library", logger="driver", message=text, number=7)
    log.error("odd", **{text[:1000] + str(n): text for n in range(9)})
    assert all(len(line.encode()) < MAX_LINE for line in lines)
    told = [json.loads(line) if form == "json" else parsed(line) for line in lines]
    assert [line["event"] for line in told] == ["login", "library", "odd"]
    assert told[0]["login"][:16] == text[:16]
    assert (told[0]["verdict"], told[0]["reason"]) == ("reject", "malformed")
    assert str(told[1]["number"]) == "7"
    assert told[1]["message"][:16] == text[:16]


def parsed(line: str) -> dict[str, str]:
    """A logfmt line, read as strictly as it is described."""
    found = {}
    while line:
        key, _, line = line.partition("=")
        if line.startswith('"'):
            value, end = json.JSONDecoder().raw_decode(line)
        else:
            value = line.partition(" ")[0]
            end = len(value)
        assert line[end : end + 1] in ("", " ")
        found[key], line = value, line[end + 1 :]
    return found


class Odd:
    def __str__(self) -> str:
        raise RuntimeError("secret")


@pytest.mark.parametrize(
    "verdict",
    [
        Accept(Account(None, ())),  # type: ignore[arg-type]
        Accept(Account(7, ())),  # type: ignore[arg-type]
        Accept(Account(["joe"], ())),  # type: ignore[arg-type]
        Accept(None),  # type: ignore[arg-type]
        Accept(Account("joe"), None),  # type: ignore[arg-type]
        Reject("no", "x", None),  # type: ignore[arg-type]
        Reject(None, "x", b"bytes"),  # type: ignore[arg-type]
        Defer(Reason.TIMEOUT, "x", {"a": 1}),  # type: ignore[arg-type]
    ],
)
@pytest.mark.parametrize("form", ["logfmt", "json"])
def test_every_verdict_has_its_line(form: Literal["logfmt", "json"], verdict: Verdict) -> None:
    log, lines = list_log(form=form)
    Audit(log).attempt(Login.of("joe@example.org"), Origin("x", client=None), verdict, 0.01)  # type: ignore[arg-type]
    (line,) = [json.loads(line) if form == "json" else parsed(line) for line in lines]
    assert line["event"] == "login"
    assert line["verdict"] == type(verdict).__name__.lower()
    assert line["login"] in ("joe@example.org", "7", "['joe']", "joe")


def test_what_cannot_be_told_is_a_fault_of_ours_and_no_error_for_the_caller() -> None:
    log, lines = list_log()
    verdict: Any = Reject(Reason.MALFORMED, "x", Odd())  # type: ignore[arg-type]
    Audit(log).attempt(Login.of("joe"), Origin("x"), verdict, 0.01)
    assert len(lines) == 1
    assert "event=internal-error during=audit" in lines[0]
    assert "secret" not in lines[0]


def test_time_does_not_go_back_within_a_second() -> None:
    assert timestamp(1.0) == "1970-01-01T00:00:01.000Z"
    assert timestamp(1.9994) == "1970-01-01T00:00:01.999Z"
    assert timestamp(0.5) == "1970-01-01T00:00:00.500Z"


def test_a_reader_that_stalls_stops_nothing_and_is_told_what_it_missed() -> None:
    read, write = os.pipe()
    try:
        sink = Sink(write)
        log = Log(sink)
        for number in range(sink_module.MAX_BACKLOG + 5000):
            log.info("event", number=number)
        assert sink.dropped > 0
        data = b""
        while not sink.flush():
            data += os.read(read, 1 << 20)
        log.info("last")
        os.set_blocking(read, False)
        while not sink.flush():
            data += os.read(read, 1 << 20)
        data += os.read(read, 1 << 20)
    finally:
        os.close(read)
        os.close(write)
    lines = data.decode().splitlines()
    assert "event=log-lines-lost" in lines[-2]
    assert lines[-1].endswith("event=last")
    lost = int(lines[-2].partition("lines=")[2])
    assert lost + len(lines) - 2 == sink_module.MAX_BACKLOG + 5000


class Disk:
    """What ``os.write`` writes to: takes as many bytes as there is room for, then fails."""

    def __init__(self, room: int, error: int = errno.ENOSPC) -> None:
        self.room = room
        self.error = error
        self.data = b""

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(self.error, os.strerror(self.error))
        taken = data[: self.room]
        self.room -= len(taken)
        self.data += taken
        return len(taken)


@pytest.fixture
def null() -> Any:
    with Path(os.devnull).open("wb") as file:
        yield file.fileno()


def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch, null: int) -> None:
    disk = Disk(1000)
    monkeypatch.setattr(os, "write", disk.write)
    log = Log(Sink(null))
    for number in range(35):
        log.info("event", number=number)
    assert len(disk.data) == 1000
    disk.room = 10_000
    log.info("last")
    lines = disk.data.decode().splitlines()
    assert [line.partition("event=")[2] for line in lines] == [*(f"event number={n}" for n in range(35)), "last"]
    assert all(line.startswith("time=") for line in lines)


def test_a_full_disk_for_long_is_told_with_the_true_number(monkeypatch: pytest.MonkeyPatch, null: int) -> None:
    monkeypatch.setattr(sink_module, "MAX_BACKLOG", 20)
    disk = Disk(1000)
    monkeypatch.setattr(os, "write", disk.write)
    log = Log(Sink(null))
    for number in range(200):
        log.info("event", number=number)
    disk.room = 1_000_000
    log.info("last")
    log.info("last")
    lines = disk.data.decode().splitlines()
    assert all(line.count("time=") == 1 for line in lines)
    told = [line.partition("event=")[2] for line in lines]
    assert told[-3:] == ["last", told[-2], "last"]
    assert told[-2] == f"log-lines-lost lines={200 - sum(line.startswith('event ') for line in told)}"


@pytest.mark.parametrize("error", [errno.EIO, errno.EFBIG, errno.EPIPE])
def test_lines_that_are_lost_glue_no_others_together(monkeypatch: pytest.MonkeyPatch, null: int, error: int) -> None:
    disk = Disk(1000, error)
    monkeypatch.setattr(os, "write", disk.write)
    log = Log(Sink(null))
    for number in range(50):
        log.info("event", number=f"{number:03}")
    disk.room = 60  # not enough for the line that tells
    log.info("event", number="050")
    disk.room = 10_000
    log.info("last")
    lines = disk.data.decode().splitlines()
    assert all(line.count("time=") <= 1 for line in lines)
    whole = [line for line in lines if re.search(r"event=event number=\d{3}$", line)]
    assert lines[-2].endswith(f"event=log-lines-lost lines={51 - len(whole)}")
    assert lines[-1].endswith("event=last")


def test_a_reader_that_is_gone_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    sink = Sink(write)
    sink.write("x")
    sink.write("y")
    os.close(write)
    sink.write("z")


def test_a_line_is_cut_to_what_a_pipe_takes_whole() -> None:
    read, write = os.pipe()
    Sink(write).write("x" * 10_000)
    assert len(os.read(read, 20_000)) == MAX_LINE
    os.close(read)
    os.close(write)


def test_lines_of_libraries_come_as_events() -> None:
    log, lines = list_log()
    logger = logging.Logger("driver")
    logger.addHandler(Bridge(log))
    logger.warning("%s is odd", "this")
    logger.info("not told")
    assert [line.split("event=")[1] for line in lines] == ['library logger=driver message="this is odd"']


def test_lines_of_one_pass_are_written_together() -> None:
    read, write = os.pipe()
    sink = Sink(write)
    due: list[Callable[[], object]] = []
    sink.later = due.append
    for _ in range(3):
        sink.write("x")
    assert len(due) == 1
    due.pop()()
    assert os.read(read, 100) == b"x\nx\nx\n"
    sink.write("y")
    assert len(due) == 1
    os.close(read)
    os.close(write)


def test_a_fault_of_ours_is_told_by_its_place_and_not_by_what_it_says() -> None:
    log, lines = list_log()
    try:
        raise KeyError("the password")
    except KeyError as error:
        log.fault(error, listen="mux")
    assert "event=internal-error listen=mux where=" in lines[0]
    assert "test_observe.py:" in lines[0]
    assert lines[0].endswith(" detail=KeyError")
    assert "the password" not in lines[0]


_words = st.sampled_from(["", "smtp", "imap", 'a"b', "a b", "a=b", "ä", "\n", "x" * 70, "PLAIN"])
_names = st.one_of(_words, st.text(max_size=300), st.just("joe@example.org"))


@given(
    name=_names,
    service=_words,
    mechanism=_words,
    backend=_words,
    client=st.sampled_from(["", "192.0.2.7", "2001:db8::1", "no address", "::ffff:192.0.2.7"]),
    caller=st.sampled_from([None, Caller(1, 2, 3)]),
    kind=st.sampled_from(["accept", "reject", "told", "defer"]),
    seconds=st.floats(0, 100),
)
def test_the_short_way_to_an_audit_line_gives_the_same(
    name: str,
    service: str,
    mechanism: str,
    backend: str,
    client: str,
    caller: Caller | None,
    kind: str,
    seconds: float,
) -> None:
    login, origin = Login.of(name), Origin("saslauthd", service, mechanism, client, caller)
    verdict: Verdict = {
        "accept": Accept(Account(name), backend),
        "reject": Reject(Reason.WRONG_PASSWORD, backend),
        "told": Reject(Reason.WRONG_PASSWORD, backend, "why"),
        "defer": Defer(Reason.TIMEOUT, backend),
    }[kind]  # type: ignore[assignment]
    short = plain_line(login, origin, verdict, seconds)
    if short is not None:
        assert short == logfmt(fields(login, origin, verdict, seconds))
    if name == "joe@example.org" and service == "smtp" and kind in ("accept", "reject"):
        assert (short is not None) == all(word in ("", "smtp", "imap", "PLAIN") for word in (mechanism, backend))
