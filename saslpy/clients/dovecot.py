"""Dovecot's auth socket, asked as Postfix does: one exchange on one connection, without a final response in OK."""

from __future__ import annotations

import base64
import os
import socket
from collections.abc import Iterator
from contextlib import closing

from ..mechanisms.client import AuthenticationFailed, Responses
from ..protocols.dovecot import fields
from . import NoSense, connect

ROUNDS = 20
"""Challenges of one exchange at most."""


def ask_dovecot(
    place: str, mechanism: str, responses: Responses, service: str = "smtp", client: str = ""
) -> tuple[str, str]:
    """(accept, reject or defer; what the server said). Raises ``OSError`` when nobody answers, ``NoSense``."""
    with closing(connect(place)) as sock:
        lines = _lines(sock)
        offered = _offered(lines)
        if mechanism not in offered:
            raise NoSense(f"it does not offer {mechanism}, only {', '.join(offered)}")
        initial = next(responses)
        parameters = [b"AUTH", b"1", mechanism.encode(), fields.pair(b"service", service), b"nologin", b"secured"]
        if client:
            parameters.append(fields.pair(b"rip", client))
        if initial is not None:
            parameters.append(b"resp=" + (base64.b64encode(initial) or b"="))
        sock.sendall(fields.line(b"VERSION", b"1", b"0") + fields.line(b"CPID", str(os.getpid()).encode()))
        sock.sendall(fields.line(*parameters))
        for _ in range(ROUNDS):
            answer = next(lines, None)
            if answer is None:
                return "defer", "(closed without a reply)"
            if answer[0] != b"CONT":
                return _verdict(answer)
            try:
                response = responses.send(base64.b64decode(answer[2]))
            except AuthenticationFailed as failure:
                return "reject", str(failure)
            sock.sendall(fields.line(b"CONT", b"1", base64.b64encode(response or b"")))
    raise NoSense("it goes on and on")


def _offered(lines: Iterator[list[bytes]]) -> list[str]:
    """The mechanisms of a server's greeting, in its order."""
    mechanisms: list[str] = []
    for line in lines:
        if line[0] == b"MECH" and len(line) > 1:
            mechanisms.append(line[1].decode("ascii", "replace"))
        elif line[0] == b"DONE":
            return mechanisms
        elif line[0] == b"SPID" and not mechanisms:
            raise NoSense("it is Dovecot's master socket, which answers no logins")
    raise NoSense("it hangs up in the middle of its greeting")


def _verdict(answer: list[bytes]) -> tuple[str, str]:
    text = b" ".join(map(fields.unescape, answer)).decode("utf-8", "replace")
    if answer[0] == b"OK":
        return "accept", text
    if answer[0] == b"FAIL":
        return ("defer" if b"code=temp_fail" in answer or b"temp" in answer else "reject"), text
    raise NoSense("its answer is neither OK nor FAIL")


def _lines(sock: socket.socket) -> Iterator[list[bytes]]:
    """The lines that come, as fields."""
    with sock.makefile("rb") as file:
        while line := file.readline(65_536):
            yield fields.split(line.rstrip(b"\n"))
