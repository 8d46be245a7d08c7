"""``saslpy check`` on next hops: what it says of each, whatever that one does, and what the host gets to hear."""

from __future__ import annotations

import base64
import json
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio
import trustme

from saslpy.relay import probing
from saslpy.relay.options import Relay
from saslpy.relay.probing import Probed
from saslpy.relay.routes import Route

from ..real.postfix import free_port
from ..real.saslpy import run
from ..real.sink import DROP, EXTENSIONS, HANG, ScriptedHop
from .host import Bench, bench

CA = trustme.CA()
ENCRYPTED = ("STARTTLS", *EXTENSIONS)


def context(name: str = "0.0.0.0") -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(name).configure_cert(made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    (tmp_path / "password").write_text("hush-hush\n")
    return tmp_path


def abroad(hop: ScriptedHop) -> str:
    """The hop by an address of which nobody knows that it is this machine."""
    return f"smtp{'s' if hop.implicit else ''}://0.0.0.0:{hop.port}"


async def probe(*routes: Route, folder: Path = Path(), offline: bool = False) -> list[Probed]:
    return await probing.probe(Relay(route=routes, timeout_seconds=0.5), "me.test", folder, offline)


async def joe_alone(argument: str, ask: Callable[[bytes], Awaitable[bytes]]) -> bytes:
    mechanism, _, initial = argument.partition(" ")
    right = mechanism == "PLAIN" and base64.b64decode(initial) == b"\0joe\0hush-hush"
    return b"235 2.7.0 welcome\r\n" if right else b"535 5.7.8 who are you?\r\n"


async def test_one_that_works(folder: Path) -> None:
    async with bench() as at:
        told = (*ENCRYPTED, "AUTH PLAIN")
        hop = await at.script(
            context=context(), extensions=ENCRYPTED, encrypted_extensions=told, authenticate=joe_alone
        )
        route = Route(
            domains=("*",), via=abroad(hop), login="joe", password_file=folder / "password", ca_file=folder / "ca.pem"
        )
        [found] = await probe(route)
        with trio.fail_after(2):
            while "QUIT" not in hop.verbs():
                await trio.sleep(0.01)
    assert (found.what, found.state) == ("relay.route[0].via", "ok")
    assert found.detail == (
        f"smtp://0.0.0.0:{hop.port}: TLSv1.3, certificate verified; logged in as joe by PLAIN; "
        "offers SIZE 10000000 PIPELINING 8BITMIME SMTPUTF8 DSN"
    )
    assert found.ms is not None
    assert hop.verbs() == ["EHLO", "STARTTLS", "EHLO", "AUTH", "QUIT"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"context": context("other.test"), "extensions": ENCRYPTED}, "TLS: its certificate is not trusted: "),
        ({}, "it does not offer STARTTLS"),
        ({"answers": {"greeting": b"554 5.7.1 go away\r\n"}}, "its greeting: 554 5.7.1 go away"),
        (
            {"answers": {"greeting": b"220 x\x1b[2J\r\n", "EHLO": b"550 no\x1b[2J\r\n", "HELO": b"550 \x07\r\n"}},
            "EHLO: ",
        ),
        ({"answers": {"greeting": HANG}}, "does not answer within 0.5 s"),
        ({"answers": {"greeting": DROP}}, "has closed the connection"),
        ({"answers": {"greeting": b"+OK POP3 ready\r\n"}}, "no SMTP: "),
        ({"context": context(), "implicit": True}, "does not shake hands|certificate is not trusted"),
    ],
)
async def test_those_that_do_not(folder: Path, options: dict[str, object], expected: str) -> None:
    async with bench() as at:
        hop = await at.script(**options)
        [found] = await probe(Route(domains=("*",), via=abroad(hop)))
    assert found.state == "failed"
    assert found.detail.startswith(f"{abroad(hop)}: ")
    assert any(one in found.detail for one in expected.split("|")), found.detail
    assert found.detail.isprintable()


async def test_a_login_that_is_refused(folder: Path) -> None:
    (folder / "password").write_text("another\n")
    async with bench() as at:
        hop = await at.script(extensions=(*EXTENSIONS, "AUTH PLAIN"), authenticate=joe_alone)
        route = Route(
            domains=("*",), via=f"smtp://127.0.0.1:{hop.port}", login="joe", password_file=folder / "password"
        )
        [found] = await probe(route)
    assert found.state == "failed"
    assert "does not let us log in as joe: AUTH PLAIN: 535 5.7.8 who are you?" in found.detail


