"""The part of ``saslpy init --submission``: sockets, a certificate, and where the mail goes."""

from __future__ import annotations

import argparse
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .common import Fault, Usage, password_from
from .template import CAPTURE, LOGIN, NO_LOGIN, SMARTHOST, SUBMISSION

ONLY = ("hostname", "smarthost", "smarthost_login", "password_stdin", "certificate", "key", "self_signed")
"""Options that go with --submission."""

LETSENCRYPT = Path("/etc/letsencrypt/live")
CERTIFICATE, KEY, PASSWORD = "fullchain.pem", "privkey.pem", "smarthost.password"


@dataclass(frozen=True, slots=True)
class Mail:
    """``text`` is for the configuration. ``files``, by name: what is written beside it, and with which mode.

    ``port``: where STARTTLS is spoken. ``captured``: the folder in which mail is kept, where there is no smarthost.
    """

    text: str
    port: int
    captured: str = ""
    files: Mapping[str, tuple[bytes, int]] = field(default_factory=dict, repr=False)


def check_options(arguments: argparse.Namespace) -> None:
    """Raise ``Usage`` for what does not go together."""
    given = [name for name in ONLY if getattr(arguments, name)]
    if given and not arguments.submission:
        raise Usage(f"--{given[0].replace('_', '-')}: goes with --submission")
    if arguments.self_signed and (arguments.certificate or arguments.key):
        raise Usage("--self-signed: makes a certificate; --certificate and --key name one that is there")
    if arguments.key and not arguments.certificate:
        raise Usage("--key: goes with --certificate")
    if arguments.smarthost_login and not arguments.smarthost:
        raise Usage("--smarthost-login: goes with --smarthost")
    if arguments.password_stdin and not arguments.smarthost_login:
        raise Usage("--password-stdin: is for the password of --smarthost-login")


def mail(arguments: argparse.Namespace, folder: Path, data: str) -> Mail:
    """``folder`` is the configuration's, ``data`` the one that the daemon may write to. Raises ``Fault``."""
    hostname = _hostname(arguments.hostname)
    files: dict[str, tuple[bytes, int]] = {}
    certificate, key = _certificate(arguments, hostname, folder, files)
    via, captured = _via(arguments.smarthost, f"{data}/mail")
    login = NO_LOGIN
    if arguments.smarthost_login:
        login = LOGIN.format(login=_quoted(arguments.smarthost_login), password_file=_quoted(PASSWORD))
        files[PASSWORD] = (_password(arguments).encode() + b"\n", 0o600)
    host, ports = _address()
    text = SUBMISSION.format(
        starttls=f"{host}:{ports[0]}",
        implicit=f"{host}:{ports[1]}",
        hostname=f"hostname = {_quoted(hostname)}",
        certificate=f"certificate = {_quoted(certificate)}",
        key=f"key = {_quoted(key)}" if key else '# key = "privkey.pem"        # it is in the same file',
        via=via,
        login=login,
    )
    return Mail(text, ports[0], captured, files)


def _hostname(given: str | None) -> str:
    from ..protocols.smtp import domains

    name = given if given is not None else socket.getfqdn()
    try:
        found = domains.canonical(name)
    except (domains.MalformedDomain, UnicodeError) as fault:
        raise Fault(f"--hostname: {name!r} is no domain: {fault}") from None
    if given is None and ("." not in found or found.startswith("localhost.")):
        raise Fault(
            f"--hostname: is required, since this machine calls itself {found!r}: the name that mail programs "
            "are set to and the certificate is for, such as mail.example.org"
        )
    return found


def _certificate(
    arguments: argparse.Namespace, hostname: str, folder: Path, files: dict[str, tuple[bytes, int]]
) -> tuple[str, str]:
    """The two files as the configuration writes them; the second is empty where the key is in the first."""
    if arguments.self_signed:
        from .selfsigned import self_signed

        certificate, key = self_signed(hostname)
        files[CERTIFICATE], files[KEY] = (certificate, 0o644), (key, 0o600)
        return CERTIFICATE, KEY
    if arguments.certificate:
        return _tried(Path(arguments.certificate), Path(arguments.key) if arguments.key else None)
    for place in (folder, LETSENCRYPT / hostname):
        if (place / CERTIFICATE).exists() and (place / KEY).exists():
            found = _tried(place / CERTIFICATE, place / KEY)
            return (CERTIFICATE, KEY) if place == folder else found
    raise Fault(
        f"there is no certificate for {hostname}: {CERTIFICATE} and {KEY} are neither in {folder} nor in "
        f"{LETSENCRYPT / hostname}. Name one by --certificate and --key, or take --self-signed to try things out"
    )


def _tried(certificate: Path, key: Path | None) -> tuple[str, str]:
    """Raises ``Fault`` for a pair that is none."""
    from ..submission.tls import read_pair

    certificate, key = certificate.absolute(), key and key.absolute()
    try:
        read_pair(certificate, key)
    except ValueError as fault:
        raise Fault(f"--{fault}") from None
    return str(certificate), str(key) if key else ""


def _via(smarthost: str | None, captured: str) -> tuple[str, str]:
    """The lines of ``via``, and the folder where all mail is kept, if it is. Raises ``Fault``."""
    from ..relay.places import place_of

    if smarthost is None:
        return CAPTURE.format(via=_quoted(f"capture:{captured}")), captured
    if ":/" not in smarthost and not smarthost.lower().startswith(("lmtp:", "capture:")):
        smarthost = f"smtp://{smarthost}" if _has_port(smarthost) else f"smtp://{smarthost}:587"
    try:
        place_of("--smarthost", smarthost)
    except ValueError as fault:
        raise Fault(str(fault)) from None
    return SMARTHOST.format(via=_quoted(smarthost)), ""


def _has_port(text: str) -> bool:
    return ":" in text.rpartition("]")[2]


def _password(arguments: argparse.Namespace) -> str:
    if not arguments.password_stdin:
        print(f"for {arguments.smarthost_login} at {arguments.smarthost}", flush=True)
    password = password_from(arguments)
    if "\n" in password:
        raise Fault("the password has more than one line")
    return password


def _address() -> tuple[str, tuple[int, int]]:
    """Where to listen: ports below 1024 are root's, and so is what everybody may reach."""
    if os.geteuid() == 0:
        return "0.0.0.0", (587, 465)  # noqa: S104 (a server for others)
    return "127.0.0.1", (1587, 1465)


def _quoted(text: str) -> str:
    """A string of TOML."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
