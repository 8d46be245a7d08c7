"""Asking a running daemon, ours or a peer's, as a mail server would. Blocking; for the command line and for tests."""

from __future__ import annotations

import os
import socket

from .protocols.saslauthd import decode_reply, encode_request

TIMEOUT = 15.0


def ask_saslauthd(  # noqa: PLR0913, PLR0917 (the fields of the protocol)
    place: str, login: str, password: str, service: str = "smtp", realm: str = "", client: str = ""
) -> tuple[str, str]:
    """(accept, reject or defer; the text of the reply) of a mux socket. Raises ``OSError`` when nobody answers there."""
    request = encode_request(
        _bytes(login), _bytes(password), _bytes(service), _bytes(realm), _bytes(client) if client else None
    )
    with connect(place) as sock:
        sock.sendall(request)
        text = decode_reply(_until_end(sock))
    if text is None:
        return "defer", "(closed without a reply)"
    if text.startswith("OK"):
        return "accept", text
    return ("reject" if text.startswith("NO") else "defer"), text


def connect(place: str) -> socket.socket:
    """A connection to a path or to ``host:port``. Raises ``OSError``."""
    host, colon, port = place.rpartition(":")
    if "/" not in place and colon and port.isdigit():
        return socket.create_connection((host.strip("[]"), int(port)), TIMEOUT)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(TIMEOUT)
    try:
        sock.connect(os.fspath(place))
    except BaseException:
        sock.close()
        raise
    return sock


def _until_end(sock: socket.socket) -> bytes:
    data = b""
    while len(data) < 65_537 and (more := sock.recv(65_536)):
        data += more
    return data


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
