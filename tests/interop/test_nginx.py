"""A real nginx with contrib's file proxies mail, and asks our HTTP socket who may log in; curl asks it in JSON.

nginx waits for ``auth_wait`` before it tells a user no, so the conversations are led side by side, and looked at then.
"""

from __future__ import annotations

import imaplib
import json
import poplib
import smtplib
import ssl
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import trustme

from ..real import need
from ..real.nginx import Nginx, Upstream, imap, pop3, smtp, upstream
from ..real.saslpy import Daemon, configured, folder, serving

pytestmark = pytest.mark.real

TYPED, LOGIN, PASSWORD = "joe@EXAMPLE.org", "joe@example.org", "s3cret %41 pass"
ELSEWHERE = "joe@down.example"
"""Where his store is away."""

BACKENDS = f"""
[backend.local]
type = "static"
users = {{ "{LOGIN}" = {{ password = "{{PLAIN}}{PASSWORD}", home = "/home/joe" }} }}
[backend.down]
type = "mysql"
hosts = ["127.0.0.1:1"]
user = "x"
database = "x"
schema = "postfixadmin"
"""
AUTH = 'chain = ["local"]\nmin_seconds = 0\n[[auth.route]]\ndomains = ["down.example"]\nchain = ["down"]\n'
SECRET = "0pen-Sesame"
TOLD = 20


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with folder() as path:
        yield path


