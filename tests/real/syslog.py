"""A syslog of a test's own: what a program says by syslog(3), in a mount namespace (unshare(1)) that has a /dev for it."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Self

NAMESPACE = """\
mkdir -p "{folder}/dev"
mount --rbind /dev "{folder}/dev"
mount -t tmpfs tmpfs /dev
for name in null random urandom; do
    touch /dev/$name
    mount --bind "{folder}/dev/$name" /dev/$name
done
ln -s "{folder}/syslog" /dev/log
"""


class Syslog:
    """``with Syslog(folder) as log:``; ``log.namespace`` are lines for the shell that starts the program as root."""

    def __init__(self, folder: Path) -> None:
        self.namespace = NAMESPACE.format(folder=folder)
        self._path = folder / "syslog"
        self._lines: list[str] = []
        # a queue that is full would keep the program waiting
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        """Listen."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._path.chmod(0o666)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """An empty message is the last one."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", str(self._path))
        self._thread.join()
        self._socket.close()

    def lines(self, text: str = "") -> list[str]:
        """Those with a text in them."""
        return [line for line in self._lines if text in line]

    def wait_for(self, text: str, seconds: float = 10.0) -> str:
        """The first one with a text in it, which must come in time."""
        deadline = time.monotonic() + seconds
        while not (found := self.lines(text)):
            assert time.monotonic() < deadline, f"no {text!r} in\n{self.text()}"
            time.sleep(0.01)
        return found[0]

    def text(self) -> str:
        """All of them."""
        return "\n".join(self._lines)

    def _listen(self) -> None:
        while message := self._socket.recv(8192):
            self._lines.append(message.decode(errors="replace"))
