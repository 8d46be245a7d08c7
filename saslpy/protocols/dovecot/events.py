"""What happens on a client socket of the Dovecot auth protocol (``client``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Hello:
    """VERSION: now it is known what the client can do. The greeting must have been sent before anything else is taken."""


@dataclass(frozen=True, slots=True)
class Begin:
    """AUTH: an exchange begins. ``initial`` is None where there is no initial response, which is not an empty one.

    ``client`` is what was said to be its address. ``certificate`` is the name in a client certificate that was
    verified. ``takes_final``: the mechanism's last data may come with OK. ``login_follows``: another process will ask
    the master socket for this user.
    """

    id: int
    mechanism: str
    initial: bytes | None = field(repr=False)
    service: str
    client: str = ""
    secured: bool = False
    certificate: str = ""
    takes_final: bool = False
    login_follows: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """CONT: the answer to a challenge."""

    id: int
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Binding:
    """CONT #: the channel-binding data, None where the client has none."""

    id: int
    data: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Over:
    """An exchange that the client has ended, or that cannot go on; ``reply`` is to be sent, and may be empty.

    It may never have begun.
    """

    id: int
    reply: bytes = b""


Event: TypeAlias = Hello | Begin | Response | Binding | Over
