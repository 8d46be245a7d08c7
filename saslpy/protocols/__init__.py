"""Wire formats: bytes to events and back, without a socket, a clock or an await."""

from __future__ import annotations


class ProtocolError(ValueError):
    """What came is not of the protocol; the connection, or the question, ends. The message never holds what came."""
