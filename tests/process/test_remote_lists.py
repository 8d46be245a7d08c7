"""An isolated backend's users: found, and listed in packets from a worker process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from saslpy import Account, Login
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import Reason
from saslpy.process import questions, wire
from saslpy.process.link import Link
from saslpy.process.remote import Remote

LISTS = """
import socket, sys, time
from contextlib import nullcontext
from saslpy import NEVER_HERE, Account, BadRecord, Plugin, Reason, Refusal
from saslpy.process.backendworker import serve
from saslpy.settings import BackendOptions, BackendSettings

class Lists:
    @property
    def case(self):
        return open(sys.argv[2]).read()

    def verify(self, login, password):
        return Account(login.name)

    def find(self, login):
        if login.name == "bad":
            raise BadRecord("two of them")
        return {"joe": Account("joe", home="/home/joe"), "elsewhere": NEVER_HERE}.get(login.name)

    def may_send(self, account, address):
        return (account.login, account.secrets, address) == ("joe", (), "sales@example.org")

    def accounts(self):
        if self.case == "none":
            return
        for number in range(10_000):
            yield Account(f"user{number:05}", ("{PLAIN}hunter2",), uid=number, home="/home/" + "x" * 100)
        if self.case == "hangs":
            time.sleep(60)
        if self.case == "raises":
            raise OSError("the disk is gone")
        if self.case == "odd":
            yield Account("odd", home=b"/")
        if self.case == "no text":
            yield Account("odd", name="\\udcff")
        if self.case == "huge":
            yield Account("odd", name="x" * 200_000)
        if self.case == "dies":
            import os; os._exit(3)

plugin = Plugin(object, lambda config: nullcontext(Lists()), isolated=True)
serve(BackendSettings("it", BackendOptions(type="it"), plugin, None), socket.socket(fileno=int(sys.argv[1])))
"""


class Started:
    """The worker processes of a test; ``case`` is how their lists end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.case("")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.ended: list[str] = []

    def case(self, name: str) -> None:
        """From here on, lists end like this."""
        self._file.write_text(name)

    async def start(self) -> Link:
        ours, theirs = wire.pair()
        with theirs:
            number = str(theirs.fileno())
            process = subprocess.Popen([sys.executable, "-c", LISTS, number, self._file], pass_fds=[theirs.fileno()])
        self.processes.append(process)

        def end(why: str) -> None:
            self.ended.append(why)
            process.kill()

        return Link(ours, end)


@asynccontextmanager
async def isolated(folder: Path) -> AsyncIterator[tuple[Guarded, Started]]:
    started = Started(folder / "case")
    try:
        async with (
            Remote.opened(started.start, 1) as remote,
            Guarded.around("b", remote, 10.0, Health(None), workers=remote.most) as guard,
        ):
            yield guard, started
        for process in started.processes:
            await trio.to_thread.run_sync(process.wait, 5)
    finally:
        for process in started.processes:
            process.kill()
            process.wait()


async def test_what_a_worker_can_tell(tmp_path: Path) -> None:
    async with isolated(tmp_path) as (guard, started):
        assert guard.can_find
        assert guard.can_list
        assert await guard.find(Login.of("joe")) == Account("joe", home="/home/joe")
        assert await guard.find(Login.of("nobody")) is None
        assert await guard.find(Login.of("elsewhere")) is None
        with pytest.raises(BackendFailed, match="two of them") as caught:
            await guard.find(Login.of("bad"))
        assert caught.value.one_login
        joe = Account("joe", ("{PLAIN}hunter2",))  # whose secrets the question leaves out
        assert await guard.may_send(joe, "sales@example.org")
        assert not await guard.may_send(joe, "ann@example.org")
        assert len(started.processes) == 1


