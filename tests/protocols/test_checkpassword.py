"""What a caller of checkpassword gives, and the environment of the program that comes of it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.checkpassword import (
    Input,
    Misused,
    asked_by_dovecot,
    client_of,
    dovecot_environment,
    new_environment,
    read_input,
    service_of,
)


@pytest.mark.parametrize(
    ("data", "login", "password"),
    [
        (b"joe\0secret\0Y123456\0", "joe", "secret"),
        (b"joe\0secret\0\0", "joe", "secret"),  # Dovecot
        (b"joe\0secret\0Y\0more\0", "joe", "secret"),
        (b"\0\0\0", "", ""),
        (b"j\xff\0\xc3\xa9 \n\0\0", "j\udcff", "\u00e9 \n"),
    ],
)
def test_input(data: bytes, login: str, password: str) -> None:
    assert read_input(data) == Input(login, password)


@pytest.mark.parametrize("data", [b"", b"joe", b"joe\0secret", b"joe\0secret\0", b"joe\0secret\0time", b"x" * 513])
def test_misused(data: bytes) -> None:
    with pytest.raises(Misused):
        read_input(data)


def test_512_bytes_are_enough() -> None:
    assert read_input(b"x" * 509 + b"\0\0\0") == Input("x" * 509, "")
    with pytest.raises(Misused, match="over 512"):
        read_input(b"x" * 510 + b"\0\0\0")


def test_no_password_is_shown() -> None:
    assert "s3cret" not in repr(read_input(b"joe\0s3cret\0\0"))


@given(st.binary(max_size=600))
def test_nothing_else_escapes(data: bytes) -> None:
    with contextlib.suppress(Misused):
        read_input(data)


def test_where_the_user_comes_from() -> None:
    assert service_of({"SERVICE": "lmtp", "TCPLOCALPORT": "110"}) == "lmtp"
    assert [service_of({"TCPLOCALPORT": port}) for port in ("110", "995", "143", "587", "7")] == [
        "pop3",
        "pop3",
        "imap",
        "smtp",
        "",
    ]
    assert service_of({}) == client_of({}) == ""
    assert client_of({"TCPREMOTEIP": "2001:db8::7"}) == "2001:db8::7"


JOE = {"login": "joe@example.org", "uid": 1000, "gid": 1001, "home": "/home/joe", "maildir": "/var/vmail/joe"}


def test_the_user_s_environment() -> None:
    before = {"PATH": "/bin", "USER": "root", "HOME": "/root", "MAILDIR": "/root/Maildir"}
    assert new_environment(before, JOE) == {
        "PATH": "/bin",
        "USER": "joe@example.org",
        "HOME": "/home/joe",
        "SHELL": "/bin/sh",
        "MAILDIR": "/var/vmail/joe",
    }
    assert new_environment(before, {"login": "joe"}) == {
        "PATH": "/bin",
        "USER": "joe",
        "HOME": "/",
        "SHELL": "/bin/sh",
    }


FIELDS = ["uid=1000", "gid=1001", "home=/home/a\x01tb", "mail=maildir:/x=y"]


def test_dovecot_s_environment() -> None:
    account = {"login": "joe", "userdb": FIELDS}
    told = dovecot_environment({"PATH": "/bin", "HOME": "/root", "SERVICE": "imap"}, account)
    assert told == {
        "PATH": "/bin",
        "SERVICE": "imap",
        "USER": "joe",
        "HOME": "/home/a\x01tb",
        "userdb_uid": "1000",
        "userdb_gid": "1001",
        "userdb_mail": "maildir:/x=y",
        "EXTRA": "userdb_uid userdb_gid userdb_mail",
    }
    assert dovecot_environment({"AUTHORIZED": "1"}, account)["AUTHORIZED"] == "2"
    assert "HOME" not in dovecot_environment({"HOME": "/root"}, {"login": "joe", "userdb": []})


def test_who_asks_is_told_by_the_program_s_name() -> None:
    assert asked_by_dovecot("/usr/lib/dovecot/checkpassword-reply")
    assert asked_by_dovecot("checkpassword-reply")
    assert not asked_by_dovecot("/usr/lib/dovecot/checkpassword-reply/qmail-pop3d")
