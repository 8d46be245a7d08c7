"""``saslpy-checkpassword prog arg …``: djb's checkpassword, for qmail and its relatives; ``protocols.checkpassword`` tells.

It asks the running daemon over its HTTP socket, which answers the verdict and the account in one question, and is a file
whose mode says who may ask. The place is SASLPY_SOCKET in the environment, else ``PLACE``. The daemon alone reads its
configuration, with the secrets in it; callers may be root or a mail system's own user.

Root becomes the account's user, in this order: group, user, home. Anybody else stays who he is, and goes on in his own
folder where he may not enter the account's home: programs that only want the yes or no need no rights.

A process is made for each login, so this loads little: no dataclasses, no argparse, none of the daemon's own words.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from .protocols.checkpassword import (
    MAX_INPUT,
    MISUSED,
    REJECTED,
    TEMPORARY,
    UNKNOWN,
    Misused,
    asked_by_dovecot,
    client_of,
    dovecot_environment,
    is_lookup,
    new_environment,
    read_input,
    service_of,
)

PLACE = "/run/saslpy/http"
"""Where the daemon's HTTP socket is looked for."""

INPUT = 3
"""The descriptor that login and password come from."""

SECONDS = 20
"""For all that is done here; the daemon's own deadline is 8 as a rule."""

MAX_ANSWER = 1 << 20
STATUSES = {200: "accept", 403: "reject", 503: "defer"}


class Rejected(Exception):
    """It is a no."""


class Temporary(Exception):
    """It could not be found out, or the user's program cannot be run; the message says why, for the caller's log."""


def main(argv: Sequence[str] | None = None) -> int:
    """Become the program, or return the exit status."""
    program = list(sys.argv[1:] if argv is None else argv)
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(SECONDS)
    try:
        _run(program)
    except Rejected:
        return UNKNOWN if _wants_lookup(program) else REJECTED
    except Misused as fault:
        return _failed(MISUSED, str(fault))
    except Temporary as fault:
        return _failed(TEMPORARY, str(fault))
    except Exception as error:  # a traceback could show what was read, and its status would be "rejected"
        return _failed(TEMPORARY, f"a fault of ours: {type(error).__name__}")


def _too_late(_number: int, _frame: object) -> NoReturn:
    os._exit(_failed(TEMPORARY, f"not done in {SECONDS} s"))


def _failed(status: int, why: str) -> int:
    try:
        os.write(2, f"saslpy-checkpassword: {why}\n".encode("utf-8", "replace"))
    except OSError:
        return status  # where nobody reads, it has to do
    return status


def _wants_lookup(program: list[str]) -> bool:
    """Nobody but Dovecot is told of accounts without a password, whatever the environment says."""
    return asked_by_dovecot(program[0]) and is_lookup(os.environ)


def _run(program: list[str]) -> NoReturn:
    if not program:
        raise Misused("usage: saslpy-checkpassword prog [arg ...], with login and password on file descriptor 3")
    dovecot, lookup = asked_by_dovecot(program[0]), _wants_lookup(program)
    if lookup and "CREDENTIALS_LOOKUP" in os.environ:
        raise Temporary("stored passwords are given to nobody: use mechanisms that send the password (PLAIN, LOGIN)")
    given = read_input(_input())
    question = {"login": given.login, "service": service_of(os.environ), "client": client_of(os.environ)}
    if not lookup:
        question["password"] = given.password
    if dovecot:
        question["userdb"] = "2.3"  # 2.4 has no checkpassword any more
    verdict, account = ask(os.environ.get("SASLPY_SOCKET", PLACE), "/user" if lookup else "/login", question)
    if verdict == "reject":
        raise Rejected
    if verdict == "defer":
        raise Temporary(f"could not find out: {account.get('reason')}")
    if dovecot:
        _become(program, dovecot_environment(os.environ, account))
    enter(account)
    _become(program, new_environment(os.environ, account))


def _input() -> bytes:
    """What descriptor 3 holds, up to one byte more than it may. Raises ``Misused``."""
    data = b""
    try:
        while len(data) <= MAX_INPUT and (more := os.read(INPUT, MAX_INPUT + 1 - len(data))):
            data += more
        os.close(INPUT)
    except OSError as error:
        raise Misused(f"file descriptor {INPUT}: {error.strerror}") from None
    return data


# --- the daemon


def ask(place: str, path: str, question: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The verdict (accept, reject, defer), and all that was said. Raises ``Temporary``."""
    body = json.dumps(question).encode()
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    head = f"POST {path} HTTP/1.0\r\nHost: localhost\r\n{kind}\r\n\r\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
            sock.connect(place)
            sock.sendall(head.encode() + body)
            answer = _until_end(sock)
    except OSError as error:
        raise Temporary(f"cannot ask the daemon at {place}: {error.strerror or error}") from None
    return _understood(answer, place)


def _until_end(sock: socket.socket) -> bytes:
    data = b""
    while len(data) <= MAX_ANSWER and (more := sock.recv(65_536)):
        data += more
    return data


def _understood(answer: bytes, place: str) -> tuple[str, dict[str, Any]]:
    """The verdict is taken from the status and the body, which must agree. Raises ``Temporary``."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b" ", 2)[1:2]
    try:
        said = json.loads(body)
        verdict = STATUSES.get(int(status[0]))
        if verdict is not None and said.get("verdict") == verdict:
            return verdict, said
        why = str(said["error"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        why = "it hung up" if not answer else "it does not speak our protocol"
    raise Temporary(f"the daemon at {place} did not answer: {why}")


# --- becoming the program


def enter(account: Mapping[str, Any]) -> None:
    """Be the account's user, in his home. Raises ``Temporary``."""
    root = os.geteuid() == 0
    if root:
        switch(account)
    home = account.get("home") or "/"
    try:
        os.chdir(home)
    except OSError as error:
        if root or os.geteuid() == account.get("uid"):
            raise Temporary(f"the home {home}: {error.strerror}") from None


def switch(account: Mapping[str, Any]) -> None:
    """Give up root's rights for those of the account. Raises ``Temporary``."""
    uid, gid = account.get("uid"), account.get("gid")
    if not uid or not gid:
        raise Temporary("the account has no uid and gid, or root's: no program is run as root for it")
    try:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise Temporary(f"cannot become uid {uid}, gid {gid}: {error.strerror}") from None


def _become(program: list[str], environment: Mapping[str, str]) -> NoReturn:
    """Raises ``Temporary`` where there is no such program."""
    signal.alarm(0)
    # Python ignores these, and what a process ignores stays ignored: the program would write to readers that have gone
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(program[0], program, environment)  # noqa: S606 (that is what this program is for)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "a NUL in its environment"
        raise Temporary(f"cannot run {program[0]}: {why}") from None


if __name__ == "__main__":
    sys.exit(main())
