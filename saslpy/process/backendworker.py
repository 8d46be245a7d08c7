"""The process that holds one backend written with blocking functions, and answers one question after another.

It may keep root's rights (PAM, shadow), so it reads nothing but the typed questions of the auth process, and may be
killed at any moment.
"""

from __future__ import annotations

import inspect
import os
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from ..backend import BadRecord
from ..settings import BackendSettings
from ..texts import describe
from . import questions, wire
from .questions import METHODS, Question


def serve(settings: BackendSettings, channel: socket.socket) -> None:
    """Answer until the other end is closed. The first packet tells what the backend can do, or why it cannot be opened."""
    try:
        manager = settings.plugin.open(settings.config)
        if not isinstance(manager, AbstractContextManager):
            raise TypeError("an isolated backend must be opened by a plain context manager")
        with manager as backend:
            channel.send(wire.encode(abilities(backend)))
            ours, room = os.getpid(), wire.Room()
            while packet := room.receive(channel):
                for answer in _answers(backend, questions.read_question(packet)):
                    if os.getpid() != ours:
                        # the backend (a PAM module, say) has forked, and come back here as its own child
                        os._exit(1)
                    channel.send(answer)
    except (BrokenPipeError, ConnectionResetError):
        return  # the auth process has given up on us
    except (Exception, SystemExit) as error:
        channel.send(wire.encode(["cannot", wire.text(describe(error))]))
        raise


def abilities(backend: Any) -> list[str]:
    """The methods of the contract that a backend has. Raises ``TypeError`` when one of them is not a blocking one."""
    found = [name for name in METHODS if callable(getattr(backend, name, None))]
    for name in found:
        if inspect.iscoroutinefunction(getattr(backend, name)):
            raise TypeError(f"{type(backend).__name__}.{name}() is async; an isolated backend has blocking methods")
    return ["can", *found]


def _answers(backend: Any, asked: Question) -> Iterator[bytes]:
    """One packet; for a listing as many as it needs, each made when the one before it has gone."""
    try:
        if asked.method == "accounts":
            yield from questions.pages(asked.number, backend.accounts())
        else:
            yield questions.answer(asked.number, _call(backend, asked))
    except (Exception, SystemExit) as error:
        password = asked.password.decode("utf-8", "surrogateescape")
        told = describe(error, (password, *asked.old, *asked.secrets))
        yield questions.raised(asked.number, told, isinstance(error, BadRecord))


def _call(backend: Any, asked: Question) -> Any:
    login = asked.login
    if asked.method in ("sample", "probe"):
        return getattr(backend, asked.method)()
    if asked.method == "may_send":
        return backend.may_send(asked.account, asked.address)
    if login is None:
        raise TypeError(f"{asked.method} needs a login")
    match asked.method:
        case "lookup" | "find":
            return getattr(backend, asked.method)(login)
        case "verify" | "verify_token":
            return getattr(backend, asked.method)(login, asked.password.decode("utf-8", "surrogateescape"))
        case "set_secrets":
            return backend.set_secrets(login.name, asked.secrets)
        case "replace_secrets":
            return backend.replace_secrets(login, asked.old, asked.secrets)
