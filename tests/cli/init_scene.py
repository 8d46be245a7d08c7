"""What ``saslpy init --submission`` says, done to the letter, in a network of its own: for ``test_init_submission.py``.

Its commands are run as they are printed, but for where passwords come from: a test has no keyboard. Prints JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ..real.saslpy import COMMAND, run, serving

PASSWORD = "correct horse"


def shell(line: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", line], input=given, capture_output=True, text=True, timeout=30, check=False, cwd="/"
    )


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    target = Path(sys.argv[1]) / "mail"
    options = ("--submission", "--hostname", "mail.example.org", "--self-signed")
    done = run("init", str(target), "--user", "nobody", *options)
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines() if line.startswith("  ")]
    add, check, serve, swaks = [line.replace("saslpy ", f"{' '.join(COMMAND)} ", 1) for line in lines]
    assert serve.endswith(f" serve --config {target}/saslpy.toml")
    folder = Path(done.stdout.rpartition("kept in ")[2].partition(",")[0])
    added = shell(f"cd {Path.cwd()}; {add} --password-stdin", PASSWORD)
    checked = shell(f"cd {Path.cwd()}; {check}")
    with serving(target / "saslpy.toml"):
        sent = shell(swaks, f"{PASSWORD}\n")
    print(
        json.dumps(
            {
                "statuses": [added.returncode, checked.returncode, sent.returncode],
                "said": added.stderr + checked.stdout + checked.stderr,
                "swaks": sent.stdout + sent.stderr,
                "messages": [path.read_text() for path in folder.iterdir()],
            }
        )
    )


if __name__ == "__main__":
    main()
