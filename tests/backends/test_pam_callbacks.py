"""Real libpam: modules that sleep, callbacks and memory over many logins. Needs no root."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from ctypes import POINTER, cast, pointer
from pathlib import Path
from typing import Any

import pamela  # type: ignore[import-untyped]
import pytest

from saslpy.model import Account, Login, Refusal
from saslpy_pam.conversation import Conversation
from saslpy_pam.libpam import Libpam, Question

from ..real.pam import YES, from_, stack, userdb_stack, verifier

pytestmark = pytest.mark.real


# --- waiting


def test_a_wrong_password_does_not_sleep(tmp_path: Path) -> None:
    stack(tmp_path, "smtp", "auth optional pam_faildelay.so delay=5000000", "auth required pam_deny.so", YES)
    start = time.monotonic()
    assert isinstance(verifier(tmp_path).verify(Login.of("joe"), "x"), Refusal)
    assert time.monotonic() - start < 1


def test_a_module_that_sleeps_is_ended_by_the_kill(tmp_path: Path) -> None:
    script, pid = tmp_path / "script", tmp_path / "pid"
    script.write_text(f"#!/bin/sh\necho $$ >{pid}.new\nmv {pid}.new {pid}\nexec sleep 60\n")
    script.chmod(0o755)
    stack(tmp_path, "smtp", f"auth required pam_exec.so quiet {script}", YES)
    code = (
        "import sys; from pathlib import Path; from saslpy import Login\n"
        "from saslpy_pam import Config; from saslpy_pam.verifier import PamVerifier\n"
        "PamVerifier(Config(service='smtp', confdir=Path(sys.argv[1]))).verify(Login.of('joe'), 'x')\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
    try:
        deadline = time.monotonic() + 10
        while not pid.exists():
            assert worker.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        assert worker.poll() is None
    finally:
        worker.kill()
        if pid.exists():  # the module's child outlives the worker
            os.kill(int(pid.read_text()), signal.SIGKILL)
    assert worker.wait(5) == -signal.SIGKILL


# --- callbacks and memory


class MallInfo(ctypes.Structure):
    """struct mallinfo2, mallinfo(3)."""

    _fields_ = [(f"field{number}", ctypes.c_size_t) for number in range(10)]


def in_use() -> tuple[int, int, int]:
    """Bytes that C holds, blocks that Python holds, open files. Steadier than the process's size."""
    gc.collect()
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = MallInfo
    info = libc.mallinfo2()
    return info.field7 + info.field4, sys.getallocatedblocks(), len(list(Path("/proc/self/fd").iterdir()))


def test_two_thousand_logins_leave_nothing_behind(tmp_path: Path) -> None:
    for service, terminal in (("smtp", "saslpy"), ("imap", "another")):
        asks = "auth required pam_ftp.so ignore users=ann"  # for the password; any will do
        stack(tmp_path, service, asks, f"auth required pam_succeed_if.so quiet tty = {terminal}", YES)
    ask = verifier(tmp_path, service="{service}", services=("smtp", "imap"))

    def some(count: int) -> None:
        for number in range(count):
            service = "smtp" if number % 2 else "imap"
            answer = ask.verify(from_("ann", service=service), "x" * 400)
            assert isinstance(answer, Account) == (service == "smtp")

    some(200)
    grown = []
    for _ in range(2):
        before = in_use()
        some(1000)
        grown.append([after - was for was, after in zip(before, in_use(), strict=True)])
    # a table of Python's own may grow in one of the rounds, a leak grows in both
    held, blocks, files = map(min, zip(*grown, strict=True))
    assert held < 100_000  # one copy of each password would be 400,000
    assert blocks < 500
    assert files <= 0
    assert ask._libpam._talks == {}


def test_each_login_is_asked_for_its_own_password(tmp_path: Path) -> None:
    """A callback that belonged to another login would let somebody in."""
    passwords = {f"user{number}": f"secret{number}" for number in range(8)}
    userdb_stack(tmp_path, passwords)
    ask = verifier(tmp_path)
    wrong: list[object] = []

    def logins(name: str) -> None:
        for number in range(60):
            password = f"secret{number % 8}"
            answer = ask.verify(Login.of(name), password)
            if isinstance(answer, Account) != (passwords[name] == password):
                wrong.append(answer)
            gc.collect(0)

    threads = [threading.Thread(target=logins, args=(name,)) for name in passwords]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def prompted(libpam: Libpam, styles: list[int], number: int | None = 1, count: int | None = None) -> tuple[int, Any]:
    """The conversation called as a module calls it, through C."""
    texts = [pamela.PamMessage(style, None) for style in styles]
    array = (POINTER(pamela.PamMessage) * max(1, len(texts)))(*map(pointer, texts))
    responses = POINTER(pamela.PamResponse)()
    code = libpam._converse(
        len(styles) if count is None else count,
        cast(array, POINTER(POINTER(pamela.PamMessage))),
        pointer(responses),
        number,
    )
    return code, responses


def test_the_conversation_through_c(capfd: pytest.CaptureFixture[str]) -> None:
    libpam = Libpam()
    libpam._talks[1] = Conversation(b"joe", b"geheim")
    code, responses = prompted(libpam, [1, 4, 2])
    assert code == 0
    given = [ctypes.cast(responses[at].resp, ctypes.c_char_p).value for at in range(3)]
    assert given == [b"geheim", None, b"joe"]
    for styles in ([5], [7], [1, 7], [], [1] * 33):  # radio and binary prompts; none; too many
        code, responses = prompted(libpam, styles)
        assert (code, bool(responses)) == (19, False)
    for number in (2, None):  # nobody's
        assert prompted(libpam, [1], number)[0] == 19
    assert prompted(libpam, [1], count=-1)[0] == 19
    assert capfd.readouterr() == ("", "")


def test_a_login_that_fails_midway_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack(tmp_path, "smtp", "auth required pam_permit.so", YES)
    ask = verifier(tmp_path)
    ended: list[int] = []
    monkeypatch.setattr(pamela, "PAM_END", lambda handle, code: ended.append(code))

    def broken(*_: object) -> int:
        raise RuntimeError("midway")

    monkeypatch.setattr(pamela, "PAM_ACCT_MGMT", broken)
    with pytest.raises(RuntimeError):
        ask.verify(Login.of("joe"), "x")
    assert ended == [4]
    assert ask._libpam._talks == {}


def test_nothing_shows_the_password() -> None:
    question = Question("smtp", b"joe", b"geheim")
    assert "geheim" not in repr(question)
