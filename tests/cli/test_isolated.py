"""``saslpy check`` and ``saslpy test`` with backends that live in worker processes: they see what the daemon sees."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path

import pytest

from saslpy import passwords

from ..real.pam import YES, stack
from ..real.saslpy import COMMAND, configured, run


def shadow(place: Path, readable: bool = True) -> str:
    stored = passwords.make("SHA512-CRYPT", "secret").removeprefix("{SHA512-CRYPT}")
    (place / "shadow").write_text(f"joe:{stored}:19000:0:99999:7:::\n")
    (place / "passwd").write_text("joe:x:1000:1000:Joe:/home/joe:/bin/sh\n")
    (place / "shadow").chmod(0o600 if readable else 0)
    backend = f'[backend.system]\ntype = "shadow"\npath = "{place}/shadow"\npasswd = "{place}/passwd"\n'
    path = configured(place, backend, auth='chain = ["system"]')
    path.write_text(path.read_text().replace('user = "root"', 'user = "nobody"'))
    return str(path)


def test_check_and_test_see_what_only_root_may_read(place: Path) -> None:
    config = shadow(place)
    done = run("check", "--config", config)
    assert (done.returncode, done.stderr) == (0, "")
    assert "backend.system  ok" in done.stdout
    for password, status, verdict in (("secret", 0, "accept"), ("wrong", 1, "reject")):
        done = run("test", "joe", "--config", config, "--password-stdin", "--json", password=password)
        assert (done.returncode, done.stderr) == (status, "")
        assert json.loads(done.stdout)["verdict"] == verdict


def test_a_store_that_is_away(place: Path) -> None:
    config = shadow(place)
    (place / "shadow").unlink()
    done = run("check", "--config", config)
    assert done.returncode == 1
    assert "shadow" in done.stdout
    done = run("test", "joe", "--config", config, "--password-stdin", password="secret")
    assert done.returncode == 75
    assert "Traceback" not in done.stderr


def test_a_plug_in_that_cannot_be_opened(place: Path) -> None:
    config = Path(shadow(place))
    text = config.read_text().replace('type = "shadow"', 'type = "pam"')
    kept = [line for line in text.splitlines() if "/shadow" not in line and "/passwd" not in line]
    config.write_text("\n".join(kept))
    done = run("check", "--config", str(config))
    assert done.returncode == 1
    assert "saslpy" in done.stdout  # the service that has no file
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_the_command_itself_has_given_up_its_rights(place: Path) -> None:
    config = shadow(place)
    (place / "shadow").unlink()
    os.mkfifo(place / "shadow", 0o600)  # whoever opens it waits
    command = [*COMMAND, "test", "joe", "--config", config, "--password-stdin"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"secret")
        process.stdin.close()
        try:
            deadline = time.monotonic() + 10
            owners: set[int] = set()
            while pwd.getpwnam("nobody").pw_uid not in owners:
                assert time.monotonic() < deadline
                listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                with contextlib.suppress(FileNotFoundError):  # one may just have ended
                    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in listed}
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(10)


def test_ctrl_c_ends_it(place: Path) -> None:
    """In the middle of a question, which a module of PAM takes a minute for."""
    (place / "pam.d").mkdir()
    stack(place / "pam.d", "smtp", "auth sufficient pam_exec.so quiet /bin/sleep 60", YES)
    backend = f'[backend.system]\ntype = "pam"\nservice = "smtp"\nconfdir = "{place}/pam.d"\n'
    config = configured(place, backend, auth='chain = ["system"]')
    command = [*COMMAND, "test", "joe", "--config", str(config), "--password-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(b"secret")
        process.stdin.close()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 10
        while len(pids := children.read_text().split()) < 2:  # the command, and its worker
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert process.wait(10) in (0, 130)
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
