"""PLAIN (RFC 4616): ``[authzid] NUL authcid NUL passwd``."""

from __future__ import annotations

from ..exchange import Client, Done, Flow, MalformedResponse, Mechanism, Verify, first, text


def run(client: Client) -> Flow:
    """One message, client first."""
    fields = (yield from first(client)).split(b"\0")
    if len(fields) != 3:
        raise MalformedResponse(f"{len(fields) - 1} NULs in place of 2")
    authzid, authcid, password = map(text, fields)
    verdict = yield Verify(authcid, password, authzid)
    return Done(verdict)


PLAIN = Mechanism("PLAIN", "password", run)
