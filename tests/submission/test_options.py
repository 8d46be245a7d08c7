"""``[submission]``, ``[relay]`` and their sockets as they are read: what is refused, and what comes of the rest."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from saslpy import checks
from saslpy.config import ConfigError
from saslpy.listeners.submission import SubmissionListen
from saslpy.settings import Settings, load
from saslpy.submission import checkup
from saslpy.submission.fixups import DROPPED

GOOD = """
backend.local = { type = "static", users = {} }
[[listen]]
protocol = "submission"
address = "0.0.0.0:587"
[[listen]]
protocol = "submissions"
address = "127.0.0.1:465"
[submission]
hostname = "mail.example.org"
tls = { certificate = "pair.pem" }
[[relay.route]]
domains = ["*"]
via = "smtp://smarthost.example.net:587"
"""

CA = trustme.CA()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return pair(tmp_path, "mail.example.org")


def pair(folder: Path, *names: str, expires: datetime = datetime(2100, 1, 1, tzinfo=UTC)) -> Path:
    """The folder, with a certificate for these names in it."""
    issued = CA.issue_cert(*names, not_after=expires)
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "pair.pem")
    (folder / "pair.pem").chmod(0o600)
    return folder


def read(folder: Path, text: str) -> Settings:
    path = folder / "saslpy.toml"
    path.write_text(text)
    return load(path)


def changed(old: str, new: str) -> str:
    assert old in GOOD, old
    return GOOD.replace(old, new, 1)


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read(folder, text)
    return error.value.faults


def test_a_good_one(folder: Path) -> None:
    settings = read(folder, GOOD)
    assert settings.submission is not None
    assert settings.relay is not None
    assert settings.submission.tls.certificate == folder / "pair.pem"
    assert settings.submission.rules.ids == ("mail.example.org",)
    assert settings.relay.route[0].domains == ("*",)
    first, second = settings.listen
    assert isinstance(first, SubmissionListen)
    assert isinstance(second, SubmissionListen)
    assert (first.public, first.implicit, second.public, second.implicit) == (True, False, False, True)
    assert first.offers(("PLAIN", "EXTERNAL", "ANONYMOUS", "SCRAM-SHA-256-PLUS")) == ("PLAIN",)
    assert "PRIVATE" not in repr(settings)
    assert list(checks.faults(settings)) == list(checks.warnings(settings)) == []


def test_those_without_a_submission_socket_need_none(tmp_path: Path) -> None:
    settings = read(
        tmp_path, 'backend.local = { type = "static", users = {} }\n[[listen]]\nprotocol = "saslauthd"\npath = "mux"\n'
    )
    assert (settings.submission, settings.relay) == (None, None)


ROUTE = GOOD[GOOD.index("[[relay.route]]") :]
TLS = 'tls = { certificate = "pair.pem" }'


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        # what would relay without a login
        (
            TLS,
            TLS + '\nlegacy = [{ networks = ["0.0.0.0/0"], sender = "p@example.org" }]',
            "submission.legacy[0].networks[0]: 0.0.0.0/0 is a large part of the Internet, and whoever is in it could "
            "send without a login: an open relay",
        ),
        (
            TLS,
            TLS + '\nlegacy = [{ networks = ["192.0.2.1", "::/1"], sender = "p@example.org" }]',
            "submission.legacy[0].networks[1]: ::/1 is a large part of the Internet",
        ),
        ('"submissions"', '"submissions"\nxclient = ["0.0.0.0/0"]', "listen[1].xclient[0]: 0.0.0.0/0 is a large part"),
        ('"submission"', '"submission"\nproxy_protocol = ["::/0"]', "listen[0].proxy_protocol[0]: ::/0 is a large"),
        (
            '"submission"',
            '"submission"\nmechanisms = ["PLAIN", "ANONYMOUS"]',
            "listen[0].mechanisms[1]: with ANONYMOUS anybody could send: an open relay",
        ),
        # what could not work
        (ROUTE, "", "relay.route: is required: listen[0] takes mail, and nothing says where it goes"),
        (ROUTE, "[relay]", "relay.route: there is none, so no mail could go anywhere"),
        (TLS, "", "submission.tls.certificate: is required: listen[0] wants TLS"),
        (TLS, "require_tls = false", "submission.tls.certificate: is required: listen[1] wants TLS"),
        ("pair.pem", "none.pem", "submission.tls.certificate: "),
        (
            '"submission"',
            '"submission"\nmechanisms = ["EXTERNAL"]',
            "listen[0].mechanisms[0]: EXTERNAL needs [submission.tls] client_ca",
        ),
        ("[[relay", '[relay]\nmode = "queue"\n[[relay', "relay.mode: there is no queue yet"),
        ("[[relay", '[relay]\nmode = "prox"\n[[relay', "relay.mode: expected one of proxy, queue, got 'prox'"),
        ("[[relay", "[relay]\ntimeout_seconds = 0\n[[relay", "relay.timeout_seconds: must be from 0.1"),
        (
            'hostname = "mail.example.org"',
            "future_release = -1",
            "submission.future_release: must be from 0 to 999999999",
        ),
        ("[[relay", "[relay]\nfinal_timeout_seconds = 0\n[[relay", "relay.final_timeout_seconds: must be from 0.1"),
        (ROUTE, ROUTE + ROUTE, "relay.route[1].domains[0]: route[0] is for '*' already"),
        ('"smtp:', '"sntp:', "relay.route[0].via: expected"),
        ("hostname", "hostnam", "submission.hostnam: unknown key; did you mean 'hostname'?"),
        ('"mail.example.org"', '"mail example"', "submission.hostname: 'mail example' is no domain"),
        ('"mail.example.org"', '"[192.0.2.1]"', "submission.hostname: '[192.0.2.1]' is no domain"),
        (TLS, TLS + "\nworkers = 0", "submission.workers: must be from 1 to 64"),
        (TLS, TLS + '\nsender_binding = "none"', "submission.sender_binding: expected one of strict, envelope, off"),
        (TLS, TLS + "\ndata_timeout = 0", "submission.data_timeout: must be from 0.1"),
        (TLS, TLS + '\nremove_headers = ["X Y"]', "submission.remove_headers[0]: 'X Y' is no field's name"),
        (TLS, TLS + '\nremove_headers = ["F*"]', "submission.remove_headers[0]: 'F*' would take From out of every"),
        (TLS, TLS + '\nauthserv_ids = ["a b"]', "submission.authserv_ids[0]: 'a b' is no domain"),
        (TLS, TLS + "\nlimits.message_size = -1", "submission.limits.message_size: must be from 0"),
        (TLS, TLS + "\nlimits.line_length = 100", "submission.limits.line_length: a line may have 998 octets"),
        (TLS, TLS + "\nlimits.errors = 0", "submission.limits.errors: must be from 1"),
        (TLS, TLS + '\nlegacy = [{ networks = [], sender = "p@example.org" }]', "networks: names none"),
        (TLS, TLS + '\nlegacy = [{ networks = ["10.0.0.1"], sender = "p" }]', "legacy[0].sender: 'p' is no address"),
        (
            TLS,
            TLS
            + '\nlegacy = [{ networks = ["10.0.0.1"], sender = "a@x.test" },'
            + ' { networks = ["10.0.0.1"], sender = "b@x.test" }]',
            "submission.legacy[1].networks[0]: legacy[0] has 10.0.0.1/32 already",
        ),
        ('"submission"', '"submission"\nread_timeout = 5', "listen[0].read_timeout: [submission] has the timeouts"),
        ("0.0.0.0:587", "localhost:587", "listen[0].address: 'localhost' is no IP address"),
        ("0.0.0.0:587", "587", 'listen[0].address: expected "host:port"'),
    ],
)
def test_faults(folder: Path, old: str, new: str, expected: str) -> None:
    told = faults(folder, changed(old, new))
    assert any(expected in fault for fault in told), told


def test_a_faulty_listener_moves_no_number(folder: Path) -> None:
    text = changed('"submission"', '"submission"\nmax_connections = 0').replace(ROUTE, "")
    assert "relay.route: is required: listen[1] takes mail, and nothing says where it goes" in faults(folder, text)


def test_legacy_networks(folder: Path) -> None:
    settings = read(
        folder,
        changed(
            TLS,
            TLS
            + """
