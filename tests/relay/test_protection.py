"""TLS and logins on the way to a next hop: who is trusted with what."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import scramp
import trustme

from saslpy.protocols.smtp.envelope import Envelope
from saslpy.protocols.smtp.parameters import MailParameters
from saslpy.relay import dial

from ..real.sink import DROP, EXTENSIONS, HANG, Authenticate, ScriptedHop
from .host import JOE, Bench, bench, kinds, send
from .test_hop import HASTY

SECRET = "hush-hush"
ENCRYPTED = ("STARTTLS", *EXTENSIONS)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(made)
    return made


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def login(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "password").write_text(f"{SECRET}\n")
    return {"login": "joe", "password_file": tmp_path / "password"}


def abroad(hop: ScriptedHop) -> str:
    """The same hop, by an address of which nobody knows that it is this machine."""
    return f"{'smtps' if hop.implicit else 'smtp'}://0.0.0.0:{hop.port}"


def wires(hop: ScriptedHop) -> bytes:
    return b"".join(bytes(wire) for wire in hop.wire)


# --- TLS


async def test_starttls(authority: trustme.CA, ca_file: Path) -> None:
    async with bench() as place:
        script = await place.script(
            context=context(authority),
            extensions=("STARTTLS", "XOLD"),
            encrypted_extensions=("REQUIRETLS", "PIPELINING"),
        )
        hop = place.hop(script, tls="require", ca_file=ca_file)
        envelope = Envelope(JOE.sender, MailParameters(requiretls=True))
        assert kinds((await send(hop, envelope=envelope))[1]) == ["Delivered 250"]
        assert script.verbs() == ["EHLO", "STARTTLS", "EHLO", "MAIL", "RCPT", "DATA"]
        assert script.messages[0].mail.endswith(" REQUIRETLS")


async def test_smtps(authority: trustme.CA, ca_file: Path) -> None:
    async with bench() as place:
        script = await place.script(context=context(authority), implicit=True)
        assert kinds((await send(place.hop(script, ca_file=ca_file)))[1]) == ["Delivered 250"]
        assert script.verbs() == ["EHLO", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("implicit", [False, True])
async def test_certificates_that_are_not_good(authority: trustme.CA, ca_file: Path, implicit: bool) -> None:
    cases = {"of another authority": (trustme.CA(), "127.0.0.1"), "of another host": (authority, "other.test")}
    async with bench() as place:
        for signer, name in cases.values():
            script = await place.script(context=context(signer, name), extensions=ENCRYPTED, implicit=implicit)
            answers, _ = await send(place.hop(script, tls="require", ca_file=ca_file))
            assert kinds(answers) == ["Deferred 451"]
            assert answers[0].reply.enhanced.startswith("4.4.")
            assert "its certificate is not trusted" in place.lines[0]
            assert "MAIL" not in script.verbs()


async def test_the_systems_authorities_where_no_file_is_named(authority: trustme.CA) -> None:
    async with bench() as place:
        script = await place.script(context=context(authority), extensions=ENCRYPTED)
        assert kinds((await send(place.hop(script, tls="require")))[0]) == ["Deferred 451"]
        assert "not trusted" in place.lines[0]


async def test_require_never_goes_in_the_clear(login: dict[str, Any]) -> None:
    async with bench() as place:
        for answers in ({}, {"STARTTLS": b"454 4.7.0 not now\r\n"}, {"STARTTLS": b"502 no\r\n"}, {"STARTTLS": DROP}):
            script = await place.script(
                extensions=(*ENCRYPTED, "AUTH PLAIN") if answers else EXTENSIONS, answers=answers
            )
            assert kinds((await send(place.hop(abroad(script), **login)))[0]) == ["Deferred 451"]
            assert set(script.verbs()) <= {"EHLO", "STARTTLS"}


@pytest.mark.parametrize("tls", ["require", "opportunistic"])
async def test_a_handshake_that_does_not_come(tls: str, authority: trustme.CA) -> None:
    """ "Opportunistic", too, goes in the clear only where STARTTLS is not offered."""
    async with bench() as place:
        for answer in (b"220 go\r\n" + DROP, HANG, b"220 go\r\n15 03 01 this is no TLS record\r\n", b"454 no\r\n"):
            script = await place.script(extensions=ENCRYPTED, answers={"STARTTLS": answer}, context=context(authority))
            assert kinds((await send(place.hop(script, tls=tls, bounds=HASTY)))[0]) == ["Deferred 451"]
            assert "MAIL" not in script.verbs()


@pytest.mark.parametrize("tls", ["require", "opportunistic"])
@pytest.mark.parametrize("more", [b"250-evil\r\n250 AUTH PLAIN\r\n", b"250 x", b"\r\n"])
async def test_what_is_injected_behind_220(authority: trustme.CA, ca_file: Path, tls: str, more: bytes) -> None:
    """CVE-2011-0411 towards a client: what stood in the clear must not be read as if it had come encrypted."""
    async with bench() as place:
        script = await place.script(
            context=context(authority), extensions=ENCRYPTED, answers={"STARTTLS": b"220 go\r\n" + more}
        )
        assert kinds((await send(place.hop(script, tls=tls, ca_file=ca_file)))[0]) == ["Deferred 451"]
        assert "behind its answer to STARTTLS" in place.lines[0]
        assert script.verbs() == ["EHLO", "STARTTLS"]


async def test_opportunistic_takes_any_certificate_or_none(authority: trustme.CA) -> None:
    async with bench() as place:
        for extensions in (ENCRYPTED, EXTENSIONS):
            script = await place.script(context=context(authority, "other.test"), extensions=extensions)
            assert kinds((await send(place.hop(abroad(script), tls="opportunistic")))[1]) == ["Delivered 250"]
            assert ("STARTTLS" in script.verbs()) == (extensions is ENCRYPTED)


async def test_none_is_none(authority: trustme.CA) -> None:
    async with bench() as place:
        script = await place.script(context=context(authority), extensions=ENCRYPTED)
        assert kinds((await send(place.hop(script, tls="none")))[1]) == ["Delivered 250"]
        assert "STARTTLS" not in script.verbs()


def test_no_old_protocol() -> None:
    for made in (dial._verifying(""), dial._trusting()):
        assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert dial._verifying("").verify_mode == ssl.CERT_REQUIRED
    assert dial._verifying("").check_hostname


# --- logins


async def _plain(argument: str, ask: Callable[[bytes], Awaitable[bytes]]) -> bytes:
    good = argument == "PLAIN " + base64.b64encode(f"\0joe\0{SECRET}".encode()).decode()
    return b"235 2.7.0 ok\r\n" if good else b"535 5.7.8 no\r\n"


async def _scram(argument: str, ask: Callable[[bytes], Awaitable[bytes]]) -> bytes:
    name, initial = argument.split(" ")
    mechanism = scramp.ScramMechanism(name)
    secrets = mechanism.make_auth_info(SECRET, iteration_count=4096)
    server = mechanism.make_server(lambda user: secrets)
    try:
        server.set_client_first(base64.b64decode(initial).decode())
        answer = await ask(b"334 " + base64.b64encode(server.get_server_first().encode()) + b"\r\n")
        server.set_client_final(base64.b64decode(answer).decode())
    except scramp.ScramException:
        return b"535 5.7.8 no\r\n"
    final = base64.b64encode(server.get_server_final().encode())
    assert await ask(b"334 " + final + b"\r\n") == b""
    return b"235 2.7.0 ok\r\n"


async def logged_in(place: Bench, script: ScriptedHop, **keys: Any) -> list[str]:
    answers, outcomes = await send(place.hop(script, **keys))
    return kinds(outcomes or answers)


@pytest.mark.parametrize(
    ("offered", "authenticate"),
    [("PLAIN LOGIN", _plain), ("PLAIN SCRAM-SHA-1", _scram), ("PLAIN SCRAM-SHA-1 SCRAM-SHA-256", _scram)],
)
async def test_a_login(login: dict[str, Any], offered: str, authenticate: Authenticate) -> None:
    async with bench() as place:
        script = await place.script(extensions=(*EXTENSIONS, f"AUTH {offered}"), authenticate=authenticate)
        assert await logged_in(place, script, **login) == ["Delivered 250"]
        (auth,) = [line for line in script.commands if line.startswith("AUTH")]
        assert auth.split(" ")[1] == offered.split(" ")[-1].replace("LOGIN", "PLAIN")


async def test_a_login_that_fails_is_nobodys_refusal(login: dict[str, Any], tmp_path: Path) -> None:
    """535 would make our own client forget its own password."""
    (tmp_path / "password").write_text("wrong\n")
    async with bench() as place:
        script = await place.script(extensions=(*EXTENSIONS, "AUTH PLAIN"), authenticate=_plain)
        assert await logged_in(place, script, **login) == ["Deferred 451"]
        assert "AUTH PLAIN: 535 5.7.8 no" in place.lines[0]
        assert "wrong" not in place.lines[0]
        assert "MAIL" not in script.verbs()


@pytest.mark.parametrize("offered", ["PLAIN", "LOGIN", "XOAUTH2", "PLAIN LOGIN XOAUTH2", "OAUTHBEARER"])
async def test_no_password_in_the_clear(login: dict[str, Any], offered: str) -> None:
    async with bench() as place:
        script = await place.script(extensions=(*EXTENSIONS, f"AUTH {offered}"), authenticate=_plain)
        answers, _ = await send(place.hop(abroad(script), tls="none", **login))
        assert kinds(answers) == ["Deferred 451"]
        assert script.verbs() == ["EHLO"]
        assert SECRET.encode() not in wires(script)


async def test_scram_in_the_clear_shows_nothing(login: dict[str, Any]) -> None:
    async with bench() as place:
        script = await place.script(extensions=(*EXTENSIONS, "AUTH PLAIN SCRAM-SHA-256"), authenticate=_scram)
        _answers, outcomes = await send(place.hop(abroad(script), tls="none", **login))
        assert kinds(outcomes) == ["Delivered 250"]
        assert base64.b64encode(SECRET.encode()) not in wires(script)


async def test_a_password_over_tls(authority: trustme.CA, ca_file: Path, login: dict[str, Any]) -> None:
    async with bench() as place:
        script = await place.script(
            context=context(authority, "0.0.0.0"),
            extensions=("STARTTLS",),
            encrypted_extensions=("AUTH PLAIN",),
            authenticate=_plain,
        )
        _answers, outcomes = await send(place.hop(abroad(script), ca_file=ca_file, **login))
        assert kinds(outcomes) == ["Delivered 250"], place.lines
        assert script.verbs()[:4] == ["EHLO", "STARTTLS", "EHLO", "AUTH"]


async def test_no_secret_is_printed(login: dict[str, Any]) -> None:
    async with bench() as place:
        script = await place.script(extensions=(*EXTENSIONS, "AUTH PLAIN"), authenticate=_plain)
        hop = place.hop(script, **login)
        await send(hop)
        assert SECRET not in repr(hop) + "".join(place.lines)
