"""LOGIN (draft-murchison-sasl-login, never an RFC): what Outlook, printers and scanners speak.

The prompts are those that every server sends; some devices compare them. An initial response is the name, as Exchange
and Dovecot take it.
"""

from __future__ import annotations

from ..exchange import Client, Done, Flow, Mechanism, Verify, challenge, first, name_in, text

USERNAME, PASSWORD = b"Username:", b"Password:"


def run(client: Client) -> Flow:
    """Name and password, each asked for."""
    name = name_in((yield from first(client, USERNAME)))
    password = yield from challenge(PASSWORD)
    verdict = yield Verify(name, text(password))
    return Done(verdict)


LOGIN = Mechanism("LOGIN", "password", run)
