"""``saslpy hash``."""

from __future__ import annotations

import argparse

from .. import passwords
from ..passwords.prepare import to_store
from .common import Fault, password_from, say, table, tell


def run(arguments: argparse.Namespace) -> int:
    """Print ``{SCHEME}…`` of a password."""
    if arguments.list:
        rows = [[name, "weak" if passwords.weak(name) else "", text] for name, text in passwords.SCHEMES.items()]
        say(table(rows, ("scheme", "", "what it is")))
        return 0
    try:
        say(passwords.make(arguments.scheme, to_store(password_from(arguments, confirm=True)), arguments.login))
    except (Fault, ValueError) as error:
        tell(str(error))
        return 1
    return 0