@pytest.fixture(scope="module")
def behind() -> Iterator[dict[str, Upstream]]:
    """The servers behind nginx."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(upstream(serve))
            for name, serve in (("imap", imap), ("pop3", pop3), ("smtp", smtp), ("mail", smtp))
        }


@pytest.fixture(scope="module")
def daemon(place: Path, behind: dict[str, Upstream]) -> Iterator[Daemon]:
    (place / "secret").write_text(f"{SECRET}\n")
    (place / "proxy").write_text("proxypw\n")
    upstreams = ", ".join(f'{name} = "{server.place}"' for name, server in behind.items())
    config = configured(
        place,
        BACKENDS,
        AUTH,
        f'[[listen]]\nprotocol = "http"\npath = "http"\nmode = "0666"\nsecret_file = "secret"\n'
        f'mechanisms = ["PLAIN", "LOGIN", "CRAM-MD5", "EXTERNAL"]\nauth_wait = 1\nauth_attempts = 3\n'
        f'upstream_password_file = "proxy"\nupstreams = {{ {upstreams} }}\n',
    )
    with serving(config) as running:
        yield running


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def nginx(daemon: Daemon, place: Path, authority: trustme.CA) -> Iterator[Nginx]:
    server = authority.issue_cert("localhost")
    server.private_key_and_cert_chain_pem.write_to_path(place / "server.pem")
    authority.cert_pem.write_to_path(place / "ca.pem")
    tls = (
        f"starttls on; ssl_certificate {place}/server.pem; ssl_certificate_key {place}/server.pem;"
        f"ssl_verify_client optional; ssl_client_certificate {place}/ca.pem;"
    )
    changes = {
        "unix:/run/saslpy/http:": f"unix:{place}/http:",
        '#auth_http_header X-Auth-Key "the secret";': f"auth_http_header X-Auth-Key {SECRET};",
        "imap_auth plain login;": "imap_auth plain login cram-md5;",
        "pop3_auth plain;": "pop3_auth plain cram-md5 apop;",
        "smtp_auth plain login;": f"smtp_auth plain login cram-md5 external; {tls}",
    }
    with Nginx(place / "nginx", changes) as running:
        yield running


def said_by_imap(port: int) -> list[str]:
    """What a client of IMAP hears: a wrong password, an outage, a right password."""
    heard: list[str] = []
    with imaplib.IMAP4("127.0.0.1", port, TOLD) as client:
        for login, password in ((TYPED, "wrong"), (ELSEWHERE, PASSWORD), (TYPED, PASSWORD)):
            try:
                heard.append(client.login(login, password)[0])
            except imaplib.IMAP4.error as error:
                heard.append(str(error))
    return heard


def said_by_pop3(port: int) -> list[str]:
    heard: list[str] = []
    with closing(poplib.POP3("127.0.0.1", port, TOLD)) as client:
        for login, password in ((TYPED, "wrong"), (ELSEWHERE, PASSWORD), (TYPED, PASSWORD)):
            try:
                client.user(login)
                heard.append(client.pass_(password).decode())
            except poplib.error_proto as error:
                heard.append(str(error))
    return heard


def said_by_smtp(port: int) -> list[str]:
    with smtplib.SMTP("127.0.0.1", port, "client.example", TOLD) as client:
        client.ehlo()
        heard = []
        for login, password in ((TYPED, "wrong"), (ELSEWHERE, PASSWORD), (TYPED, PASSWORD)):
            heard.append(smtp_auth(client, "PLAIN", login, password))
        return heard


def smtp_auth(client: smtplib.SMTP, mechanism: str, login: str, password: str) -> str:
    """The answer to AUTH, without trying anything else."""
    client.user, client.password = login, password
    ask: Callable[..., Any] = getattr(client, f"auth_{mechanism.lower().replace('-', '_')}")
    try:
        code, text = client.auth(mechanism, ask, initial_response_ok=mechanism == "PLAIN")
    except smtplib.SMTPAuthenticationError as error:
        code, text = error.smtp_code, error.smtp_error  # type: ignore[assignment]
    return f"{code} {text.decode()}"


def said_in_cram_md5(ports: dict[str, int]) -> list[str]:
    with imaplib.IMAP4("127.0.0.1", ports["imap"], TOLD) as client:
        heard: list[str] = [client.login_cram_md5(TYPED, PASSWORD)[0]]
    with smtplib.SMTP("127.0.0.1", ports["smtp"], "client.example", TOLD) as other:
        other.ehlo()
        heard += [smtp_auth(other, "CRAM-MD5", TYPED, password) for password in ("wrong", PASSWORD)]
    return heard


def said_in_the_last_attempt(port: int) -> list[str]:
    """Wrong as often as it may be; then nginx hangs up."""
    heard: list[str] = []
    with smtplib.SMTP("127.0.0.1", port, "client.example", TOLD) as client:
        client.ehlo()
        for _ in range(3):
            heard.append(smtp_auth(client, "LOGIN", TYPED, "wrong"))
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
    return heard


def said_to_apop(port: int) -> list[str]:
    with closing(poplib.POP3("127.0.0.1", port, TOLD)) as client, pytest.raises(poplib.error_proto) as caught:
        client.apop(TYPED, PASSWORD)
    return [str(caught.value)]


@pytest.fixture(scope="module")
def heard(nginx: Nginx) -> dict[str, list[str]]:
    """All of these conversations, side by side."""
    with ThreadPoolExecutor(6) as pool:
        ports = nginx.ports
        led = {
            "imap": pool.submit(said_by_imap, ports["imap"]),
            "pop3": pool.submit(said_by_pop3, ports["pop3"]),
            "smtp": pool.submit(said_by_smtp, ports["smtp"]),
            "cram": pool.submit(said_in_cram_md5, ports),
            "last": pool.submit(said_in_the_last_attempt, ports["smtp"]),
            "apop": pool.submit(said_to_apop, ports["pop3"]),
        }
        return {name: future.result() for name, future in led.items()}


def test_imap(heard: dict[str, list[str]], behind: dict[str, Upstream]) -> None:
    """The server behind hears the canonical name, and the password that opens it for everybody."""
    wrong, outage, right = heard["imap"]
    assert "[AUTHENTICATIONFAILED] Invalid login or password" in wrong
    assert "[UNAVAILABLE] Temporary server problem, try again later" in outage
    assert right == "OK"
    assert (LOGIN, "proxypw") in behind["imap"].logins


def test_pop3(heard: dict[str, list[str]], behind: dict[str, Upstream]) -> None:
    wrong, outage, right = heard["pop3"]
    assert "-ERR [AUTH] Invalid login or password" in wrong
    assert "-ERR [SYS/TEMP] Temporary server problem, try again later" in outage
    assert right.startswith("+OK")
    assert behind["pop3"].logins == [(LOGIN, "proxypw")]


def test_smtp(heard: dict[str, list[str]], behind: dict[str, Upstream]) -> None:
    wrong, outage, right = heard["smtp"]
    assert wrong == "535 5.7.8 Invalid login or password"
    assert outage == "451 4.3.0 Temporary server problem, try again later"
    assert right.startswith("235 ")
    assert all(f"LOGIN={LOGIN}" in xclient for xclient in behind["smtp"].logins)


def test_cram_md5(heard: dict[str, list[str]]) -> None:
    assert heard["cram"][:2] == ["OK", "535 5.7.8 Invalid login or password"]
    assert heard["cram"][2].startswith("235 ")


def test_the_last_attempt(heard: dict[str, list[str]]) -> None:
    assert heard["last"] == ["535 5.7.8 Invalid login or password"] * 3


def test_apop(heard: dict[str, list[str]]) -> None:
    assert "This way to log in is not available here" in heard["apop"][0]


def test_a_certificate(nginx: Nginx, behind: dict[str, Upstream], place: Path, authority: trustme.CA) -> None:
    """SMTP's EXTERNAL goes by the common name in it."""
    context = ssl.create_default_context(cafile=str(place / "ca.pem"))
    authority.issue_cert("joe.example", common_name=LOGIN).private_key_and_cert_chain_pem.write_to_path(
        place / "joe.pem"
    )
    with smtplib.SMTP("localhost", nginx.ports["smtp"], "client.example", TOLD) as stranger:
        stranger.starttls(context=context)
        stranger.ehlo()
        assert stranger.docmd("AUTH", "EXTERNAL =")[0] in (334, 535)
    context.load_cert_chain(place / "joe.pem")
    before = len(behind["smtp"].logins)
    with smtplib.SMTP("localhost", nginx.ports["smtp"], "client.example", TOLD) as client:
        client.starttls(context=context)
        client.ehlo()
        code, _ = client.docmd("AUTH", "EXTERNAL")
        if code == 334:
            code, _ = client.docmd("")
        assert code == 235, nginx.log()
    assert f"LOGIN={LOGIN}" in behind["smtp"].logins[before]


