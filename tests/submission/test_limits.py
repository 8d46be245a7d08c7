"""What a login may send in an hour and in a day: never more in any window, and again as soon as there is room."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.submission.limits import DAY, HOUR, Allowed, Counters, Limits, Refused
from saslpy.submission.window import SLICES

JOE = "joe@example.org"


def test_messages_and_recipients_are_counted_apart() -> None:
    counters = Counters(Limits(2, 10))
    assert counters.take(JOE, 1, 4, 0) == Allowed(0)
    assert counters.take(JOE, 1, 7, 0) == Refused("recipients", DAY + DAY / SLICES)
    assert counters.take(JOE, 1, 6, 0) == Allowed(0)
    assert counters.take(JOE, 1, 0, 0) == Refused("messages", HOUR + HOUR / SLICES)
    assert counters.take("ann@example.org", 1, 1, 0) == Allowed(0)


def test_another_case_is_no_other_login() -> None:
    counters = Counters(Limits(2, 2))
    taken = counters.take(JOE, 1, 1, 0)
    assert isinstance(taken, Allowed)
    assert counters.take("JOE@example.org", 1, 1, 0) == Allowed(0)
    assert isinstance(counters.take("jOe@example.org", 1, 1, 0), Refused)
    counters.give_back("Joe@example.org", 1, 1, taken.at)
    assert isinstance(counters.take(JOE, 1, 1, 0), Allowed)


def test_a_refusal_counts_nothing() -> None:
    counters = Counters(Limits(2, 2))
    for _ in range(5):
        assert isinstance(counters.take(JOE, 1, 3, 0), Refused)
    assert isinstance(counters.take(JOE, 2, 2, 0), Allowed)


def test_there_is_room_again_when_the_wait_is_over() -> None:
    counters = Counters(Limits(3, 0))
    for at in (0.0, 1000.0, 2000.0):
        assert isinstance(counters.take(JOE, 1, 1, at), Allowed)
    refused = counters.take(JOE, 2, 1, 2100.0)
    assert isinstance(refused, Refused)
    again = 2100.0 + refused.retry_after
    assert isinstance(counters.take(JOE, 2, 1, again - 0.01), Refused)
    assert isinstance(counters.take(JOE, 2, 1, again), Allowed)


def test_what_was_not_sent_is_given_back() -> None:
    counters = Counters(Limits(2, 10))
    taken = counters.take(JOE, 2, 9, 100.0)
    assert isinstance(taken, Allowed)
    counters.give_back(JOE, 1, 9, taken.at)
    assert isinstance(counters.take(JOE, 1, 10, 100.0), Allowed)
    assert isinstance(counters.take(JOE, 1, 0, 100.0), Refused)


def test_what_counts_no_more_is_not_given_back() -> None:
    counters = Counters(Limits(2, 0))
    counters.take(JOE, 2, 0, 0.0)
    assert isinstance(counters.take(JOE, 1, 0, 2 * HOUR), Allowed)
    counters.give_back("nobody", 1, 1, 0.0)
    counters.give_back(JOE, 1, 5000, 3 * HOUR)
    assert isinstance(counters.take(JOE, 2, 0, 2 * HOUR), Refused)


def test_zero_switches_a_limit_off() -> None:
    counters = Counters(Limits(0, 0))
    assert isinstance(counters.take(JOE, 10**6, 10**6, 0), Allowed)
    counters.limits = Limits(10**6, 0)  # a reload's: what was sent before counts
    assert isinstance(counters.take(JOE, 1, 1, 0), Refused)


def test_more_than_ever_may_go_at_once() -> None:
    refused = Counters(Limits(5, 10)).take(JOE, 1, 11, 0)
    assert refused == Refused("recipients", math.inf)
    assert isinstance(refused, Refused)
    assert str(refused.reply()) == "550 5.7.1 more recipients than you may send in a day"


def test_what_a_client_hears() -> None:
    assert str(Refused("messages", 61.0).reply()) == "450 4.7.1 too many messages in an hour; try again in 2 minutes"
    assert str(Refused("messages", 0.5).reply()) == "450 4.7.1 too many messages in an hour; try again in 1 minutes"


def test_a_clock_that_goes_back_does_not_forget() -> None:
    counters = Counters(Limits(2, 2))
    counters.take(JOE, 1, 1, 10 * DAY)
    counters.take(JOE, 1, 1, 0.0)
    assert counters.take(JOE, 2, 1, 10 * DAY) == Refused("messages", HOUR + HOUR / SLICES)


def test_memory_is_bounded() -> None:
    counters = Counters(Limits(), max_logins=10)
    for number in range(1000):
        counters.take(f"{number}@example.org", 1, 1, number)
        counters.take(JOE, 1, 1, number)
    assert len(counters) == 10
    assert isinstance(counters.take(JOE, 1, 1, 1000), Refused)  # who sends is remembered


def test_who_has_been_quiet_for_a_day_is_forgotten() -> None:
    counters = Counters(Limits())
    for number in range(100):
        counters.take(f"{number}@example.org", 1, 1, 0)
    for number in range(60):
        counters.take(f"new{number}@example.org", 1, 1, 2 * DAY)
    assert len(counters) == 60


@dataclass(frozen=True)
class Sent:
    at: float
    messages: int
    recipients: int


steps = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, 60.0, 149.0, 151.0, 1800.0, 3599.0, 4000.0, DAY / 3]), st.integers(0, 3)),
    max_size=60,
)


@given(steps, st.integers(1, 6), st.integers(1, 12), st.data())
def test_no_window_holds_more_than_its_limit(
    walk: list[tuple[float, int]], hourly: int, daily: int, data: st.DataObject
) -> None:
    """Beside a counter that keeps everything. What is refused would be too much, a slice's time aside."""
    counters, sent, now = Counters(Limits(hourly, daily)), list[Sent](), 1000.0
    for passed, recipients in walk:
        now += passed
        said = counters.take(JOE, 1, recipients, now)
        if isinstance(said, Allowed):
            if data.draw(st.integers(0, 4)) == 0:
                counters.give_back(JOE, 1, recipients, said.at)
            else:
                sent.append(Sent(now, 1, recipients))
            assert messages(sent, now, HOUR) <= hourly
            assert persons(sent, now, DAY) <= daily
        elif said.counted == "messages":
            assert messages(sent, now, HOUR + HOUR / SLICES) + 1 > hourly
            assert 0 < said.retry_after <= HOUR + HOUR / SLICES
        else:
            assert persons(sent, now, DAY + DAY / SLICES) + recipients > daily


def messages(sent: list[Sent], now: float, window: float) -> int:
    return sum(one.messages for one in sent if one.at > now - window)


def persons(sent: list[Sent], now: float, window: float) -> int:
    return sum(one.recipients for one in sent if one.at > now - window)


@pytest.mark.parametrize("count", [1, 1000])
def test_a_login_is_small(count: int) -> None:
    counters = Counters(Limits(0, 0))
    for number in range(count):
        counters.take(JOE, 1, 1, number * 60.0)
    usage = counters._usage[JOE]
    assert len(usage.messages._counts) + len(usage.recipients._counts) <= 2 * (SLICES + 1)
