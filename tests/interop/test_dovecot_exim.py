"""A real Exim, both ways: its dovecot driver and its saslauthd condition, set up by the files that contrib has for them."""

from __future__ import annotations

import base64
import os
import smtplib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ..real.exim import Exim
from ..real.postfix import gsasl, swaks
from ..real.saslpy import Daemon, configured, folder, serving

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(os.geteuid() != 0 and not os.environ.get("CI"), reason="Exim wants root"),
]

CONTRIB = Path(__file__).parents[2] / "contrib/exim"
LOGIN, PASSWORD = "joe@example.org", "s3cret pass"
AWAY = "joe@away.example"
OFF = "off@example.org"
MECHANISMS = ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[Daemon]:
    config = configured(
        place,
        f'[backend.local]\ntype = "static"\n[backend.local.users]\n"{LOGIN}" = "{{PLAIN}}{PASSWORD}"\n'
        f'"{OFF}" = {{ password = "{{PLAIN}}{PASSWORD}", disabled = true }}\n'
        '[backend.away]\ntype = "mysql"\nsocket = "no-such-socket"\nuser = "x"\ndatabase = "x"\nschema = "extmail"\n',
        f'mechanisms = {MECHANISMS}\nmin_seconds = 0\n[[auth.route]]\ndomains = ["away.example"]\nchain = ["away"]\n',
        '[[listen]]\nprotocol = "dovecot"\npath = "auth"\nmode = "0666"\n',
    )
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module", params=["dovecot", "saslauthd"])
def exim(request: pytest.FixtureRequest, place: Path, daemon: Daemon) -> Iterator[Exim]:
    recipe = (CONTRIB / f"{request.param}.conf").read_text()
    if request.param == "dovecot":
        recipe = recipe.replace("/run/saslpy/exim\n", f"{place}/auth\n")
        # what stands there as a comment, too
        before, scram, rest = recipe.partition("# saslpy_scram:")
        recipe = before + "\n".join(line.removeprefix("# ") for line in f"{scram}{rest}".splitlines())
    with Exim(place, recipe) as running:
        yield running


def offered(exim: Exim) -> list[str]:
    with smtplib.SMTP("127.0.0.1", exim.port, timeout=30) as client:
        client.ehlo()
        return client.esmtp_features["auth"].split()


def test_yes_no_and_later(exim: Exim) -> None:
    cases = [
        (mechanism, login, password, code)
        for mechanism in offered(exim)
        for login, password, code in ((LOGIN, PASSWORD, "235 "), (LOGIN, "wrong", "535 "), (AWAY, PASSWORD, "435 "))
    ]
    # of a FAIL, Exim does not look at the code
    cases += [("PLAIN", "nobody@example.org", "x", "535 "), ("PLAIN", OFF, PASSWORD, "535 ")]

    def answer(case: tuple[str, str, str, str]) -> str:
        mechanism, login, password, _ = case
        return (gsasl if mechanism.startswith("SCRAM") else swaks)(exim.port, login, password, mechanism)

    with ThreadPoolExecutor(6) as threads:  # Exim takes its time with QUIT
        for case, answered in zip(cases, threads.map(answer, cases), strict=True):
            assert answered.startswith(case[3]), f"{case} {answered}\n{exim.log()}"


def test_all_mechanisms_of_the_files_are_offered(exim: Exim, request: pytest.FixtureRequest) -> None:
    dovecot = request.node.callspec.params["exim"] == "dovecot"
    assert sorted(offered(exim)) == sorted(MECHANISMS if dovecot else ["PLAIN", "LOGIN"])


def test_what_clients_say_by_themselves(exim: Exim) -> None:
    """Without an initial response, given up, malformed; and whom Exim takes the client for."""
    response = base64.b64encode(f"\0{LOGIN}\0{PASSWORD}".encode()).decode()
    as_another = base64.b64encode(f"ann@example.org\0{LOGIN}\0{PASSWORD}".encode()).decode()
    with smtplib.SMTP("127.0.0.1", exim.port, timeout=30) as client:
        client.ehlo()
        assert client.docmd("AUTH PLAIN")[0] == 334
        assert client.docmd("*")[0] == 501
        assert client.docmd("AUTH LOGIN") == (334, b"VXNlcm5hbWU6")
        assert client.docmd("*")[0] == 501
        assert client.docmd("AUTH PLAIN =")[0] == 535, exim.log()
        assert client.docmd(f"AUTH PLAIN {as_another}")[0] == 535, exim.log()
        assert client.docmd("AUTH PLAIN")[0] == 334
        assert client.docmd(response)[0] == 235, exim.log()
        client.mail("joe@example.org")
        assert client.rcpt("ann@example.net") == (550, f"you are {LOGIN}".encode())


def test_what_the_audit_log_says(exim: Exim, daemon: Daemon) -> None:
    swaks(exim.port, LOGIN, PASSWORD, "PLAIN")
    assert "service=smtp mechanism=PLAIN" in daemon.lines("login")[-1]