def test_mail_without_a_login(nginx: Nginx, behind: dict[str, Upstream]) -> None:
    with smtplib.SMTP("127.0.0.1", nginx.ports["open"], "client.example", TOLD) as client:
        client.ehlo()
        client.mail("someone@example.com")
        assert client.rcpt(LOGIN)[0] == 250, nginx.log()
    assert len(behind["mail"].logins) == 1
    assert not any("LOGIN=" in word for word in behind["mail"].logins[0])


def test_what_is_told_of_users(heard: dict[str, list[str]], nginx: Nginx, daemon: Daemon) -> None:
    lines = daemon.lines("login")
    assert any("service=imap mechanism=PLAIN client=127.0.0.1" in line for line in lines)
    assert any("service=smtp mechanism=CRAM-MD5" in line for line in lines)
    text = daemon.log.read_text()
    for secret in (PASSWORD, "s3cret", SECRET, "proxypw", "wrong "):
        assert secret not in text
    assert "event=internal-error" not in text


# --- curl


def curl(place: Path, path: str, question: object, *options: str) -> tuple[int, dict[str, Any]]:
    """The status, and what was said."""
    done = subprocess.run(
        [
            need("curl", package="curl"),
            *(
                "--silent",
                "--max-time",
                "20",
                "--write-out",
                "%{stderr}%{http_code}",
                "--unix-socket",
                str(place / "http"),
            ),
            *("--json", "@-", *options, f"http://localhost{path}"),
        ],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return int(done.stderr), json.loads(done.stdout)


def test_curl(daemon: Daemon, place: Path) -> None:
    key = ("--header", f"X-Auth-Key: {SECRET}")
    right = {"login": TYPED, "password": PASSWORD, "service": "imap"}
    assert curl(place, "/login", right, *key) == (200, {"verdict": "accept", "login": LOGIN, "home": "/home/joe"})
    assert curl(place, "/login", right, *key, "--http1.0")[0] == 200
    assert curl(place, "/login", right, *key, "--header", "Transfer-Encoding: chunked")[0] == 200
    assert curl(place, "/login", right, *key, "--header", "Expect: 100-continue")[0] == 200
    assert curl(place, "/login", {**right, "password": "wrong"}, *key)[1]["reason"] == "wrong-credentials"
    assert curl(place, "/login", {**right, "login": ELSEWHERE}, *key)[0] == 503
    assert curl(place, "/user", {"login": LOGIN}, *key)[0] == 200
    assert curl(place, "/user", {"login": "nobody"}, *key)[1] == {"verdict": "reject", "reason": "unknown-user"}
    assert curl(place, "/user", {"login": ELSEWHERE}, *key)[0] == 503
    assert curl(place, "/login", right)[0] == 401
    assert curl(place, "/login", right, *key, "--header", "Origin: http://localhost")[0] == 400
