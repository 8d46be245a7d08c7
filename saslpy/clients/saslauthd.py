"""The mux socket, asked as libsasl2 does."""

from __future__ import annotations

from ..protocols.saslauthd import decode_reply, encode_request
from . import connect, until_end


def ask_saslauthd(  # noqa: PLR0913, PLR0917 (the fields of the protocol)
    place: str, login: str, password: str, service: str = "smtp", realm: str = "", client: str = ""
) -> tuple[str, str]:
    """(accept, reject or defer; the text of the reply) of a mux socket. Raises ``OSError`` when nobody answers there."""
    request = encode_request(
        _bytes(login), _bytes(password), _bytes(service), _bytes(realm), _bytes(client) if client else None
    )
    with connect(place) as sock:
        sock.sendall(request)
        text = decode_reply(until_end(sock))
    if text is None:
        return "defer", "(closed without a reply)"
    if text.startswith("OK"):
        return "accept", text
    return ("reject" if text.startswith("NO") else "defer"), text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