async def test_who_says_our_password_back(folder: Path) -> None:
    async def echo(argument: str, ask: Callable[[bytes], Awaitable[bytes]]) -> bytes:
        return b"535 5.7.8 hush-hush is not it\r\n"

    async with bench() as at:
        hop = await at.script(extensions=(*EXTENSIONS, "AUTH PLAIN"), authenticate=echo)
        route = Route(
            domains=("*",), via=f"smtp://127.0.0.1:{hop.port}", login="joe", password_file=folder / "password"
        )
        [found] = await probe(route)
    assert found.state == "failed"
    assert "hush" not in repr(found)


async def test_all_at_once_and_in_order(folder: Path) -> None:
    """Four silent hosts take the time of one; a host that is down is a warning where another one works."""
    nobody = f"smtp://127.0.0.1:{free_port()}"

    async def of(at: Bench) -> list[Probed]:
        works = await at.script()
        silent = [await at.script(answers={"greeting": HANG}) for _ in range(4)]
        urls = [f"smtp://127.0.0.1:{one.port}" for one in (works, *silent)]
        start = trio.current_time()
        found = await probe(
            Route(domains=("a.test",), via=(nobody, urls[0])),
            Route(domains=("*",), via=tuple(urls[1:])),
            Route(domains=("b.test",), via=f"lmtp:{folder}/nobody"),
        )
        assert trio.current_time() - start < 1.5
        return found

    async with bench() as at:
        found = await of(at)
    assert [(one.what, one.state) for one in found] == [
        ("relay.route[0].via[0]", "warning"),
        ("relay.route[0].via[1]", "ok"),
        *((f"relay.route[1].via[{n}]", "failed") for n in range(4)),
        ("relay.route[2].via", "failed"),
    ]
    assert found[0].detail == f"{nobody}: cannot be reached: Connection refused; mail goes by the other host"
    assert "no TLS, within this machine; offers SIZE" in found[1].detail
    assert found[6].detail == f"lmtp:{folder}/nobody: cannot be reached: No such file or directory"


async def test_a_folder_is_looked_at_and_not_made(folder: Path) -> None:
    good = Route(domains=("*",), via="capture:mail")
    bad = Route(domains=("a.test",), via="capture:password")
    server = Route(domains=("b.test",), via="smtp://127.0.0.1:1")
    first, second = await probe(good, bad, server, folder=folder, offline=True)
    assert (first.state, first.detail) == ("ok", f"capture:{folder}/mail: can be written to")
    assert (second.state, second.detail) == ("failed", f"capture:{folder}/password: {folder}/password is no folder")
    assert not (folder / "mail").exists()


async def test_the_command(place: Path) -> None:
    """Its table, as JSON too; ``--offline`` asks nobody."""
    path, user = place / "saslpy.toml", 'user = "root"' if os.geteuid() == 0 else ""

    async def check(*options: str) -> tuple[int, str]:
        done = await trio.to_thread.run_sync(lambda: run("check", "--config", str(path), *options))
        return done.returncode, done.stdout

    async with bench() as at:
        hop = await at.script()
        down = free_port()
        path.write_text(
            f"""[daemon]
run_dir = "run"
{user}
[backend.local]
type = "static"
users = {{}}
[[listen]]
protocol = "submission"
address = "127.0.0.1:{free_port()}"
[submission]
hostname = "mail.example.org"
require_tls = false
[[relay.route]]
domains = ["*"]
via = "smtp://127.0.0.1:{hop.port}"
"""
        )
        status, shown = await check()
        assert status == 0, shown
        [line] = [line for line in shown.splitlines() if line.startswith("relay.route[0].via")]
        assert line.split()[1:3] == ["ok", f"smtp://127.0.0.1:{hop.port}:"]
        assert "offers SIZE 10000000" in line
        assert line.endswith(" ms)")
        path.write_text(path.read_text().replace(str(hop.port), str(down)))
        status, shown = await check("--json")
        assert status == 1
        told = json.loads(shown)
        assert told["ok"] is False
        [found] = [one for one in told["findings"] if one["what"] == "relay.route[0].via"]
        assert found["state"] == "failed"
        assert found["detail"] == f"smtp://127.0.0.1:{down}: cannot be reached: Connection refused"
        assert (await check("--offline"))[0] == 0


async def test_a_name_that_cannot_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(trio.socket, "getaddrinfo", nobody)
    [found] = await probe(Route(domains=("*",), via="smtp://smarthost.example.net:587"))
    assert found.detail == (
        "smtp://smarthost.example.net:587: cannot be reached: its name cannot be looked up: "
        "Temporary failure in name resolution"
    )
