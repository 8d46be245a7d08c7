"""ANONYMOUS (RFC 4505): nobody in particular, with a trace that is only logged."""

from __future__ import annotations

from ..exchange import Client, Done, Enter, Flow, MalformedResponse, Mechanism, first, text

MAX_TRACE = 255
"""Characters of a trace (RFC 4505, 2)."""


def run(client: Client) -> Flow:
    """One message, client first."""
    trace = text((yield from first(client)))
    if len(trace) > MAX_TRACE:
        raise MalformedResponse(f"a trace of over {MAX_TRACE} characters")
    verdict = yield Enter(trace)
    return Done(verdict)


ANONYMOUS = Mechanism("ANONYMOUS", "nothing", run)
