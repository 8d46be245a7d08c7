"""The saslauthd mux protocol of Cyrus SASL (saslauthd/ipc_unix.c, lib/checkpw.c): both sides, without I/O.

One request and one reply a connection, no greeting::

    request := login password service realm [client]
    field   := length(2 bytes, big endian) bytes[length]
    reply   := length(2 bytes, big endian) text          "OK", "OK …", "NO", "NO …"

No release of Cyrus sends the fifth field (the mail client's ``address;port``), its development branch does, and nothing
announces it. So a request is complete with four fields, and a fifth counts if it is already there. Exim writes the four
fields one by one. A connection that is closed without a reply is the one way to say "could not find out": libsasl2
turns it into SASL_FAIL, Postfix that into 454, and Exim defers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from . import ProtocolError

MAX_FIELD = 8192
"""Bytes of one field. Cyrus itself stops at 256; tokens are longer, and libsasl2 sends 8192 bytes in all at most."""

MAX_REPLY = 255
"""Bytes of a reply's text; libsasl2 cuts it at 1023, Exim at 1024."""


class FieldTooLong(ProtocolError):
    """A field is longer than the limit. Its sender is told no, since waiting will not make it shorter."""


@dataclass(frozen=True, slots=True)
class Request:
    """A login to check. Fields are bytes as sent; ``client`` is the mail client's address, without its port."""

    login: bytes
    password: bytes = field(repr=False)
    service: bytes = b""
    realm: bytes = b""
    client: bytes = b""


class RequestReader:
    """Takes bytes in pieces of any size, gives the request when it is complete."""

    __slots__ = ("_buffer", "_max_field")

    def __init__(self, max_field: int = MAX_FIELD) -> None:
        self._buffer = b""
        self._max_field = max_field

    def receive(self, data: bytes) -> Request | None:
        """The request if it is complete now, None when more is needed. Raises ``ProtocolError``."""
        self._buffer = self._buffer + data if self._buffer else data
        fields, end = self._fields(4)
        if len(fields) < 4:
            return None
        extra, _ = self._fields(1, end, strict=False)
        return Request(fields[0], fields[1], fields[2], fields[3], _address(extra[0]) if extra else b"")

    @property
    def started(self) -> bool:
        """Whether any byte has come."""
        return bool(self._buffer)

    def _fields(self, count: int, start: int = 0, strict: bool = True) -> tuple[list[bytes], int]:
        """Up to ``count`` complete fields from ``start``, and where they end."""
        buffer = self._buffer
        fields: list[bytes] = []
        have = len(buffer)
        while len(fields) < count and have >= start + 2:
            length = buffer[start] << 8 | buffer[start + 1]
            if length > self._max_field:
                if strict:
                    raise FieldTooLong(f"field {len(fields) + 1} has {length} bytes, the limit is {self._max_field}")
                break
            end = start + 2 + length
            if have < end:
                break
            fields.append(buffer[start + 2 : end])
            start = end
        return fields, start


def _address(client: bytes) -> bytes:
    """The address of Cyrus's ``address;port``."""
    return client.partition(b";")[0]


def encode_request(
    login: bytes, password: bytes, service: bytes = b"", realm: bytes = b"", client: bytes | None = None
) -> bytes:
    """The bytes of a request. Raises ``ProtocolError`` for a field of over 65535 bytes."""
    fields = [login, password, service, realm] + ([] if client is None else [client])
    return b"".join(_counted(value) for value in fields)


def _counted(value: bytes) -> bytes:
    if len(value) > 0xFFFF:
        raise ProtocolError(f"a field of {len(value)} bytes; two bytes count to 65535")
    return len(value).to_bytes(2, "big") + value


def encode_reply(text: str) -> bytes:
    """The bytes of a reply, cut to ``MAX_REPLY``."""
    return _counted(text.encode("ascii", "replace")[:MAX_REPLY])


OK = encode_reply("OK")
NO = encode_reply("NO authentication failed")


def decode_reply(data: bytes) -> str | None:
    """The text of a reply as a client gets it; None when the server hung up first (a passing failure)."""
    if len(data) < 2:
        return None
    length = int.from_bytes(data[:2], "big")
    if length < 2 or len(data) < 2 + length:
        return None
    return data[2 : 2 + length].decode("ascii", "replace")
