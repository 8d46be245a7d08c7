"""The relay test finds servers with flaws out, hands not even an open relay a message, and knows what it does not know."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from saslpy import cli
from saslpy.relaytest import attack as attack_module
from saslpy.relaytest import talk
from saslpy.relaytest.attack import NotReached, Tried, attack
from saslpy.relaytest.tricks import OUTSIDE, TLS, tricks
from saslpy.settings import load

from ..real.postfix import free_port
from .flawed import flawed


def configured(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "saslpy.toml"
    path.write_text(
        f"""
submission = {{ hostname = "mail.example.org", require_tls = false }}
backend.local = {{ type = "static", users = {{}} }}
[[listen]]
protocol = "submission"
address = "127.0.0.1:{port}"
{more}
[[relay.route]]
domains = ["*"]
via = "capture:mail"
"""
    )
    return path


def attacked(folder: Path, *flaws: str, more: str = "") -> dict[str, list[Tried]]:
    """What was tried on a server with flaws, by verdict. It never gets a message."""
    with flawed(*flaws) as (server, port):
        tried = attack(load(configured(folder, port, more)))
        assert server.messages == []
    found: dict[str, list[Tried]] = {}
    for one in tried:
        found.setdefault(one.verdict, []).append(one)
    return found


def names(tried: list[Tried]) -> set[str]:
    return {one.trick for one in tried}


def test_a_server_without_flaws_refuses_everything(tmp_path: Path) -> None:
    found = attacked(tmp_path)
    assert found.keys() == {"refused"}
    assert len(found["refused"]) > 120
    assert len(names(found["refused"])) == len(found["refused"]), "two tricks of one name"


def test_an_open_relay(tmp_path: Path) -> None:
    found = attacked(tmp_path, "open", "lf")
    assert len(found["relayed"]) > 100
    for one in ("no login", "the null sender", "RCPT: percent hack", "pipelined", "AUTH: a wrong password"):
        assert one in names(found["relayed"])


@pytest.mark.parametrize(
    ("flaw", "by", "not_by"),
    [
        ("null", {"the null sender"}, {"no login", "RCPT: percent hack"}),
        ("percent", {"RCPT: percent hack", "RCPT: bang path behind percent"}, {"no login", "RCPT: bang path"}),
        ("localhost", {"EHLO as localhost"}, {"no login", "EHLO as [127.0.0.1]"}),
        ("anyone", {"AUTH: a wrong password", "AUTH: ANONYMOUS", "AUTH: an empty response"}, {"no login"}),
        ("xclient", {"XCLIENT LOGIN=root"}, {"XCLIENT ADDR=127.0.0.1", "no login"}),
        ("lf open", {"lines that end in LF"}, set()),
    ],
)
def test_one_flaw(tmp_path: Path, flaw: str, by: set[str], not_by: set[str]) -> None:
    relayed = names(attacked(tmp_path, *flaw.split())["relayed"])
    assert by <= relayed
    assert not not_by & relayed


@pytest.mark.parametrize("flaw", ["", "injection"])
def test_what_was_said_before_tls(tmp_path: Path, flaw: str) -> None:
    issued = trustme.CA().issue_cert("mail.example.org")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "pair.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    with flawed(flaw, context=context) as (_, port):
        path = configured(tmp_path, port)
        path.write_text(path.read_text().replace("require_tls = false", 'tls = { certificate = "pair.pem" }'))
        tried = attack(load(path))
    relayed = {one.trick for one in tried if one.verdict == "relayed"}
    both = {"STARTTLS and MAIL in one segment", "STARTTLS and EHLO, MAIL in one segment"}
    assert relayed == (both if flaw else set())
    assert {one.tls for one in tried} == {False, True}
    assert {one.verdict for one in tried} <= {"relayed", "refused"}


@pytest.mark.parametrize("flaw", ["mute", "busy"])
def test_what_gives_no_answer_is_not_known(tmp_path: Path, flaw: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_module, "tricks", lambda own: list(tricks(own))[:3])
    monkeypatch.setattr(talk.Talk.__init__, "__defaults__", (0.1,))
    found = attacked(tmp_path, flaw)
    assert found.keys() == {"unknown"}
    assert found["unknown"][0].answered


def test_xclient_is_no_trick_for_those_who_may_say_it(tmp_path: Path) -> None:
    found = attacked(tmp_path, "xclient", more='xclient = ["127.0.0.1"]')
    assert found.keys() == {"refused", "skipped"}
    assert all(name.startswith("X") for name in names(found["skipped"]))


def test_among_the_proxies_it_speaks_for_a_stranger(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        settings = load(configured(tmp_path, listening.getsockname()[1], 'proxy_protocol = ["127.0.0.0/8"]'))
        target, source = attack_module._target(settings.listen[0], settings.submission)  # type: ignore[arg-type]
    assert target.header == b"PROXY TCP4 192.0.2.77 192.0.2.1 4711 587\r\n"
    assert source == "192.0.2.77"


def test_nothing_goes_to_anybody_who_exists() -> None:
    """Every recipient outside is in a domain that is nobody's, and no step ends a content that others may have begun."""
    for trick in tricks(b"mail.example.org"):
        for step in trick.steps:
            if step == TLS or not isinstance(step, bytes):
                continue
            for line in step.split(b"\n"):
                if b"RCPT TO:" in line and b"mail.example.org" not in line and b"@[127.0.0.1]" not in line:
                    assert OUTSIDE in line or b"<>" in line or b"<postmaster>" in line, line
            assert not step.endswith(b"\r\n.\r\n")
            assert b"\r\n.\r\nMAIL" not in step


