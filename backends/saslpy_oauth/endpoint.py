"""Where an introspection endpoint is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Endpoint:
    """``target`` is the path with its query, as a request line has it."""

    tls: bool
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port, as the field Host has them (RFC 9110, 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"

    def __str__(self) -> str:
        """As the log shows it: without the query."""
        return f"{'https' if self.tls else 'http'}://{self.authority}{self.target.partition('?')[0]}"


class Fault(Exception):
    """The endpoint could not be asked, or what it said is no answer. The message holds no secret and no token."""
