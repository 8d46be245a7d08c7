"""Other people's clients against our mechanisms: scramp, and GNU SASL's command."""

from __future__ import annotations

import base64
import subprocess
from typing import Any

import pytest
import scramp

from saslpy.exchange import Challenge, Client, Done
from saslpy.mechanisms import named
from saslpy.model import Accept
from saslpy.passwords import make
from saslpy.passwords.prepare import to_store

from ..real import need
from ..transcript import Core

PASSWORDS = ["pencil", "p e n,c=il", "pässwörd", "\u00ad\u2168 ﬁ"]


@pytest.mark.parametrize("name", ["SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("user", ["user", "u=s,er", "üser"])
def test_scramp(name: str, password: str, user: str) -> None:
    """SASLprep included: what it does to the password, our stored keys have had done to them."""
    core = Core({user: make(name, to_store(password))})
    client = scramp.ScramClient([name], user, password)
    mechanism = named(name)
    assert mechanism is not None
    flow = mechanism.run(Client(client.get_client_first().encode()))
    done = drive(
        flow, core, lambda data: (client.set_server_first(data.decode()), client.get_client_final().encode())[1]
    )
    assert isinstance(done.verdict, Accept)
    assert done.final is not None
    client.set_server_final(done.final.decode())  # raises when the signature is wrong


@pytest.mark.parametrize("binding", ["tls-unique", "tls-server-end-point"])
def test_scramp_with_channel_binding(binding: str) -> None:
    core = Core({"user": make("SCRAM-SHA-256", "pencil")}, {binding: b"the channel"})
    client = scramp.ScramClient(["SCRAM-SHA-256-PLUS"], "user", "pencil", channel_binding=(binding, b"the channel"))
    mechanism = named("SCRAM-SHA-256-PLUS")
    assert mechanism is not None
    flow = mechanism.run(Client(client.get_client_first().encode()))
    done = drive(
        flow, core, lambda data: (client.set_server_first(data.decode()), client.get_client_final().encode())[1]
    )
    assert isinstance(done.verdict, Accept)
    assert done.final is not None
    client.set_server_final(done.final.decode())


class Gsasl:
    """The client of GNU SASL, a line of base64 for each message."""

    def __init__(self, mechanism: str, user: str, password: str, *options: str) -> None:
        self.process = subprocess.Popen(
            [
                *(
                    need("gsasl", package="gsasl"),
                    "--client",
                    "--quiet",
                    "--no-cb",
                    f"--mechanism={mechanism}",
                    *options,
                ),
                *(f"--authentication-id={user}", f"--password={password}"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == mechanism.encode()

    def read(self) -> bytes:
        assert self.process.stdout is not None
        return base64.b64decode(self.process.stdout.readline())

    def ask(self, data: bytes) -> bytes:
        assert self.process.stdin is not None
        self.process.stdin.write(base64.b64encode(data) + b"\n")
        self.process.stdin.flush()
        return self.read()

    def takes(self, data: bytes) -> bool:
        """Whether it takes this as the proof that we know the password; it answers with an empty line then."""
        stdout, _ = self.process.communicate(base64.b64encode(data) + b"\n", timeout=10)
        return stdout == b"\n"

    def __enter__(self) -> Gsasl:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
@pytest.mark.parametrize("password", ["pencil", "pässwörd"])
def test_gsasl(name: str, password: str) -> None:
    stored = make(name, password) if name.startswith("SCRAM") else f"{{PLAIN}}{password}"
    mechanism = named(name)
    assert mechanism is not None
    for typed, right, honest in ((password, True, True), (password, True, False), ("wrong", False, True)):
        with Gsasl(name, "user", typed) as client:
            first = client.read() or None  # it says "nothing yet" where the server is to speak first
            done = drive(mechanism.run(Client(first)), Core({"user": stored}), client.ask)
            assert isinstance(done.verdict, Accept) is right
            if done.final is not None:
                assert client.takes(done.final if honest else b"v=" + base64.b64encode(bytes(32))) is honest


def drive(flow: Any, core: Core, respond: Any) -> Done:
    """The server's side, with the client's answers from ``respond``."""
    value: Any = None
    while True:
        try:
            step = flow.send(value)
        except StopIteration as end:
            done: Done = end.value
            return done
        value = respond(step.data) if isinstance(step, Challenge) else core.perform(step)
