"""The relay test against the daemon itself: everything is refused, by every socket, whoever we seem to be."""

from __future__ import annotations

import json
import os
import smtplib
from pathlib import Path

import pytest
import trustme

from ..real.postfix import free_port
from ..real.saslpy import run, serving

LISTENERS = {
    "STARTTLS, in a legacy network": 'protocol = "submission"',
    "TLS at once": 'protocol = "submissions"',
    "behind a proxy": 'protocol = "submission"\nproxy_protocol = ["127.0.0.0/8"]',
    "with XCLIENT": 'protocol = "submission"\nxclient = ["127.0.0.1"]',
}


def configured(folder: Path) -> Path:
    trustme.CA().issue_cert("mail.example.org").private_key_and_cert_chain_pem.write_to_path(folder / "pair.pem")
    sockets = (f'[[listen]]\n{text}\naddress = "127.0.0.1:{free_port()}"\n' for text in LISTENERS.values())
    user = 'user = "root"' if os.geteuid() == 0 else ""
    path = folder / "saslpy.toml"
    path.write_text(
        f"""
[daemon]
run_dir = "run"
state_dir = "state"
{user}
[auth]
min_seconds = 0
[backend.local]
type = "static"
users = {{ "joe@example.org" = "{{PLAIN}}secret" }}
[submission]
hostname = "mail.example.org"
tls = {{ certificate = "pair.pem" }}
legacy = [{{ networks = ["127.0.0.1"], sender = "printer@example.org" }}]
[[relay.route]]
domains = ["*"]
via = "capture:mail"
{"".join(sockets)}"""
    )
    return path


@pytest.mark.real
def test_everything_is_refused(place: Path) -> None:
    path = configured(place)
    with serving(path) as daemon:
        done = run("check", "--relay-test", "--json", "--config", str(path), timeout=60)
        answer = json.loads(done.stdout)
        bad = [one for one in answer["tried"] if one["verdict"] not in ("refused", "skipped")]
        assert not bad, bad[:5]
        assert done.returncode == 0
        assert {one["listen"] for one in answer["tried"]} == set(range(len(LISTENERS)))
        assert {one["listen"] for one in answer["tried"] if one["verdict"] == "skipped"} == {3}
        assert not (place / "mail").exists()
        # and not since it would take nothing: what the legacy network is for goes through
        port = int(answer["tried"][0]["place"].rpartition(":")[2])
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail("printer@example.org", ["ann@example.net"], b"From: printer@example.org\r\n\r\nx\r\n")
        assert len(list((place / "mail/new").iterdir())) == 1
        assert "a password that nobody has" not in daemon.log.read_text()
