"""What PAM's modules are told: the password to a hidden prompt, the name to an open one, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

PROMPT_ECHO_OFF, PROMPT_ECHO_ON, ERROR_MSG, TEXT_INFO = 1, 2, 3, 4
"""The styles of Linux-PAM that can be served; PAM_RADIO_TYPE and PAM_BINARY_PROMPT cannot."""

MAX_MESSAGES = 32
"""PAM_MAX_NUM_MSG: what one call may hold."""

MAX_ANSWER = 511
"""Bytes of an answer: PAM_MAX_RESP_SIZE less the NUL at its end. Modules have buffers of this size."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The answers for one login. A stack of several modules may ask several times: all get the same."""

    user: bytes
    password: bytes = field(repr=False)

    def answers(self, styles: Sequence[int]) -> list[bytes | None] | None:
        """One answer for each message, None where none is wanted; None for all when there is one we cannot answer.

        The texts of the messages do not matter: they are translated, and no two modules ask in the same words. Messages
        that only tell something are taken and dropped, since to refuse them would fail the question beside them.
        """
        served = {PROMPT_ECHO_OFF: self.password, PROMPT_ECHO_ON: self.user, ERROR_MSG: None, TEXT_INFO: None}
        if not 0 < len(styles) <= MAX_MESSAGES or not served.keys() >= set(styles):
            return None
        return [served[style] for style in styles]
