"""The ten lines of the README, in a world where their names, ports and paths are real: for ``test_submission_readme.py``.

Run by root in a network and a mount namespace of its own, with a folder that has ``saslpy.toml``. There, the machine has
the user saslpy, smarthost.example.net is on loopback, and /var/lib and /run are empty. Prints what came of it as JSON.
"""

from __future__ import annotations

import base64
import json
import os
import smtplib
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio
import trustme

from ..real.saslpy import run, serving
from ..real.sink import ScriptedHop

SMARTHOST, US = "smarthost.example.net", "mail.example.org"
MESSAGE = b"From: joe@example.org\r\nTo: ann@example.net\r\nSubject: ten lines\r\n\r\n.dot\r\nb\xc3\xbccher\r\n"


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def world(folder: Path) -> None:
    """Names, users and folders."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # a copy of the whole of /etc: what is mounted over a single file is gone when somebody else makes a user meanwhile
    etc = folder / "etc"
    etc.mkdir()
    mount("-t", "tmpfs", "none", str(etc))
    subprocess.run(["cp", "-a", "/etc/.", str(etc)], check=True)
    mount("--bind", str(etc), "/etc")
    for name, line in {
        "hosts": f"127.0.0.1 localhost {SMARTHOST} {US}",
        "passwd": "saslpy:x:64123:64123::/var/lib/saslpy:/usr/sbin/nologin",
        "group": "saslpy:x:64123:",
    }.items():
        with (Path("/etc") / name).open("a") as file:
            file.write(f"{line}\n")
    for path in ("/var/lib", "/run"):
        mount("-t", "tmpfs", "none", path)
    Path("/var/lib/saslpy").mkdir()
    os.chown("/var/lib/saslpy", 64123, 64123)


def certificates(folder: Path) -> ssl.SSLContext:
    """Ours into files, beside the configuration, and the smarthost's."""
    ca = trustme.CA()
    ours = ca.issue_cert(US)
    with (folder / "fullchain.pem").open("wb") as file:
        for blob in ours.cert_chain_pems:
            file.write(blob.bytes())
    ours.private_key_pem.write_to_path(folder / "privkey.pem")
    (folder / "privkey.pem").chmod(0o600)
    ca.cert_pem.write_to_path(folder / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(SMARTHOST).configure_cert(context)
    return context


async def office_alone(argument: str, ask: Callable[[bytes], Awaitable[bytes]]) -> bytes:
    """AUTH PLAIN, for one user."""
    mechanism, _, initial = argument.partition(" ")
    right = base64.b64decode(initial) == b"\0office\0a word"
    return b"235 2.7.0 welcome\r\n" if mechanism == "PLAIN" and right else b"535 5.7.8 no\r\n"


def send(folder: Path, password: str, sender: str = "joe@example.org") -> str:
    """The answer to a message through port 465, by somebody who verifies the certificate."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    try:
        with smtplib.SMTP_SSL(US, 465, context=context, timeout=20) as client:
            client.login("joe@example.org", password)
            client.sendmail(sender, ["ann@example.net"], MESSAGE)
            return "250"
    except smtplib.SMTPResponseException as error:
        return str(error.smtp_code)


def checked(*options: str) -> tuple[int, str]:
    done = run("check", *options)
    return done.returncode, done.stdout + done.stderr


async def play(folder: Path) -> dict[str, object]:
    """Everything, to what came of it."""
    config = str(folder / "saslpy.toml")
    hop = ScriptedHop(context=certificates(folder), port=587)
    hop.encrypted_extensions = (*hop.extensions, "AUTH PLAIN")
    hop.extensions = (*hop.extensions, "STARTTLS")
    hop.authenticate = office_alone
    (folder / "smarthost.password").write_text("a word\n")
    (folder / "smarthost.password").chmod(0o600)
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")  # the smarthost's authority, as if the system had it
    told: dict[str, object] = {}
    async with trio.open_nursery() as nursery:
        await nursery.start(hop.serve)
        added = await trio.to_thread.run_sync(
            lambda: run("user", "add", "joe@example.org", "--password-stdin", "--config", config, password="secret")
        )
        told["added"] = (added.returncode, added.stderr)
        told["check"] = await trio.to_thread.run_sync(checked, "--config", config)

        def client() -> None:
            with serving(folder / "saslpy.toml"):
                told["sent"] = send(folder, "secret")
                told["wrong password"] = send(folder, "wrong")
                told["another sender"] = send(folder, "secret", "ann@example.org")

        await trio.to_thread.run_sync(client)
        nursery.cancel_scope.cancel()
    told["messages"] = [[one.mail, one.rcpts, one.content.decode("latin-1")] for one in hop.messages]
    told["log"] = (folder / "saslpy.log").read_text()
    return told


def main() -> None:
    folder = Path(sys.argv[1])
    world(folder)
    print(json.dumps(trio.run(play, folder)))


if __name__ == "__main__":
    main()
