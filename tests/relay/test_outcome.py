"""Outcomes, and a hop's words as our client hears them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp.replies import Reply, reply
from saslpy.relay import outcome
from saslpy.relay.outcome import Accepted, Deferred, Delivered, Refused, for_client


def test_what_replies_mean() -> None:
    yes, later, no = reply(250, "2.0.0", "ok"), reply(450, "4.0.0", "later"), reply(550, "5.0.0", "no")
    assert [outcome.answer(one) for one in (yes, later, no)] == [Accepted(yes), Deferred(later), Refused(no)]
    assert [outcome.outcome(one) for one in (yes, later, no)] == [Delivered(yes), Deferred(later), Refused(no)]


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (Reply(250, "2.1.5", ("ok",)), "250 2.1.5 ok"),
        (Reply(252, "", ("will try",)), "250 2.0.0 will try"),
        (Reply(421, "4.3.2", ("bye",)), "451 4.3.2 bye"),
        (Reply(454, "", ("no TLS",)), "451 4.0.0 no TLS"),
        (Reply(535, "5.7.8", ("who are you",)), "554 5.7.8 who are you"),
        (Reply(530, "", ("STARTTLS first",)), "554 5.0.0 STARTTLS first"),
        (Reply(550, "", ("",)), "550 5.0.0 (no text)"),
        (Reply(552, "5.2.2", ("full",)), "552 5.2.2 full"),
    ],
)
def test_what_our_client_hears(said: Reply, heard: str) -> None:
    assert str(for_client(said)) == heard


@given(st.integers(200, 599).filter(lambda code: not 300 <= code < 400), st.lists(st.text(), min_size=1, max_size=20))
def test_the_class_is_kept_and_the_connection_left_alone(code: int, lines: list[str]) -> None:
    heard = for_client(Reply(code, "", tuple(lines)))
    assert heard.code // 100 == code // 100
    assert heard.enhanced
    assert heard.code not in (421, 454, 530, 534, 535, 538)
    assert len(heard.lines) <= 8
