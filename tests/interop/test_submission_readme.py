"""What the README and ``make run`` promise of the submission server: exactly their lines are run."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..real import need
from ..real.postfix import Postfix, free_port
from ..real.saslpy import serving

ROOT = Path(__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ten_lines() -> str:
    """The configuration of "A login in front of my smarthost"."""
    section = (
        (ROOT / "README.md").read_text().partition("## A login in front of my smarthost\n")[2].partition("\n## ")[0]
    )
    return section.partition("```toml\n")[2].partition("```")[0]


def test_they_are_ten() -> None:
    assert len(ten_lines().splitlines()) == 10
    assert "#" not in ten_lines()
    tomllib.loads(ten_lines())


@as_root
@pytest.mark.real
def test_ten_lines_are_a_login_in_front_of_a_smarthost(place: Path) -> None:
    apart = [need("unshare", package="util-linux"), "--net", "--mount"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this container may not make namespaces")
    need("ip", package="iproute2")
    (place / "saslpy.toml").write_text(ten_lines())
    done = subprocess.run(
        [*apart, sys.executable, "-m", "tests.interop.smarthost_scene", str(place)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["added"] == [0, ""]
    assert told["check"][0] == 0, told["check"]
    assert (told["sent"], told["wrong password"], told["another sender"]) == ("250", "535", "550"), told["log"]
    [[mail, rcpts, content]] = told["messages"]
    assert mail.startswith("MAIL FROM:<joe@example.org>")
    assert rcpts == ["RCPT TO:<ann@example.net>"]
    # as it stood on the wire: a dot more where a line begins with one
    header, _, body = content.partition("\r\n\r\n")
    assert body == "..dot\r\nb\xc3\xbccher\r\n"
    assert "From: joe@example.org\r\nTo: ann@example.net\r\nSubject: ten lines\r\n" in header


@contextlib.contextmanager
def demo(checkout: Path) -> Iterator[str]:
    """``make run``, and what it prints before its log."""
    process = subprocess.Popen(
        ["sh", "contrib/dev/demo.sh", str(Path(sys.executable).parent)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=checkout,
        env={**os.environ, "SASLPY_DEMO": str(checkout / "demo")},
    )
    assert process.stdout is not None
    stopping = threading.Timer(60, process.kill)
    stopping.start()
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "event=ready" in line:
                break
        shown = "".join(lines)
        assert "event=ready" in shown, shown
        yield shown
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        stopping.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.real
def test_make_run_takes_mail(place: Path) -> None:
    need("swaks", package="swaks")
    (place / "contrib").mkdir()
    shutil.copytree(ROOT / "contrib" / "dev", place / "contrib" / "dev")
    for once in range(2):  # the second start finds all of it there
        with demo(place) as shown:
            [line] = re.findall(r"^  (swaks .*)$", shown, re.MULTILINE)
            [folder] = re.findall(r"^send mail, which comes into the folder (.*):$", shown, re.MULTILINE)
            done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=30, check=False)
            assert done.returncode == 0, done.stdout
            assert "=== TLS started" in done.stdout
            found = sorted(Path(folder).iterdir())
            assert len(found) == once + 1
    message = email.message_from_bytes(found[-1].read_bytes(), policy=email.policy.default)
    assert message["From"] == "demo@example.org"
    assert message["To"] == "friend@example.net"
    assert message["Delivered-To"] == "friend@example.net"


@as_root
@pytest.mark.real
def test_postfix_behind_it(place: Path) -> None:
    """The port of contrib/postfix/behind.cf in a private Postfix."""
    port, ours = free_port(), free_port()
    services = (ROOT / "contrib/postfix/behind.cf").read_text().replace("127.0.0.1:10587", f"127.0.0.1:{port}")
    (place / "saslpy.toml").write_text(
        f"""
daemon = {{ user = "root", run_dir = "run", state_dir = "state" }}
backend.local = {{ type = "static", users = {{ "joe@example.org" = "{{PLAIN}}secret" }} }}
submission = {{ hostname = "mail.example.org", require_tls = false }}
[[listen]]
protocol = "submission"
address = "127.0.0.1:{ours}"
[[relay.route]]
domains = ["*"]
via = "smtp://127.0.0.1:{port}"
"""
    )
    swaks = [
        need("swaks", package="swaks"),
        "--server",
        f"127.0.0.1:{ours}",
        "--au",
        "joe@example.org",
        "--ap",
        "secret",
    ]
    with Postfix(place, place / "mux", services=services) as postfix, serving(place / "saslpy.toml"):
        for sender, status in (("joe@example.org", 0), ("ann@example.org", 23)):
            done = subprocess.run(
                [*swaks, "--from", sender, "--to", "ann@example.net"], capture_output=True, text=True, check=False
            )
            assert done.returncode == status, done.stdout
        postfix.wait_log(r"postfix/submitted/smtpd\[\d+\]: [0-9A-F]+: client=")
        postfix.wait_log(r"to=<ann@example.net>.* status=sent")
        assert postfix.log().count("status=sent") == 1
