"""Courier's authdaemon socket, asked as its own library does."""

from __future__ import annotations

from contextlib import closing

from . import NoSense, connect, until_end


def ask_authdaemon(place: str, login: str, password: str, service: str = "smtp", client: str = "") -> tuple[str, str]:
    """(accept, reject or defer; the address of the account). Raises ``OSError`` when nobody answers, ``NoSense``."""
    words = [word.encode("utf-8", "surrogateescape") for word in (service, "login", login, password)]
    if any(b"\n" in word for word in words):
        raise ValueError("a line end in a name or password cannot be sent")
    body = b"\n".join(words) + b"\n"
    told = f"TCPREMOTEIP={client}\n".encode() if client else b""
    with closing(connect(place)) as sock:
        sock.sendall(told + b"AUTH %d\n" % len(body) + body)
        answer = until_end(sock)
    lines = answer.decode("utf-8", "replace").split("\n")
    if not answer:
        return "defer", "(closed without a reply)"
    if lines[0] == "FAIL":
        return "reject", "FAIL"
    if "." in lines:
        return "accept", next((line for line in lines if line.startswith("ADDRESS=")), "")
    raise NoSense("its answer has no end")