[[submission.legacy]]
networks = ["10.0.0.0/8", "2001:db8::/64"]
sender = "All@Example.ORG"
messages_per_hour = 7
[[submission.legacy]]
networks = ["10.1.0.0/16"]
sender = "printer@example.org"
""",
        ),
    )
    assert settings.submission is not None
    of = settings.submission.legacy_of
    found = of("10.0.0.1")
    assert found is not None
    assert (found.login, found.of_login.messages_per_hour) == ("legacy:All@example.org", 7)
    for client, sender in (("10.1.0.1", "printer@example.org"), ("::ffff:10.1.0.1", "printer@example.org")):
        smaller = of(client)
        assert smaller is not None
        assert smaller.sender == sender
    assert of("2001:db8::5") == found
    assert of("192.0.2.1") is of("") is of("unix") is None


def test_what_the_server_is_given(folder: Path) -> None:
    text = changed(
        TLS, TLS + '\nremove_headers = ["X-Mailer"]\nauthserv_ids = ["a.test"]\nlimits.recipients_per_message = 3'
    )
    settings = read(folder, text)
    assert settings.submission is not None
    assert settings.submission.limits.of_session.recipients == 3
    assert settings.submission.limits.of_login.messages_per_hour == 500
    rules = settings.submission.rules
    assert (rules.ids, rules.dropped) == (("mail.example.org", "a.test"), (*DROPPED, "X-Mailer"))


def test_without_a_hostname_it_is_the_machines(folder: Path) -> None:
    settings = read(folder, changed('hostname = "mail.example.org"\n', ""))
    assert settings.submission is not None
    assert settings.submission.hostname


NOW = datetime(2026, 11, 24, tzinfo=UTC)


def told(settings: Settings, kind: str, now: datetime = NOW) -> dict[str, str]:
    found = {"faults": checkup.faults, "warnings": checkup.warnings}[kind](settings, now)
    return dict(found)


def test_check_names_certificates(folder: Path) -> None:
    pair(folder, "smtp.example.net", expires=datetime(2026, 12, 1, tzinfo=UTC))
    settings = read(folder, GOOD)
    path = "submission.tls.certificate"
    assert told(settings, "faults") == {}
    assert "is for smtp.example.net, and not for mail.example.org" in told(settings, "warnings")[path]
    assert list(checkup._ends_soon("x", next(checkup.certificates(settings.submission.tls))[1], NOW)) == [  # type: ignore[union-attr]
        ("x", "expires on 2026-12-01 00:00 UTC")
    ]
    late, early = datetime(2026, 12, 2, tzinfo=UTC), datetime(1999, 1, 1, tzinfo=UTC)
    assert "has expired on 2026-12-01 00:00 UTC" in told(settings, "faults", late)[path]
    assert "is valid from 2000-01-01 00:00 UTC only" in told(settings, "faults", early)[path]
    (folder / "pair.pem").chmod(0o644)
    assert (
        path,
        f"{folder / 'pair.pem'} holds secrets and everybody may read it; chmod o-r {folder / 'pair.pem'}",
    ) in (list(checks.warnings(settings)))


def test_check_names_files_with_passwords(folder: Path) -> None:
    (folder / "password").write_text("secret\n")
    settings = read(folder, GOOD + 'login = "joe"\npassword_file = "password"\n')
    (folder / "password").chmod(stat.S_IRUSR | stat.S_IROTH)
    assert "relay.route[0].password_file" in dict(checks.warnings(settings))


def test_check_refuses_passwords_in_the_clear(folder: Path) -> None:
    text = changed(TLS, TLS + "\nrequire_tls = false")
    fault = told(read(folder, text), "faults")["submission.require_tls"]
    assert "others can reach listen[0] (0.0.0.0:587): passwords and mail would cross the network in the clear" in fault
    settings = read(folder, text.replace('"submission"', '"submission"\nallow_remote = true'))
    assert told(settings, "faults") == {}
    assert "submission.require_tls" in told(settings, "warnings")
    settings = read(folder, text.replace("0.0.0.0", "127.0.0.1"))
    assert told(settings, "faults") == told(settings, "warnings") == {}


def test_check_names_what_nobody_uses(folder: Path) -> None:
    mux = 'backend.local = { type = "static", users = {} }\n[[listen]]\nprotocol = "saslauthd"\npath = "mux"\n'
    settings = read(folder, mux + "[submission]\n" + ROUTE)
    assert "nobody can hand in mail" in told(settings, "faults")["relay"]
    assert "there is no [[listen]]" in told(settings, "warnings")["submission"]


@pytest.mark.parametrize("via", ["smtp://127.0.0.1:587", "smtp://localhost:587", "smtp://0.0.0.0:587"])
def test_check_refuses_circles(folder: Path, via: str) -> None:
    settings = read(folder, changed("smtp://smarthost.example.net:587", via))
    assert "is listen[0]: mail would go in a circle" in told(settings, "faults")["relay.route[0].via"]
    settings = read(folder, changed("smtp://smarthost.example.net:587", via.replace("587", "25")))
    assert told(settings, "faults") == {}


def test_check_warns_where_nobody_can_hold_a_message(folder: Path) -> None:
    text = GOOD.replace('hostname = "mail.example.org"', 'hostname = "mail.example.org"\nfuture_release = 86400')
    assert "submission.future_release" not in told(read(folder, text), "warnings")
    text += '[[relay.route]]\ndomains = ["example.org"]\nvia = "lmtp:/run/dovecot/lmtp"\n'
    found = told(read(folder, text), "warnings")["submission.future_release"]
    assert found.startswith("nobody at relay.route[1] can hold a message")


def test_check_recommends_and_warns(folder: Path) -> None:
    text = GOOD + '[[relay.route]]\ndomains = ["example.org"]\nvia = "capture:mail"\n'
    text = text.replace(TLS, TLS + '\nlegacy = [{ networks = ["192.0.2.0/28", "10.0.0.1"], sender = "p@example.org" }]')
    text = text.replace('hostname = "mail.example.org"', 'hostname = "mail"')
    found = told(read(folder, text), "warnings")
    assert found.keys() == {
        "submission.hostname",
        "submission.tls.certificate",
        "submission.legacy[0].networks[0]",
        "relay.route",
        "relay.route[1].via",
    }
    assert "a queue will take it at once, when there is one" in found["relay.route"]
