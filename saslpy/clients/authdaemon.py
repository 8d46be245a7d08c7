"""Courier's authdaemon socket, asked as its own library does."""

from __future__ import annotations

from contextlib import closing

from ..protocols.authdaemon import decode_reply, encode_login
from . import NoSense, connect, until_end


def ask_authdaemon(place: str, login: str, password: str, service: str = "smtp", client: str = "") -> tuple[str, str]:
    """(accept, reject or defer; the address of the account). Raises ``OSError`` when nobody answers, ``NoSense``."""
    words = [word.encode("utf-8", "surrogateescape") for word in (service, login, password, client)]
    if any(b"\n" in word for word in words):
        raise ValueError("a line end in a name or password cannot be sent")
    with closing(connect(place)) as sock:
        sock.sendall(encode_login(*words))
        answer = until_end(sock)
    if not answer:
        return "defer", "(closed without a reply)"
    told = decode_reply(answer)
    if isinstance(told, dict):
        return "accept", f"ADDRESS={told['ADDRESS']}" if "ADDRESS" in told else ""
    if told is False:
        return "reject", "FAIL"
    raise NoSense("its answer has no end")
