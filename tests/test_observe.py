"""Lines: nothing in a value can forge a key or a line, nothing that reads slowly can stop a login."""

from __future__ import annotations

import json
import logging
import os
import shlex
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from saslpy import Accept, Account, Caller, Defer, Login, Origin, Reason, Reject
from saslpy.observe import sink as sink_module
from saslpy.observe.audit import Audit
from saslpy.observe.log import Bridge, Log, json_line, logfmt, timestamp
from saslpy.observe.sink import MAX_LINE, Sink

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
    audit.attempt(login, Origin("saslauthd"), Defer(Reason.TIMEOUT, "virtual", "no answer in 3 s"), 3.0)
    start = "time=1970-01-01T00:00:00.000Z level=info event=login"
    assert lines == [
        f"{start} verdict=accept reason=ok login=joe@example.org service=smtp mechanism=PLAIN client=192.0.2.7"
        " caller=12:33 backend=virtual ms=12.3",
        f"{start} verdict=reject reason=wrong-password login=Joe@example.org service=smtp mechanism=PLAIN"
        " client=192.0.2.7 caller=12:33 backend=virtual ms=12.3",
        f"{start} verdict=defer reason=timeout login=Joe@example.org service=- mechanism=PLAIN client=- caller=-"
        ' backend=virtual ms=3000.0 detail="no answer in 3 s"',
    ]
    assert all(len(shlex.split(line)) == len({part.partition("=")[0] for part in shlex.split(line)}) for line in lines)


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