async def test_a_list_of_many_pages(tmp_path: Path) -> None:
    """About 2 MB; logins are answered by another worker meanwhile, though there may be one alone."""
    async with isolated(tmp_path) as (guard, started):
        async with trio.open_nursery() as nursery:

            async def logins() -> None:
                for _ in range(20):
                    assert await guard.verify(Login.of("joe"), "x") == Account("joe")

            nursery.start_soon(logins)
            accounts = await guard.accounts()
        assert len(accounts) == 10_000
        assert accounts[7] == Account("user00007", uid=7, home="/home/" + "x" * 100)
        assert len(started.processes) == 2
        await trio.to_thread.run_sync(started.processes[1].wait, 5)  # that of the list has ended by itself
        assert started.ended == []
        assert await guard.verify(Login.of("joe"), "x")


BROKEN = {
    "raises": "the disk is gone",
    "odd": "an account 'odd' whose home is no text",
    "no text": "an account 'odd' with what is no text",
    "huge": "an account 'odd' of over",
    "dies": "its worker process ended",
}


async def test_a_list_that_breaks_off_is_none(tmp_path: Path) -> None:
    async with isolated(tmp_path) as (guard, started):
        for case, told in BROKEN.items():
            started.case(case)
            with pytest.raises(BackendFailed, match=told):
                await guard.accounts()
        started.case("none")
        assert await guard.accounts() == []
        assert started.ended == []
        started.case("hangs")
        with pytest.raises(BackendFailed) as caught:
            await guard.accounts(trio.current_time() + 1.0)
        assert caught.value.reason is Reason.TIMEOUT
        assert started.ended == ["did not list its users in time"]
        assert await guard.verify(Login.of("joe"), "x")


# --- pages


def test_pages_fit_into_packets() -> None:
    accounts = [Account(f"user{number}", name="é" * (number % 700)) for number in range(3000)]
    packets = list(questions.pages(7, accounts))
    assert all(len(packet) <= wire.MAX_PACKET for packet in packets)
    answers = [questions.read_answer(packet) for packet in packets]
    assert [account for answer in answers for account in answer.page] == accounts
    assert {answer.number for answer in answers} == {7}
    assert [answer.more for answer in answers] == [True] * (len(answers) - 1) + [False]


def test_no_secret_is_in_a_page() -> None:
    (packet,) = questions.pages(1, [Account("joe", ("{PLAIN}hunter2",))])
    assert b"hunter2" not in packet


# --- workers that have been taken over


def page(number: int, *accounts: Account, more: bool = True) -> bytes:
    return wire.encode(questions.Answer(number, page=accounts, more=more))


ODD: dict[str, Any] = {
    "an empty page": lambda number: [page(number)],
    "another's": lambda number: [page(number + 1, Account("joe"))],
    "another's behind it": lambda number: [page(number, Account("joe")), page(number - 1, Account("ann"), more=False)],
    "garbage": lambda number: [b"garbage"],
    "no accounts": lambda number: [wire.encode([number, None, None, None, None, False, False, [["joe"]], False])],
}


@pytest.mark.parametrize("case", ODD)
async def test_odd_pages_end_their_worker(case: str) -> None:
    ended: list[str] = []
    pairs = [wire.pair(), wire.pair()]
    left = list(pairs)
    for _, theirs in pairs:
        theirs.send(wire.encode(["can", "verify", "accounts"]))

    async def start() -> Link:
        return Link(left.pop(0)[0], ended.append)

    async def answer() -> None:
        theirs = pairs[1][1]
        await trio.lowlevel.wait_readable(theirs)
        asked = questions.read_question(theirs.recv(wire.MAX_PACKET))
        for packet in ODD[case](asked.number):
            theirs.send(packet)

    async with (
        Remote.opened(start, 1) as remote,
        Guarded.around("b", remote, 5.0, Health(None), workers=1) as guard,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(answer)
        with trio.fail_after(5), pytest.raises(BackendFailed, match="its worker process ended"):
            await guard.accounts()
    assert len(ended) == 1
    for _, theirs in pairs:
        theirs.close()
