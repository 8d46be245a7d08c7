"""How a submission server behaves: what the configuration says, as the server takes it."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..networks import Network, within
from ..protocols.smtp.options import Limits
from ..submission.fixups import Rules
from ..submission.identity import Binding
from ..submission.options import Legacy, Submission


@dataclass(frozen=True, kw_only=True)
class SubmissionOptions:
    """One listener's, which is called ``listen``. Times in seconds.

    ``mechanisms`` are those that the listener lists. ``context`` is None where there is no TLS; ``implicit``: TLS from the
    first byte. ``proxy_protocol``: connections from there must begin with a PROXY header. ``xclient``: clients there may
    say XCLIENT. ``per_client``: connections of one client at a time, over all workers. ``legacy``: what an address may
    without a login.
    ``future_release``: how long a next hop may be asked to hold a message, 0 for not at all.
    """

    hostname: str
    listen: str = ""
    mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    context: ssl.SSLContext | None = None
    implicit: bool = False
    require_tls: bool = True
    sender_binding: Binding = "strict"
    rules: Rules = field(default_factory=lambda: Rules(()))
    trace_client: bool = False
    trace_login: bool = False
    repair_line_ends: bool = False
    future_release: int = 0
    proxy_protocol: Sequence[Network] = ()
    xclient: Sequence[Network] = ()
    per_client: int = 50
    command_timeout: float = 300.0
    data_timeout: float = 180.0
    handshake_timeout: float = 30.0
    limits: Limits = field(default_factory=Limits)
    legacy: Callable[[str], Legacy | None] = lambda client: None

    @classmethod
    def of(cls, submission: Submission, **of_listener: object) -> SubmissionOptions:
        """From the configuration: what ``[submission]`` says for all, and keys above for one listener."""
        values: dict[str, object] = {
            "hostname": submission.hostname,
            "require_tls": submission.require_tls,
            "sender_binding": submission.sender_binding,
            "rules": submission.rules,
            "trace_client": submission.trace_client,
            "trace_login": submission.trace_login,
            "repair_line_ends": submission.repair_line_ends,
            "future_release": submission.future_release,
            "command_timeout": submission.command_timeout,
            "data_timeout": submission.data_timeout,
            "handshake_timeout": submission.handshake_timeout,
            "limits": submission.limits.of_session,
        }
        if submission.legacy:  # else no address is looked at
            values["legacy"] = submission.legacy_of
        return cls(**{**values, **of_listener})  # type: ignore[arg-type]

    def legacy_of(self, client: str) -> Legacy | None:
        """What a client may without a login. Those who speak for others may nothing: theirs are strangers."""
        return None if self.xclient and within(client, self.xclient) else self.legacy(client)
