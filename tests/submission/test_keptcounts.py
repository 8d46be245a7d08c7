"""What is kept of logins' counts: as it was, whatever the clock has done, and nothing of what makes no sense."""

from __future__ import annotations

import pytest

from saslpy.submission.keptcounts import LONGEST, MAX_LINE, Malformed, packed, restore
from saslpy.submission.limits import DAY, HOUR, Allowed, Counters, Limits, Refused
from saslpy.submission.window import SLICES

NOW = 1_764_028_800.0
HEAD = b'{"saslpy":"counts","version":1,"at":1764028800.0}\n'


def lines(counters: Counters, now: float = NOW) -> list[bytes]:
    return b"".join(packed(counters, now)).splitlines(keepends=True)


def again(counters: Counters, later: float = 0.0) -> Counters:
    found = Counters(counters.limits)
    restore(lines(counters), found, NOW + later)
    return found


def test_counts_are_as_they_were() -> None:
    counters = Counters(Limits(3, 10))
    counters.take("Joe@example.org", 2, 2, NOW - HOUR / 2)
    counters.take("joe@example.org", 1, 5, NOW)
    counters.take("ann@example.org", 1, 1, NOW)
    assert lines(counters)[0] == HEAD
    found = again(counters, 60)
    assert found.logins == ["joe@example.org", "ann@example.org"]
    assert [found.kept(login) for login in found.logins] == [counters.kept(login) for login in counters.logins]
    refused, before = found.take("joe@example.org", 1, 1, NOW + 60), counters.take("joe@example.org", 1, 1, NOW + 60)
    assert isinstance(refused, Refused)
    assert refused == before
    assert isinstance(found.take("ann@example.org", 1, 1, NOW), Allowed)


def test_what_is_over_is_over() -> None:
    counters = Counters(Limits(3, 10))
    counters.take("joe@example.org", 3, 10, NOW)
    assert isinstance(again(counters, HOUR + HOUR / SLICES).take("joe@example.org", 3, 0, NOW + HOUR * 1.1), Allowed)
    assert isinstance(again(counters, HOUR * 1.1).take("joe@example.org", 1, 1, NOW + HOUR * 1.1), Refused)
    assert again(counters, 2 * DAY).kept("joe@example.org") is None


@pytest.mark.parametrize("back", [1.0, HOUR, 365 * DAY])
def test_a_clock_that_was_put_back_neither_frees_nor_locks_out(back: float) -> None:
    counters = Counters(Limits(3, 10))
    counters.take("joe@example.org", 3, 3, NOW)
    found = again(counters, -back)
    assert isinstance(found.take("joe@example.org", 1, 1, NOW - back), Refused)
    assert isinstance(found.take("joe@example.org", 1, 1, NOW - back + HOUR * 1.1), Allowed)


def test_only_what_counts_is_kept() -> None:
    counters = Counters(Limits(3, 10))
    counters.take("joe@example.org", 1, 1, NOW)
    counters.give_back("joe@example.org", 1, 1, NOW)
    counters.take("x" * LONGEST + "x", 1, 1, NOW)
    assert lines(counters) == [HEAD]


def test_the_longest_line_is_read() -> None:
    counters = Counters(Limits(0, 0))
    for number in range(2 * SLICES):
        counters.take("\x01" * LONGEST, 10**9, 10**9, NOW + number * HOUR)
    counters.take("\x01" * LONGEST, 0, 0, NOW + (2 * SLICES - 1) * HOUR)
    (_, line) = lines(counters, NOW + 2 * DAY)
    assert len(line) < MAX_LINE
    found = Counters(Limits(0, 0))
    restore([HEAD, line], found, NOW + (2 * SLICES - 1) * HOUR)
    assert found.kept("\x01" * LONGEST) == counters.kept("\x01" * LONGEST)


LOGIN = b'["joe@example.org",[[11760192,1]],[[490008,1]]]\n'


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ([], "it is empty"),
        ([b"\0\xff\n"], "line 1 makes"),
        ([b'{"saslpy":"counts","version":2,"at":1}\n'], "line 1 makes"),
        ([b'{"saslpy":"counts","version":1,"at":-1}\n'], "line 1 makes"),
        ([HEAD, LOGIN[:20]], "line 2 makes"),
        ([HEAD, LOGIN, b'["x",[[1,-1]],[]]\n'], "line 3 makes"),
        ([HEAD, LOGIN, b'["x",[[1,1e999]],[]]\n'], "line 3 makes"),
        ([HEAD, LOGIN, b'["' + b"x" * 1101 + b'",[],[]]\n'], "line 3 makes"),
        ([HEAD, LOGIN, b'["x",[' + b",".join([b"[1,1]"] * 99) + b"],[]]\n"], "line 3 makes"),
        ([HEAD, LOGIN, b"[" * 16_000], "line 3 makes"),
        ([HEAD, *[LOGIN] * 100_001], "more lines"),
    ],
)
def test_what_makes_no_sense_is_told_without_what_is_in_it(content: list[bytes], why: str) -> None:
    found = Counters(Limits(1, 1))
    with pytest.raises(Malformed, match=why) as raised:
        restore(content, found, NOW)
    assert "joe" not in str(raised.value)
    assert isinstance(found.take("joe@example.org", 1, 1, NOW), Refused if LOGIN in content else Allowed)
