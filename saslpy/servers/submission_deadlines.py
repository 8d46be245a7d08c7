"""How long a client may take, by where its connection is.

A deadline for each read is not enough: who sends a byte now and then would hold a connection for ever (Slowloris). So a
command has one deadline from the reply before it to its end, all that comes before a login together has one, and content
must come with a least rate, on the average.
"""

from __future__ import annotations

from ..protocols.smtp.server import Connection
from ..protocols.smtp.states import State
from .submission_options import SubmissionOptions

LEAST_RATE = 100
"""Octets of content a second. Only the time counts in which we wait for the client, not the next hop's."""

_CONTENT = (State.DATA, State.CHUNK, State.CHUNKS)
"""Between two chunks, too: else a chunk of one octet, now and then, would hold a message and its hop for ever."""


class Pace:
    """One connection's. Times are a clock's, in seconds."""

    __slots__ = ("_begun", "_octets", "_options", "_turn", "_waited")

    def __init__(self, options: SubmissionOptions, now: float) -> None:
        self._options = options
        self._begun = self._turn = now
        self._waited = 0.0
        self._octets = 0

    def turn(self, now: float) -> None:
        """It is the client's turn."""
        self._turn = now

    def message(self) -> None:
        """Content begins."""
        self._waited, self._octets = 0.0, 0

    def until(self, machine: Connection, known: bool, now: float) -> float:
        """When the client must have said something. ``known``: it has logged in, or need not."""
        if machine.state in _CONTENT:
            enough = self._options.data_timeout + self._octets / LEAST_RATE - self._waited
            return now + min(self._options.data_timeout, max(enough, 0.0))
        begun = self._turn if known else self._begun
        return begun + self._options.command_timeout

    def heard(self, machine: Connection, octets: int, seconds: float) -> None:
        """So much has come, and was waited for so long."""
        if machine.state in _CONTENT:
            self._octets += octets
            self._waited += seconds
