"""The daemon with backends for tokens: it starts, loads nothing late, and takes new keys and a new section."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.real.idp import Idp, Signer
from tests.real.saslpy import ask, configured, run, serving

from . import sections

LATE = """
import sys, trio
from pathlib import Path
from saslpy.model import Login
from saslpy.preload import load_plugin
from saslpy_oauth import Config, open_backend, plugin

load_plugin(plugin)
loaded = set(sys.modules)
keys, issuer, token, url, ca, secret = sys.argv[1:]

with open_backend(Config(keys_file=Path(keys), issuer=issuer, audience=("mail",))) as backend:
    assert backend.verify_token(Login("", ""), token).login == "joe@example.org"

async def main():
    who = {"client_id": "saslpy", "client_secret_file": Path(secret)}
    async with open_backend(Config(introspection_url=url, **who, ca_file=Path(ca), audience=())) as backend:
        assert (await backend.verify_token(Login("", ""), token)).login == "joe@example.org"

trio.run(main)
print(" ".join(sorted(set(sys.modules) - loaded)))
"""


def test_nothing_is_loaded_late(idp: Idp, signer: Signer, file: Path) -> None:
    """Once root's rights are given up, an installation of root's own cannot be read any more."""
    file.write_text(signer.jwks())
    for key in (signer.rsa, signer.ec):
        token = signer.token(key=key)
        idp.tokens[token] = signer.claims()
        arguments = [str(file), signer.issuer, token, idp.url, str(idp.ca_file), str(idp.secret_file)]
        command = [sys.executable, "-c", LATE, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.stdout, done.stderr) == ("\n", "")


def test_the_daemon(idp: Idp, signer: Signer, place: Path) -> None:
    """It starts while an issuer is down; passwords are not its business; a reload with a broken file changes nothing."""
    (place / "keys.json").write_text(signer.jwks())
    config = configured(place, sections("keys.json", signer, idp))
    idp.stop()
    with serving(config) as daemon:
        assert ask(place, "joe@example.org", "secret") == "accept"
        assert ask(place, "joe@example.org", signer.token()) == "reject"
        (place / "keys.json").write_text("{")
        done = run("reload", "--config", str(config))
        assert done.returncode == 1
        assert "keys_file" in done.stderr + daemon.log.read_text()
        (place / "keys.json").write_text(Signer().jwks())
        assert run("reload", "--config", str(config)).returncode == 0
        assert ask(place, "joe@example.org", "secret") == "accept"
    assert "Traceback" not in daemon.log.read_text()
    assert signer.token()[:30] not in daemon.log.read_text()
