"""The interface of djb's checkpassword (https://cr.yp.to/checkpwd/interface.html), and Dovecot's dialect of it.

The caller starts ``checkpassword prog arg …`` with file descriptor 3 open for reading::

    data := login NUL password NUL timestamp NUL rest        512 bytes at most, up to the end of the file

If the password is right, the program becomes ``prog``, as the user, in his home, with USER, HOME and SHELL set; else it
exits with 1 (no), 2 (misused) or 111 (try again later).

Dovecot (2.3 and earlier; auth/db-checkpassword.c) names its ``checkpassword-reply`` as prog. That one reads USER, HOME and
those variables that EXTRA names, and writes them to descriptor 4, already escaped or not. With AUTHORIZED=1 there is no
password: it is a lookup, which is acknowledged by AUTHORIZED=2, and 3 says that there is no such user.

What is here is loaded by a program that must start fast: no dataclasses, no regular expressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_INPUT = 512
"""Bytes on descriptor 3."""

REJECTED, MISUSED, UNKNOWN, TEMPORARY = 1, 2, 3, 111
"""What it exits with. 3 is for Dovecot's lookups alone."""

REPLY = "checkpassword-reply"
"""The name of Dovecot's program."""

PORTS = {"25": "smtp", "465": "smtp", "587": "smtp", "110": "pop3", "995": "pop3", "143": "imap", "993": "imap"}
"""Services by TCPLOCALPORT, which tcpserver and its like set."""


class Misused(ValueError):
    """What the caller has given is not what the interface says. The message never holds it."""


class Input(NamedTuple):
    """What descriptor 3 held, as text; bytes that are not UTF-8 are surrogates."""

    login: str
    password: str

    def __repr__(self) -> str:
        return f"Input(login={self.login!r})"


def read_input(data: bytes) -> Input:
    """Login and password. Raises ``Misused``."""
    if len(data) > MAX_INPUT:
        raise Misused(f"over {MAX_INPUT} bytes on descriptor 3")
    fields = data.split(b"\0")
    if len(fields) < 4:  # the last NUL has something behind it, if only nothing
        raise Misused("login, password and timestamp, each with a NUL behind it, were to come on descriptor 3")
    return Input(fields[0].decode("utf-8", "surrogateescape"), fields[1].decode("utf-8", "surrogateescape"))


def asked_by_dovecot(prog: str) -> bool:
    """Whether the program to become is Dovecot's."""
    return prog.rpartition("/")[2] == REPLY


def is_lookup(environment: Mapping[str, str]) -> bool:
    """Whether Dovecot wants an account, and no password checked."""
    return environment.get("AUTHORIZED") == "1"


def service_of(environment: Mapping[str, str]) -> str:
    """What the user logs in to: Dovecot says it, of tcpserver it is guessed by the port."""
    return environment.get("SERVICE") or PORTS.get(environment.get("TCPLOCALPORT", ""), "")


def client_of(environment: Mapping[str, str]) -> str:
    """The mail client's address (UCSPI-TCP)."""
    return environment.get("TCPREMOTEIP", "")


def new_environment(environment: Mapping[str, str], account: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a program that runs as the user. ``MAILDIR`` is as Courier's programs set it."""
    home = account.get("home") or "/"
    new = {**environment, "USER": account["login"], "HOME": home, "SHELL": "/bin/sh"}
    new.pop("MAILDIR", None)
    if account.get("maildir"):
        new["MAILDIR"] = account["maildir"]
    return new


def dovecot_environment(environment: Mapping[str, str], account: Mapping[str, Any]) -> dict[str, str]:
    """The environment of ``checkpassword-reply``. ``account["userdb"]`` holds Dovecot's fields, "uid=1000", escaped."""
    new = {**environment, "USER": account["login"]}
    new.pop("HOME", None)  # the caller's own is not the user's
    extra = []
    for field in account["userdb"]:
        name, _, value = field.partition("=")
        if name == "home":
            new["HOME"] = value
        else:
            new[f"userdb_{name}"] = value
            extra.append(f"userdb_{name}")
    new["EXTRA"] = " ".join(extra)
    if is_lookup(environment):
        new["AUTHORIZED"] = "2"
    return new
