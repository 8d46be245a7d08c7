"""One login through libpam: pamela's bindings, with what pamela leaves out.

pamela's own ``authenticate`` cannot set PAM_RHOST or flags, crashes on bytes, cuts at a NUL, and runs pam_setcred. Its
low level is sound, with one trap: a callback must live until pam_end, or another request's closure answers the prompt.
So there are two callbacks for the life of the process, and libpam hands back a number that says whose login it is.
"""

from __future__ import annotations

import itertools
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_uint, c_void_p, cast, pointer, sizeof
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .codes import BUF_ERR, CONV_ERR, SUCCESS, SYSTEM_ERR, Stage
from .conversation import Conversation

try:
    import pamela  # type: ignore[import-untyped]
except (OSError, AttributeError) as error:
    raise ImportError(f"libpam cannot be loaded: {error}") from error

SILENT = 0x8000
DISALLOW_NULL_AUTHTOK = 0x0001
FLAGS = SILENT | DISALLOW_NULL_AUTHTOK
"""No texts for a terminal; and an account without a password is not open, whatever "nullok" says."""

USER, TTY, RHOST, FAIL_DELAY = 2, 3, 4, 10
"""Items, pam_set_item(3)."""

TERMINAL = b"saslpy"
"""PAM_TTY: pam_access and others want one, and daemons give their name (sshd "ssh", Dovecot "dovecot")."""

_DELAY_FUNC = CFUNCTYPE(None, c_int, c_uint, c_void_p)


class NoConfdir(RuntimeError):
    """This libpam reads /etc/pam.d only."""


@dataclass(frozen=True, slots=True)
class Question:
    """One login. Bytes without a NUL: C would stop there, and check another password than the one that was sent."""

    service: str
    user: bytes
    password: bytes = field(repr=False)
    rhost: bytes = b""  # the mail client's address
    confdir: Path | None = None

    def __post_init__(self) -> None:
        if any(b"\0" in part for part in (self.user, self.password, self.rhost)):
            raise ValueError("a NUL in a name, a password or an address")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How far it went, with which code; and the user's name as the modules left it, after a success."""

    stage: Stage
    code: int
    user: bytes = b""


class Libpam:
    """libpam with its callbacks. May be used by several threads, if the modules may."""

    def __init__(self) -> None:
        self._talks: dict[int, Conversation] = {}
        self._numbers = itertools.count(1)
        self._converse = pamela.CONV_FUNC(self._on_prompt)
        self._delay = _DELAY_FUNC(_no_delay)
        self._start_confdir = _start_confdir()

    def ask(self, question: Question) -> Outcome:
        """pam_authenticate, then pam_acct_mgmt. Blocks as long as the modules do. Raises ``NoConfdir``."""
        number = next(self._numbers)
        self._talks[number] = Conversation(question.user, question.password)
        try:
            handle = pamela.PamHandle()
            code = self._start(handle, question, number)
            if code != SUCCESS:
                return Outcome(Stage.START, code)  # libpam has ended it itself
            return self._ask(handle, question)
        finally:
            del self._talks[number]

    def _start(self, handle: Any, question: Question, number: int) -> int:
        conversation = pointer(pamela.PamConv(self._converse, number))  # libpam copies the structure
        service = question.service.encode("ascii")
        if question.confdir is None:
            return int(pamela.PAM_START(service, question.user, conversation, pointer(handle)))
        if self._start_confdir is None:
            raise NoConfdir("confdir: this libpam cannot read another folder than /etc/pam.d (Linux-PAM before 1.4)")
        folder = bytes(question.confdir)
        return int(self._start_confdir(service, question.user, conversation, folder, pointer(handle)))

    def _ask(self, handle: Any, question: Question) -> Outcome:
        code = SYSTEM_ERR  # what pam_end is told when one of ours fails
        try:
            outcome = self._stages(handle, question)
            code = outcome.code
            return outcome
        finally:
            pamela.PAM_END(handle, code)

    def _stages(self, handle: Any, question: Question) -> Outcome:
        code = self._set_items(handle, question)
        if code != SUCCESS:
            return Outcome(Stage.START, code)
        code = pamela.PAM_AUTHENTICATE(handle, FLAGS)
        if code != SUCCESS:
            return Outcome(Stage.AUTH, code)
        code = pamela.PAM_ACCT_MGMT(handle, FLAGS)
        return Outcome(Stage.ACCOUNT, code, _user_of(handle) if code == SUCCESS else b"")

    def _set_items(self, handle: Any, question: Question) -> int:
        """The first code that is no success."""
        # without it pam_unix has libpam sleep for two seconds after a wrong password; the core has a floor of its own
        delay = cast(self._delay, c_char_p)
        items = [(FAIL_DELAY, delay), (TTY, TERMINAL), *([(RHOST, question.rhost)] if question.rhost else [])]
        codes = (int(pamela.PAM_SET_ITEM(handle, item, value)) for item, value in items)
        return next((code for code in codes if code != SUCCESS), SUCCESS)

    def _on_prompt(self, count: int, messages: Any, responses: Any, number: int | None) -> int:
        """The conversation function, pam_conv(3)."""
        try:
            talk = self._talks[number or 0]
            styles = [messages[at].contents.msg_style for at in range(count)]
            answers = talk.answers(styles)
            return CONV_ERR if answers is None else _hand_over(answers, responses)
        except BaseException:  # there is no way through C for it, and ctypes would print it with what it has seen
            return CONV_ERR


def _hand_over(answers: list[bytes | None], responses: Any) -> int:
    """Copies that libpam's modules wipe and free, as pam_conv(3) has it."""
    memory = pamela.CALLOC(len(answers), sizeof(pamela.PamResponse))
    if not memory:
        return BUF_ERR
    array = cast(memory, POINTER(pamela.PamResponse))
    for at, answer in enumerate(answers):
        if answer is not None:
            array[at].resp = pamela.STRDUP(answer)
    responses[0] = array
    return SUCCESS


def _no_delay(_status: int, _microseconds: int, _data: int | None) -> None:
    """Instead of sleeping."""


def _user_of(handle: Any) -> bytes:
    """PAM_USER: a module may have put the canonical name there. Empty when it cannot be had."""
    item = c_void_p()
    code = pamela.PAM_GET_ITEM(handle, USER, byref(item))
    return (cast(item, c_char_p).value or b"") if code == SUCCESS else b""


def _start_confdir() -> Any:
    """pam_start_confdir(3), or None where libpam is older."""
    try:
        function = pamela.LIBPAM["pam_start_confdir"]
    except AttributeError:
        return None
    function.restype = c_int
    function.argtypes = [c_char_p, c_char_p, POINTER(pamela.PamConv), c_char_p, POINTER(pamela.PamHandle)]
    return function
