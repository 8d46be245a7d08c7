"""Every setting that is dangerous, and what ``saslpy check`` makes of it: refused, a fault, or a warning."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from saslpy import checks
from saslpy.config import ConfigError
from saslpy.settings import load

from .test_options import CA, GOOD, TLS, pair

NAME = 'hostname = "mail.example.org"'
FIRST = '"submission"\n'


def legacy(networks: str, more: str = "") -> tuple[str, str]:
    return TLS, f'{TLS}\nlegacy = [{{ networks = ["{networks}"], sender = "p@example.org"{more} }}]'


def listen(key: str, network: str) -> tuple[str, str]:
    return FIRST, f'{FIRST}{key} = ["{network}"]\n'


def submission(line: str) -> tuple[str, str]:
    return TLS, f"{TLS}\n{line}"


def route(lines: str) -> tuple[str, str]:
    return 'via = "smtp://smarthost.example.net:587"', f'via = "smtp://smarthost.example.net:587"\n{lines}'


LEGACY_PATH = "submission.legacy[0].networks[0]"
CERTIFICATE = "submission.tls.certificate"


def said(folder: Path, text: str) -> list[tuple[str, str, str]]:
    """(kind, path, text) of all that check says of this configuration."""
    path = folder / "saslpy.toml"
    path.write_text(text)
    try:
        settings = load(path)
    except ConfigError as error:
        return [("refused", *fault.split(": ", 1)) for fault in error.faults]  # type: ignore[misc]
    return [
        *(("fault", *told) for told in checks.faults(settings)),
        *(("warning", *told) for told in checks.warnings(settings)),
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pair(tmp_path, "mail.example.org")
    other = trustme.CA().issue_cert("mail.example.org")
    other.private_key_pem.write_to_path(tmp_path / "other.key")
    with (tmp_path / "many.pem").open("wb") as file:
        for _ in range(11):
            file.write(CA.cert_pem.bytes())
    for name in ("other.key", "many.pem"):
        (tmp_path / name).chmod(0o600)
    return tmp_path


REMOTE = "submission.require_tls"
CLEAR = ("require_tls = false", "passwords and mail would cross the network in the clear")


@pytest.mark.parametrize(
    ("change", "kind", "path", "text"),
    [
        (submission('sender_binding = "off"'), "warning", "submission.sender_binding", "sends as anybody"),
        (submission('sender_binding = "envelope"'), "", "", ""),
        (submission(CLEAR[0]), "fault", REMOTE, CLEAR[1]),
        # the key and the certificate
        (
            (TLS, 'tls = { certificate = "pair.pem", key = "other.key" }'),
            "refused",
            "submission.tls.key",
            "not that of",
        ),
        ((NAME, 'hostname = "smtp.example.org"'), "warning", CERTIFICATE, "not for smtp.example.org"),
        # who needs no login
        (
            legacy("10.0.0.0/8"),
            "warning",
            LEGACY_PATH,
            "16777216 addresses, and whoever is in it sends as p@example.org",
        ),
        (legacy("172.16.0.0/12"), "warning", LEGACY_PATH, "1048576 addresses"),
        (legacy("100.64.0.0/10"), "warning", LEGACY_PATH, "4194304 addresses"),
        (legacy("fc00::/7"), "warning", LEGACY_PATH, "a /7 of IPv6"),
        (legacy("192.168.0.0/16"), "", "", ""),
        (legacy("127.0.0.0/8"), "", "", ""),
        (legacy("198.51.100.0/28"), "warning", LEGACY_PATH, "is a part of the Internet"),
        (legacy("11.0.0.0/8"), "refused", LEGACY_PATH, "an open relay"),
        (legacy("10.0.0.0/7"), "refused", LEGACY_PATH, "an open relay"),
        (legacy("0.0.0.0/0"), "refused", LEGACY_PATH, "an open relay"),
        (
            legacy("10.0.0.1", ", messages_per_hour = 0, recipients_per_day = 0"),
            "warning",
            "submission.legacy[0]",
            "has no limit",
        ),
        (legacy("10.0.0.1", ", messages_per_hour = 0"), "", "", ""),
        # who is believed
        (
            listen("proxy_protocol", "0.0.0.0/0"),
            "refused",
            "listen[0].proxy_protocol[0]",
            "a large part of the Internet",
        ),
        (listen("proxy_protocol", "10.0.0.0/8"), "warning", "listen[0].proxy_protocol[0]", "passes for any client"),
        (listen("proxy_protocol", "198.51.100.0/28"), "warning", "listen[0].proxy_protocol[0]", "16 addresses"),
        (listen("proxy_protocol", "198.51.100.7"), "", "", ""),
        (listen("proxy_protocol", "10.1.2.0/24"), "", "", ""),
        (listen("xclient", "::/0"), "refused", "listen[0].xclient[0]", "an open relay"),
        (listen("xclient", "10.0.0.0/8"), "warning", "listen[0].xclient[0]", "sends as any user, without a login"),
        (listen("xclient", "10.1.2.0/24"), "warning", "listen[0].xclient[0]", "256 addresses"),
        (listen("xclient", "127.0.0.0/8"), "", "", ""),
        (listen("xclient", "10.1.2.3"), "", "", ""),
        (listen("mechanisms", "ANONYMOUS"), "refused", "listen[0].mechanisms[0]", "an open relay"),
        # what a stolen password is good for
        (
            submission("limits = { messages_per_hour = 0, recipients_per_day = 0 }"),
            "warning",
            "submission.limits",
            "a login has no limit",
        ),
        (submission("limits.messages_per_hour = 0"), "", "", ""),
        (
            (TLS, 'tls = { certificate = "pair.pem", client_ca = "many.pem" }'),
            "warning",
            "submission.tls.client_ca",
            "holds 11 authorities",
        ),
        # the way to the next hop
        (route('tls = "none"'), "warning", "relay.route[0].tls", "in the clear"),
        (route('tls = "opportunistic"'), "", "", ""),
        (
            route('tls = "opportunistic"\nlogin = "joe"\npassword_file = "other.key"'),
            "refused",
            "relay.route[0].tls",
            "would let anybody on the way hear the password",
        ),
    ],
)
def test_dangers(folder: Path, change: tuple[str, str], kind: str, path: str, text: str) -> None:
    """One change to a configuration of which nothing is said, and all that is said then."""
    old, new = change
    assert old in GOOD
    found = said(folder, GOOD.replace(old, new, 1))
    if not kind:
        assert found == []
        return
    [one] = found
    assert one[:2] == (kind, path)
    assert text in one[2]


def test_who_wants_it_in_the_clear_hears_of_it(folder: Path) -> None:
    text = GOOD.replace(TLS, f"{TLS}\n{CLEAR[0]}").replace(FIRST, f"{FIRST}allow_remote = true\n")
    [(kind, path, told)] = said(folder, text)
    assert (kind, path) == ("warning", REMOTE)
    assert CLEAR[1] in told


def test_a_key_that_everybody_may_read(folder: Path) -> None:
    (folder / "pair.pem").chmod(0o644)
    [(kind, path, told)] = said(folder, GOOD)
    assert (kind, path) == ("warning", CERTIFICATE)
    assert "everybody may read it; chmod o-r" in told


def test_certificates_of_another_time(folder: Path) -> None:
    pair(folder, "mail.example.org", expires=datetime(2020, 1, 1, tzinfo=UTC))
    [(kind, path, told)] = said(folder, GOOD)
    assert (kind, path) == ("fault", CERTIFICATE)
    assert "has expired on 2020-01-01" in told
