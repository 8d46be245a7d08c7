"""A backend whose work is done in other processes: to the core it is a backend like any other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import trio

from ..backend import Found
from ..guard import BackendFailed
from ..listing import MOST
from ..model import Account, Login, Reason, Refusal
from ..opening import OPENING
from . import questions
from .link import Link, OddAnswer, WorkerEnded
from .questions import METHODS, Answer, Method

RECYCLE = 1000
"""Questions after which a worker is replaced: PAM modules leak."""

Start: TypeAlias = Callable[[], Awaitable[Link]]


class _Worker:
    """One process, and how many questions it has answered."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.answered = 0


class Remote:
    """Asks a pool of workers. It has the methods that the backend has; each raises ``BackendFailed`` when it cannot say.

    ``most`` workers at a time. The guard lets through no more questions, but for the write of an upgrade, which waits.
    """

    def __init__(self, start: Start, most: int) -> None:
        self.most = most
        self._start = start
        self._limiter = trio.CapacityLimiter(most)
        self._idle: list[_Worker] = []
        self._asked = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, start: Start, most: int) -> AsyncIterator[Remote]:
        """The backend, once a first worker has opened it. Raises ``BackendFailed`` with its reason when that cannot be."""
        remote = cls(start, most)
        try:
            await remote._meet()
            yield remote
        finally:
            for worker in remote._idle:
                worker.link.close()

    async def _meet(self) -> None:
        """Start a worker, and take over what it says that the backend can do."""
        worker, can = await self._begin()
        self._idle.append(worker)
        own: dict[str, Any] = {
            "lookup": self._lookup,
            "verify": self._verify,
            "verify_token": self._verify_token,
            "find": self._find,
            "accounts": self._accounts,
            "may_send": self._may_send,
            "sample": self._sample,
            "probe": self._probe,
            "set_secrets": self._set_secrets,
            "replace_secrets": self._replace_secrets,
        }
        for name in can:
            setattr(self, name, own[name])

    async def _begin(self) -> tuple[_Worker, Sequence[str]]:
        with trio.move_on_after(OPENING):
            link = await self._start()
            try:
                return _Worker(link), _abilities(await link.receive())
            except WorkerEnded as ended:
                _end(link, ended)
                raise BackendFailed(Reason.BACKEND_FAILED, f"its worker process did not start: {ended}") from None
            except BackendFailed:
                link.close()
                raise
            except BaseException:  # cancelled: it may never be done
                link.end("did not open its backend in time")
                link.close()
                raise
        raise BackendFailed(Reason.TIMEOUT, f"its worker process did not start in {OPENING:g} s")

    async def _lookup(self, login: Login) -> Found:
        answer = await self._ask("lookup", login)
        return answer.account or answer.refusal

    async def _verify(self, login: Login, password: str) -> Account | Refusal:
        return _definite(await self._ask("verify", login, password))

    async def _verify_token(self, login: Login, token: str) -> Account | Refusal:
        return _definite(await self._ask("verify_token", login, token))

    async def _find(self, login: Login) -> Found:
        answer = await self._ask("find", login)
        return answer.account or answer.refusal

    async def _may_send(self, account: Account, address: str) -> bool:
        return (await self._answered(lambda number: questions.may_send(number, account, address))).yes

    async def _accounts(self) -> Sequence[Account]:
        """All of them, from a worker that is started for this and ends with it: the others are there for the logins."""
        worker, _ = await self._begin()
        number = self._next()
        try:
            accounts = await _listed(worker.link, number, questions.question(number, "accounts"))
        except WorkerEnded as ended:
            _end(worker.link, ended)
            raise BackendFailed(Reason.BACKEND_FAILED, f"its worker process ended: {ended}") from None
        except BackendFailed:
            worker.link.close()
            raise
        except BaseException:  # cancelled
            worker.link.end("did not list its users in time")
            worker.link.close()
            raise
        worker.link.close()
        return accounts

    async def _sample(self) -> str | None:
        return (await self._ask("sample")).text

    async def _probe(self) -> str:
        return (await self._ask("probe")).text or ""

    async def _set_secrets(self, login: str, secrets: Sequence[str]) -> None:
        await self._ask("set_secrets", Login.of(login), "", tuple(secrets))

    async def _replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        return (await self._ask("replace_secrets", login, "", tuple(new), tuple(old))).yes

    async def _ask(
        self,
        method: Method,
        login: Login | None = None,
        password: str = "",
        secrets: tuple[str, ...] = (),
        old: tuple[str, ...] = (),
    ) -> Answer:
        return await self._answered(lambda number: questions.question(number, method, login, password, secrets, old))

    def _next(self) -> int:
        """The number of a question: no two have the same."""
        self._asked += 1
        return self._asked

    async def _answered(self, packet_of: Callable[[int], bytes]) -> Answer:
        """One question to an idle worker, or to a new one. The caller's deadline ends the worker that is at it."""
        number = self._next()
        packet = packet_of(number)
        async with self._limiter:
            worker = self._take() or (await self._begin())[0]
            answer = await self._exchange(worker, number, packet)
        if answer.raised is not None:
            raise BackendFailed(Reason.BACKEND_FAILED, answer.raised, one_login=answer.bad_record)
        return answer

    def _take(self) -> _Worker | None:
        """An idle worker that is still there; the one that was used last."""
        while self._idle:
            worker = self._idle.pop()
            try:
                if worker.link.alive():
                    return worker
                ended = WorkerEnded("the process has ended")
            except OddAnswer as odd:
                ended = odd
            _end(worker.link, ended)
        return None

    async def _exchange(self, worker: _Worker, number: int, packet: bytes) -> Answer:
        try:
            if not worker.link.send(packet):
                raise OddAnswer("it does not read")
            answer: Answer = await worker.link.receive(questions.read_answer)
            if answer.number != number:
                raise OddAnswer("it answers another question")  # it may be another user's
        except WorkerEnded as ended:
            _end(worker.link, ended)
            raise BackendFailed(Reason.BACKEND_FAILED, f"its worker process ended: {ended}") from None
        except BaseException:  # cancelled: nobody knows what it is at
            worker.link.end("did not answer in time")
            worker.link.close()
            raise
        worker.answered += 1
        if worker.answered >= RECYCLE:
            worker.link.close()
        else:
            self._idle.append(worker)
        return answer


