"""A header that is accepted as joe's shows others no author but joe, however they read it: Python's parsers, old and new.

``test_mailboxes.py`` does the same for a field's value; here what surrounds it is attacked as well.
"""

from __future__ import annotations

import email
import email.policy
import email.utils
from collections.abc import Iterator
from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from saslpy.protocols.smtp.replies import Reply
from saslpy.submission.headers import HeaderFault, HeaderReader
from saslpy.submission.identity import of_header

JOE = "joe@example.org"
FRAGMENTS = [
    *(b"From", b"from", b"Sender", b"Subject", b"Resent-From", b":", b" ", b"\t", b"\r\n", b"\r\n ", b"\r\n\t", b"a"),
    *(b"joe@example.org", b"ann@example.org", b"<", b">", b"(", b")", b'"', b"\\", b",", b";", b"@", b".", b"[", b"]"),
    *(b"=?utf-8?q?", b"?=", b"=40", b"joe", b"evil.test", b"%", b"\x0b", b"\x0c", b"\x1c", b"\xc3\xa9", b"\xc2\xa0"),
    *(b"\xe2\x80\xa8", b"\xef\xbc\xa0"),
]
LURES = [
    *(
        b"\r\nFrom: ann@example.org",
        b"\r\nfrom :ann@example.org",
        b"\r\n From: ann@example.org",
        b"\r\nSender: ann@example.org",
    ),
    *(
        b" (ann@example.org)",
        b",ann@example.org",
        b" <ann@example.org>",
        b'"ann@example.org"',
        b" ann: ann@example.org;",
    ),
    *(b"=?utf-8?q?ann=40example.org?=", b"=?utf-8?b?LGFubkBleGFtcGxlLm9yZw==?=", b' (",ann@example.org,")'),
]
MORE = st.lists(st.sampled_from(FRAGMENTS) | st.sampled_from(LURES), max_size=5).map(b"".join)
HEADER = st.one_of(
    st.builds(lambda value: b"From: " + value + b"\r\n", MORE),
    st.builds(lambda more: b"From: joe@example.org" + more + b"\r\n", MORE),
    st.builds(lambda more: more + b"From: joe@example.org\r\n", MORE),
    st.builds(lambda one, two: b"From: " + one + b" <joe@example.org>" + two + b"\r\n", MORE, MORE),
    st.builds(lambda more: b"Subject: x" + more + b"\r\nFrom: joe@example.org\r\n", MORE),
)


def accepted(message: bytes) -> bool:
    reader = HeaderReader()
    reader.receive(message)
    try:
        claims = of_header("strict", reader.finish(), JOE)
    except HeaderFault:
        return False
    return not isinstance(claims, Reply) and {claim.address.lower() for claim in claims} <= {JOE}


def read(message: bytes) -> Iterator[str]:
    """Every address that anybody finds in From or Sender."""
    for policy in (email.policy.default, email.policy.compat32):
        parsed = email.message_from_bytes(message, policy=policy)
        for name in ("From", "Sender"):
            with suppress(AttributeError, IndexError, ValueError):  # faults of the library's
                for value in parsed.get_all(name, []):
                    yield from (address for _, address in email.utils.getaddresses([str(value)]))
                    yield from (one.addr_spec for one in getattr(value, "addresses", ()))


@settings(max_examples=600)
@given(HEADER)
def test_nobody_finds_another_author(header: bytes) -> None:
    message = header + b"\r\nbody\r\n"
    if accepted(message):
        assert {address.lower() for address in read(message) if "@" in address} <= {JOE}