def test_which_socket(tmp_path: Path) -> None:
    with flawed() as (server, port):
        settings = load(configured(tmp_path, port))
        assert {one.listen for one in attack(settings, 0)} == {0}
        with pytest.raises(NotReached, match=r"listen\[1\] is no submission socket"):
            attack(settings, 1)
        assert server.connections > 100


def test_nobody_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = configured(tmp_path, free_port())
    assert cli.main(["check", "--relay-test", "--config", str(path)]) == 75
    assert "is the daemon running, with this configuration?" in capsys.readouterr().err


def of(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attack_module, "tricks", lambda own: list(tricks(own))[:4])
    with flawed() as (_, port):
        command = ["check", "--relay-test", "--config", str(configured(tmp_path, port))]
        assert cli.main(command) == 0
        shown = capsys.readouterr().out
        assert "530" in shown
        assert shown.endswith(f"listen[0] (127.0.0.1:{port}): 4 tricks: 4 refused\n")
        assert cli.main([*command, "--json"]) == 0
        answer = of(capsys)
        assert answer["ok"]
        assert [one["verdict"] for one in answer["tried"]] == ["refused"] * 4
    with flawed("null") as (_, port):
        command = ["check", "--relay-test", "--listen", "0", "--config", str(configured(tmp_path, port))]
        assert cli.main(command) == 1
        assert "RELAYED" in capsys.readouterr().out
        assert cli.main([*command, "--json"]) == 1
        assert not of(capsys)["ok"]


def test_an_answer_cannot_write_to_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(talk.Reply(550, "\x1b[2Jno \u2028")) == r"550 \x1b[2Jno \u2028"


def test_listen_goes_with_the_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--listen", "0", "--config", str(configured(tmp_path, 1))]) == 2
    assert "--relay-test" in capsys.readouterr().err


def test_without_a_submission_socket(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "saslpy.toml"
    path.write_text(
        'backend.local = { type = "static", users = {} }\n[[listen]]\nprotocol = "saslauthd"\npath = "mux"\n'
    )
    assert cli.main(["check", "--relay-test", "--config", str(path)]) == 75
    assert "there is no [[listen]]" in capsys.readouterr().err