def _definite(answer: Answer) -> Account | Refusal:
    found = answer.account or answer.refusal
    if found is None:
        raise BackendFailed(Reason.BACKEND_FAILED, "the backend answered None, not Account or Refusal")
    return found


async def _listed(link: Link, number: int, packet: bytes) -> list[Account]:
    """The accounts in all pages of an answer. Raises ``BackendFailed`` where it says why not, and ``WorkerEnded``."""
    if not link.send(packet):
        raise OddAnswer("it does not read")
    accounts: list[Account] = []
    more = True
    while more:
        answer: Answer = await link.receive(questions.read_answer)
        if answer.number != number:
            raise OddAnswer("it answers another question")
        if answer.raised is not None:
            raise BackendFailed(Reason.BACKEND_FAILED, answer.raised)
        more = answer.more
        if more and not answer.page:
            raise OddAnswer("it sends an empty page")
        accounts += answer.page
        if len(accounts) > MOST:
            raise OddAnswer(f"it lists more than {MOST} accounts")
    return accounts


def _end(link: Link, ended: WorkerEnded) -> None:
    """Done with a worker: one that says what nobody has asked is killed."""
    if isinstance(ended, OddAnswer):
        link.end(str(ended))
    link.close()


def _abilities(words: Any) -> Sequence[str]:
    """What a worker says that its backend can do. Raises ``BackendFailed`` when it could not open it, and ``OddAnswer``."""
    match words:
        case ["can", *names] if all(name in METHODS for name in names):
            return names
        case ["cannot", str(why)]:
            raise BackendFailed(Reason.BACKEND_FAILED, why)
    raise OddAnswer("odd words")
