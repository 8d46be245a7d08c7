"""EXTERNAL (RFC 4422, appendix A): who the client is was found out elsewhere, by its certificate.

The one message is the authorization identity, mostly empty.
"""

from __future__ import annotations

from ..exchange import Client, Done, Flow, MalformedResponse, Mechanism, Trust, first, text
from ..model import Reason, Reject


def run(client: Client) -> Flow:
    """One message, client first."""
    authzid = yield from first(client)
    if b"\0" in authzid:
        raise MalformedResponse("a NUL in the identity")
    if not client.certificate:
        return Done(Reject(Reason.NO_CERTIFICATE))
    verdict = yield Trust(client.certificate, text(authzid))
    return Done(verdict)


EXTERNAL = Mechanism("EXTERNAL", "certificate", run)
