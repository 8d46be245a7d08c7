"""``[[listen]]`` with ``protocol = "submission"`` or ``"submissions"``."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from ..config import check_number
from ..listen import Listen
from ..logins import check_mechanisms
from ..networks import Network, check_narrow, networks
from ..servers.sockets import TcpPlace

_ONLY_LISTED = ("EXTERNAL", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "ANONYMOUS")
"""-PLUS: TLS 1.3 clients want a binding that Python's ssl has not. ANONYMOUS is refused even where it is listed."""

SILENCE = 10.0
"""The ``read_timeout`` that every listener has, and that is not for this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionListen(Listen):
    """Where people and programs send mail (RFC 6409, RFC 8314): "submission" begins TLS by STARTTLS, "submissions" at once.

    ``mechanisms``: those that are offered; empty for those of ``[auth]``, without EXTERNAL and -PLUS, which must be listed
    here. Connections from networks of ``proxy_protocol`` must begin with a header of the PROXY protocol, version 1 or 2;
    clients in those of ``xclient`` may say XCLIENT. ``max_connections_per_client`` are those of one address, an IPv6 one
    with all of its /64, over all workers. An address that others can reach needs no ``allow_remote``, but without
    ``[submission] require_tls``.
    """

    protocol: Literal["submission", "submissions"]
    mechanisms: tuple[str, ...] = ()
    proxy_protocol: tuple[str, ...] = ()
    xclient: tuple[str, ...] = ()
    max_connections_per_client: int = 50
    proxies: tuple[Network, ...] = field(default=(), init=False, repr=False)
    xclients: tuple[Network, ...] = field(default=(), init=False, repr=False)

    needs: ClassVar[tuple[str, ...]] = ("saslpy.process.submission", "saslpy.process.submissions")
    in_workers: ClassVar[bool] = True
    guarded: ClassVar[bool] = True  # by TLS, which is required, or `check` complains

    def __post_init__(self) -> None:
        # not super(): a dataclass with slots is made anew, and the class that super() knows is the first one
        Listen.__post_init__(self)
        check_number("max_connections_per_client", self.max_connections_per_client, 1, 1_000_000)
        if self.read_timeout != SILENCE:
            raise ValueError("read_timeout: [submission] has the timeouts of this protocol")
        check_mechanisms(self.mechanisms)
        if "ANONYMOUS" in self.mechanisms:
            number = self.mechanisms.index("ANONYMOUS")
            raise ValueError(f"mechanisms[{number}]: with ANONYMOUS anybody could send: an open relay")
        proxies = networks("proxy_protocol", self.proxy_protocol)
        check_narrow("proxy_protocol", proxies, "whoever is in it could pass for any other client")
        xclients = networks("xclient", self.xclient)
        check_narrow("xclient", xclients, "whoever is in it could send as any user, without a login: an open relay")
        object.__setattr__(self, "proxies", proxies)
        object.__setattr__(self, "xclients", xclients)

    @property
    def implicit(self) -> bool:
        """Whether TLS begins with the first byte."""
        return self.protocol == "submissions"

    @property
    def public(self) -> bool:
        """Whether others may reach it, for all that is known: systemd alone knows of its sockets."""
        if self.address is None:
            return self.systemd is not None
        place = self.place
        assert isinstance(place, TcpPlace)
        return not ipaddress.ip_address(place.host).is_loopback

    def offers(self, auth: Sequence[str]) -> tuple[str, ...]:
        """The mechanisms of this socket, where ``[auth]`` has these."""
        return self.mechanisms or tuple(name for name in auth if name not in _ONLY_LISTED)
