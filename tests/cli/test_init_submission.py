"""``saslpy init --submission``: what it writes is what ``check`` likes, and mail goes through it; and what it refuses."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import trustme

from saslpy.cli import main, selfsigned
from saslpy.cli.common import Fault
from saslpy.settings import load
from saslpy.submission.certificates import first_of
from saslpy.submission.options import Submission

from ..real import need
from ..real.saslpy import run
from .test_init import mode, tree

HOST = "mail.example.org"
HERE = ("--hostname", HOST)
PORTS = (587, 465) if os.geteuid() == 0 else (1587, 1465)


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def init(target: Path, *options: str, password: str = "") -> Done:
    """The command, in this process: each one of its own would cost a quarter of a second."""
    user = ("--user", "nobody") if os.geteuid() == 0 else ()
    out, err = io.StringIO(), io.StringIO()
    given = mock.patch("sys.stdin", io.TextIOWrapper(io.BytesIO(password.encode())))
    with given, redirect_stdout(out), redirect_stderr(err):
        status = main(["init", str(target), *user, "--submission", *options])
    return Done(status, out.getvalue(), err.getvalue())


def pair(folder: Path, *names: str) -> None:
    issued = trustme.CA().issue_cert(*names)
    issued.private_key_pem.write_to_path(folder / "privkey.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "fullchain.pem")


def test_to_try_it_out(place: Path) -> None:
    target = place / "new"
    done = init(target, *HERE, "--self-signed")
    assert done.returncode == 0, done.stderr
    settings = load(target / "saslpy.toml")
    assert settings.submission is not None
    assert settings.relay is not None
    assert [listen.name.rpartition(":")[2] for listen in settings.listen] == [str(port) for port in PORTS]
    assert settings.submission.hostname == HOST
    assert settings.relay.route[0].via == "capture:data/mail"
    certificate = first_of((target / "fullchain.pem").read_bytes())
    assert certificate.self_signed
    assert certificate.names == (HOST, "localhost", "127.0.0.1")
    assert (mode(target / "privkey.pem"), mode(target / "fullchain.pem")) == (0o600, 0o644)
    again = init(target, *HERE, "--self-signed")
    assert again.returncode == 1
    assert "saslpy.toml is there already; nothing was changed" in again.stderr


def test_what_is_commented_out_can_be_used(place: Path) -> None:
    """Without its signs, every line of the submission part is a configuration."""
    assert init(place / "d", *HERE, "--self-signed").returncode == 0
    config = place / "d" / "saslpy.toml"
    before, part = config.read_text().split("[[listen]]                     # where", 1)
    lines = [line.removeprefix("# ") for line in part.splitlines()]
    replaced = [line for line in lines if not line.startswith(('via = "capture', "ca_file"))]
    (place / "d" / "smarthost.password").write_text("secret\n")
    config.write_text(before + "[[listen]] #" + "\n".join(replaced) + "\n")
    settings = load(config)
    assert settings.relay is not None
    assert settings.submission is not None
    assert settings.relay.route[0].login == "office"
    assert settings.submission.legacy[0].sender == "printer@example.org"
    # what is shown there are the defaults
    default = Submission(hostname=HOST)
    assert settings.submission.limits == default.limits
    assert (settings.submission.workers, settings.submission.sender_binding) == (default.workers, "strict")


@pytest.mark.parametrize(
    ("given", "via"),
    [
        ("smarthost.example.net", "smtp://smarthost.example.net:587"),
        ("smarthost.example.net:25", "smtp://smarthost.example.net:25"),
        ("[2001:db8::1]", "smtp://[2001:db8::1]:587"),
        ("smtps://smarthost.example.net", "smtps://smarthost.example.net"),
        ("lmtp:/run/dovecot/lmtp", "lmtp:/run/dovecot/lmtp"),
    ],
)
def test_places(place: Path, given: str, via: str) -> None:
    pair(place, HOST)
    done = init(place, *HERE, "--smarthost", given)
    assert done.returncode == 0, done.stderr
    assert "kept in" not in done.stdout
    settings = load(place / "saslpy.toml")
    assert settings.relay is not None
    assert settings.relay.route[0].via == via


def test_a_login_at_the_smarthost(place: Path) -> None:
    pair(place, HOST)
    office = ("--smarthost", "smarthost.example.net", "--smarthost-login", 'of"fice', "--password-stdin")
    done = init(place, *HERE, *office, password="hush\n")
    assert done.returncode == 0, done.stderr
    settings = load(place / "saslpy.toml")
    assert settings.relay is not None
    assert (settings.relay.route[0].login, settings.relay.route[0].password) == ('of"fice', "hush")
    assert mode(place / "smarthost.password") == 0o600
    assert f"wrote {place}/smarthost.password" in done.stdout
    assert "hush" not in done.stdout + done.stderr + (place / "saslpy.toml").read_text()


def test_a_certificate_elsewhere(place: Path) -> None:
    (place / "tls").mkdir()
    pair(place / "tls", HOST)
    files = ("--certificate", str(place / "tls/fullchain.pem"), "--key", str(place / "tls/privkey.pem"))
    assert init(place / "d", *HERE, *files).returncode == 0
    settings = load(place / "d" / "saslpy.toml")
    assert settings.submission is not None
    assert settings.submission.tls.key == place / "tls/privkey.pem"
    both = place / "tls/both.pem"
    both.write_bytes((place / "tls/fullchain.pem").read_bytes() + (place / "tls/privkey.pem").read_bytes())
    assert init(place / "e", *HERE, "--certificate", str(both)).returncode == 0
    settings = load(place / "e" / "saslpy.toml")
    assert settings.submission is not None
    assert (settings.submission.tls.certificate, settings.submission.tls.key) == (both, None)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (HERE, 1, "there is no certificate for mail.example.org: "),
        (HERE, 1, "take --self-signed to try things out"),
        (("--hostname", "mail example", "--self-signed"), 1, "--hostname: 'mail example' is no domain"),
        ((*HERE, "--certificate", "nothing.pem"), 1, "--certificate: "),
        (
            (*HERE, "--self-signed", "--smarthost", "smtp://a:b@c"),
            1,
            "--smarthost: no name or password belongs into a URL",
        ),
        ((*HERE, "--self-signed", "--smarthost", "a b"), 1, "--smarthost: expected"),
        ((*HERE, "--self-signed", "--key", "x.pem"), 2, "--self-signed: makes a certificate"),
        ((*HERE, "--key", "x.pem"), 2, "--key: goes with --certificate"),
        ((*HERE, "--smarthost-login", "joe"), 2, "--smarthost-login: goes with --smarthost"),
        ((*HERE, "--password-stdin"), 2, "--password-stdin: is for the password of --smarthost-login"),
        (
            (*HERE, "--self-signed", "--smarthost", "a.test", "--smarthost-login", "j", "--password-stdin"),
            1,
            "the password is empty",
        ),
    ],
)
def test_refused(place: Path, options: tuple[str, ...], status: int, said: str) -> None:
    before = tree(place)
    done = init(place / "new", *options, password="")
    assert done.returncode == status, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert tree(place) == before


def test_only_with_submission(place: Path) -> None:
    done = run("init", str(place / "new"), "--hostname", HOST)
    assert done.returncode == 2
    assert "--hostname: goes with --submission" in done.stderr


def test_a_key_that_is_there_stays(place: Path) -> None:
    (place / "privkey.pem").write_text("mine")
    done = init(place, *HERE, "--self-signed")
    assert done.returncode == 1
    assert "privkey.pem is there already; nothing was changed" in done.stderr
    assert [path.name for path in place.iterdir()] == ["privkey.pem"]
    assert (place / "privkey.pem").read_text() == "mine"


def test_a_machine_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from saslpy.cli import initmail

    monkeypatch.setattr(socket, "getfqdn", lambda: "localhost")
    with pytest.raises(Fault, match="--hostname: is required, since this machine calls itself 'localhost'"):
        initmail._hostname(None)
    monkeypatch.setattr(socket, "getfqdn", lambda: "mx.example.org")
    assert initmail._hostname(None) == "mx.example.org"


def test_without_cryptography(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command that it names instead makes a pair that is as good."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(Fault, match="needs the package cryptography") as told:
        selfsigned.self_signed(HOST)
    line = str(told.value).splitlines()[-1].strip()
    subprocess.run(line, shell=True, check=True, capture_output=True, cwd=tmp_path, timeout=20)
    assert first_of((tmp_path / "fullchain.pem").read_bytes()).is_for(HOST)
    assert stat.S_ISREG((tmp_path / "privkey.pem").stat().st_mode)


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_followed_to_the_letter(place: Path) -> None:
    """Every line that it prints, in a network of its own, until the message is in the folder that it names."""
    apart = [need("unshare", package="util-linux"), "--net"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this container may not make namespaces")
    need("ip", package="iproute2")
    need("swaks", package="swaks")
    done = subprocess.run(
        [*apart, sys.executable, "-m", "tests.cli.init_scene", str(place)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["statuses"] == [0, 0, 0], told
    assert "<~  235" in told["swaks"]
    assert "=== TLS started" in told["swaks"]
    [message] = told["messages"]
    assert "Delivered-To: ann@example.net" in message
    assert "From: joe@example.org" in message
