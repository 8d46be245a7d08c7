"""The command line. Only the parser is loaded here; each command loads what it needs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from .parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    _open_what_is_closed()
    arguments = parser().parse_args(argv)
    from .common import NotWritten, tell

    command = importlib.import_module(f".{arguments.module}", __name__)
    try:
        status: int = command.run(arguments)
    except KeyboardInterrupt:
        return 130
    except NotWritten as fault:
        if fault.args:
            tell(f"cannot write the answer: {fault}")
        # Python writes what is left once more at the end, and would change the status
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return fault.status
    return status


def _open_what_is_closed() -> None:
    """Standard input, output and error are open from here on: a socket that got such a number would be written to."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)
    # Python leaves None where it was started without one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 (as long as the process lives)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
