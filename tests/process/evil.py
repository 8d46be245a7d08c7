"""A plug-in that does what no plug-in should, and a daemon with some of its own parts changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ..real import saslpy as real

PLUGIN = """
import os, socket, subprocess, threading, time
import trio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from saslpy import Account, Plugin
from saslpy.model import Reason, Refusal

@dataclass(frozen=True, kw_only=True)
class Config:
    password: str = "secret"
    sleep: str = "60"
    delay: float = 0
    blocks: float = 0
    waits: float = 0

def double_fork(seconds):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.execvp("sleep", ["sleep", seconds])
        os._exit(0)

def thread_fork(seconds):
    def run():
        subprocess.Popen(["sleep", seconds], start_new_session=True)
        time.sleep(900)
    threading.Thread(target=run, daemon=True).start()
    time.sleep(0.2)

def shout(packet):
    for name in os.listdir("/proc/self/fd"):
        try:
            with socket.socket(fileno=os.dup(int(name))) as sock:
                if sock.type == socket.SOCK_SEQPACKET:
                    sock.send(packet, socket.MSG_DONTWAIT)
        except OSError:
            pass

class Verifier:
    def __init__(self, config):
        self.config = config

    def verify(self, login, password):
        match login.name.partition("-")[::2]:
            case "hang", _:
                time.sleep(900)
            case "exit", status:
                os._exit(int(status))
            case "doublefork", then:
                double_fork(self.config.sleep)
                if then == "hang":
                    time.sleep(900)
            case "threadfork", _:
                thread_fork(self.config.sleep)
                time.sleep(900)
            case "shout", length:
                packet = bytes.fromhex(password)
                shout(packet * int(length or 1))
        if self.config.delay:
            time.sleep(self.config.delay)
            return None
        if login.name == "joe":
            return Account("joe", ()) if password == self.config.password else Refusal(Reason.WRONG_PASSWORD)
        return None

@contextmanager
def plain(config):
    yield Verifier(config)

@asynccontextmanager
async def blocking(config):
    time.sleep(config.blocks)
    await trio.sleep(config.waits)
    yield Verifier(config)

here = Plugin(Config, plain)
isolated = Plugin(Config, plain, isolated=True)
blocked = Plugin(Config, blocking)
"""


def plugged(place: Path) -> dict[str, str]:
    """The environment in which ``evil`` (in the auth process), ``evil-apart`` and ``evil-blocking`` are types."""
    folder = place / "plug"
    info = folder / "evil_plug-1.dist-info"
    info.mkdir(parents=True)
    (folder / "evil_plug.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil-plug\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[saslpy.backends]\nevil = evil_plug:here\nevil-apart = evil_plug:isolated\nevil-blocking = evil_plug:blocked\n"
    )
    return {"PYTHONPATH": str(folder)}


def evil(kind: str = "evil-apart", name: str = "evil", **keys: str | float) -> str:
    """A section."""
    lines = [f"{key} = {value!r}" for key, value in keys.items()]
    return "\n".join([f"[backend.{name}]", f'type = "{kind}"', *lines, ""])


def changed(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """From now on, a daemon runs this code first."""
    command = (sys.executable, "-c", f"{code}\nimport sys\nfrom saslpy.cli import main\nsys.exit(main())")
    monkeypatch.setattr(real, "COMMAND", command)


def without_forks(monkeypatch: pytest.MonkeyPatch, flag: Path) -> None:
    """From now on, a daemon can start no process as long as the file is there."""
    changed(
        monkeypatch,
        f"""
import errno, os
real_fork = os.fork
def fork():
    if os.path.exists({os.fspath(flag)!r}):
        raise BlockingIOError(errno.EAGAIN, "no")
    return real_fork()
os.fork = fork
""",
    )


def sleepers(seconds: str) -> list[int]:
    """Processes ``sleep SECONDS``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes() == f"sleep\0{seconds}\0".encode():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
