"""The command line. Only the parser is loaded here; each command loads what it needs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from .parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = parser().parse_args(argv)
    command = importlib.import_module(f".{arguments.module}", __name__)
    try:
        status: int = command.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our output has gone (`| head`); nothing more can be told
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
