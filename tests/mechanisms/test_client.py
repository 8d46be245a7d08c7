"""The client's side against ours, against published examples, and against a server that lies."""

from __future__ import annotations

from typing import Any

import pytest

from saslpy.exchange import Challenge, Client, Done
from saslpy.mechanisms import named
from saslpy.mechanisms.client import AuthenticationFailed, Credentials, responses, scram
from saslpy.model import Accept
from saslpy.passwords import make

from ..transcript import Core


def both(name: str, who: Credentials, core: Core, **options: Any) -> Done:
    """Play the client against the server."""
    mechanism, client = named(name), responses(name, who)
    assert mechanism is not None
    assert client is not None
    flow = mechanism.run(Client(next(client), **options))
    value: Any = None
    while True:
        try:
            step = flow.send(value)
        except StopIteration as end:
            done: Done = end.value
            if done.final is not None:
                client.send(done.final)
            return done
        value = client.send(step.data) if isinstance(step, Challenge) else core.perform(step)


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("login", ["joe", "jöe@example.org", "j=o,e"])
def test_both_sides(name: str, login: str) -> None:
    scheme = name if name.startswith("SCRAM") else "PLAIN"
    stored = make(scheme, "pencil") if scheme != "PLAIN" else "{PLAIN}pencil"
    core = Core({login: stored, "nobody": stored})
    assert isinstance(both(name, Credentials(login, "pencil"), core).verdict, Accept)
    assert not isinstance(both(name, Credentials(login, "wrong"), core).verdict, Accept)
    if name in ("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"):
        other = both(name, Credentials(login, "pencil", "o=t,her"), core).verdict
        assert isinstance(other, Accept)
        assert other.account.login == "o=t,her"


@pytest.mark.parametrize("name", ["OAUTHBEARER", "XOAUTH2"])
def test_tokens(name: str) -> None:
    assert isinstance(both(name, Credentials("j=o,e", "good"), Core({})).verdict, Accept)
    assert not isinstance(both(name, Credentials("joe", "bad"), Core({})).verdict, Accept)


def test_the_rest() -> None:
    assert isinstance(both("EXTERNAL", Credentials("", ""), Core({}), certificate="joe").verdict, Accept)
    assert isinstance(both("ANONYMOUS", Credentials("trace", ""), Core({})).verdict, Accept)
    assert responses("NTLM", Credentials("joe", "x")) is None


def test_scram_example_of_rfc_7677() -> None:
    client = scram("SCRAM-SHA-256", Credentials("user", "pencil"), lambda: b"rOprNGfwEbeRWgbNEkqO")
    assert next(client) == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    nonce = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    final = client.send(nonce + b",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    assert final == b"c=biws," + nonce + b",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    assert client.send(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") == b""


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"r=nonce,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # not ours continued
        b"r=other123,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=nonce1,s=,i=4096",
        b"r=nonce1,s=!,i=4096",
        b"r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=0",
        b"r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=999999999",
        b"r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=x",
        b"m=x,r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    ],
)
def test_a_server_whose_first_message_makes_no_sense(message: bytes) -> None:
    client = scram("SCRAM-SHA-256", Credentials("user", "pencil"), lambda: b"nonce")
    next(client)
    with pytest.raises(AuthenticationFailed):
        client.send(message)


def test_a_server_that_does_not_know_the_password() -> None:
    client = scram("SCRAM-SHA-256", Credentials("user", "pencil"), lambda: b"nonce")
    next(client)
    client.send(b"r=nonce1,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    with pytest.raises(AuthenticationFailed):
        client.send(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_no_secret_in_a_repr() -> None:
    assert "pencil" not in repr(Credentials("user", "pencil"))
