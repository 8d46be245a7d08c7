"""``saslpy test`` and ``saslpy check`` with mechanisms that a store can serve, or not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from saslpy.passwords import make

from ..real.saslpy import configured, run, serving

SCRAM = make("SCRAM-SHA-256", "secret")
USERS = f"""[backend.local]
type = "static"
users = {{ joe = "{{PLAIN}}secret", ann = "{SCRAM}" }}
"""
DOVECOT = """
[[listen]]
protocol = "dovecot"
path = "auth"
"""


def config(place: Path, mechanisms: str, users: str = USERS) -> str:
    path = configured(place, users, f"min_seconds = 0\nmechanisms = [{mechanisms}]")
    path.write_text(path.read_text() + DOVECOT)
    return str(path)


def tried(config: str, login: str, password: str, mechanism: str, *options: str) -> tuple[int, dict[str, str]]:
    done = run(
        *("test", login, "--password-stdin", "--config", config, "--mechanism", mechanism, "--json", *options),
        password=password,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


def test_through_the_configuration(place: Path) -> None:
    path = config(place, '"PLAIN", "SCRAM-SHA-256", "CRAM-MD5"')
    assert tried(path, "ann", "secret", "SCRAM-SHA-256")[0] == 0
    status, told = tried(path, "ann", "wrong", "SCRAM-SHA-256")
    assert (status, told["reason"]) == (1, "wrong-password")
    assert tried(path, "joe", "secret", "SCRAM-SHA-256")[0] == 0
    status, told = tried(path, "joe", "secret", "CRAM-MD5")
    assert status == 2
    assert "CRAM-MD5 is not offered: backend local: 1 of 2 users" in told["stderr"]


def test_through_a_dovecot_socket(place: Path) -> None:
    path = config(place, '"PLAIN", "LOGIN", "SCRAM-SHA-256"')
    via = ("--via", str(place / "auth"))
    with serving(Path(path)):
        for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256"):
            status, told = tried(path, "joe", "secret", mechanism, *via)
            assert (status, told["protocol"]) == (0, "dovecot")
            assert tried(path, "joe", "wrong", mechanism, *via)[0] == 1
        status, told = tried(path, "joe", "secret", "CRAM-MD5", *via)
        assert status == 75
        assert "it does not offer CRAM-MD5, only SCRAM-SHA-256, PLAIN, LOGIN" in told["stderr"]


@pytest.mark.parametrize(
    ("users", "mechanism", "why"),
    [
        (USERS, "CRAM-MD5", "backend local: 1 of 2 users have no secret for it"),
        (USERS, "XOAUTH2", "no backend checks tokens"),
        (USERS, "ANONYMOUS", "[auth] anonymous is empty"),
        (
            '[backend.local]\ntype = "pam"\nservice = "smtp"\n',
            "SCRAM-SHA-256",
            "backend local can check passwords, but",
        ),
    ],
)
def test_check_says_what_is_not_offered(place: Path, users: str, mechanism: str, why: str) -> None:
    done = run("check", "--json", "--config", config(place, f'"PLAIN", "{mechanism}"', users))
    findings = json.loads(done.stdout)["findings"]
    told = [one for one in findings if one["what"] == "listen[1].mechanisms"]
    assert [one["state"] for one in told] == ["warning"]
    assert told[0]["detail"].startswith(f"{mechanism} is not offered: {why}")
