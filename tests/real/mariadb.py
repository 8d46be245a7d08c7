"""A MariaDB server of our own: loopback and a unix socket, in a folder that is gone afterwards."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Self

import pymysql
from pymysql.constants import CLIENT

from . import need
from .postfix import free_port

START_SECONDS = 60.0
STOP_SECONDS = 30.0

_FAST = (
    "--innodb-log-file-size=8M",
    "--innodb-buffer-pool-size=64M",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-use-native-aio=0",
    "--innodb-buffer-pool-dump-at-shutdown=0",
    "--innodb-buffer-pool-load-at-startup=0",
)
"""Nothing here has to outlive the power."""


class MariaDb:
    """``with MariaDb() as database:``; ``socket``, ``host`` and ``port`` say where it is; root needs no password.

    ``tls``: a file with a certificate chain and one with its key. ``options``: further ones of mariadbd.
    """

    host = "127.0.0.1"

    def __init__(self, tls: tuple[Path, Path] | None = None, options: tuple[str, ...] = ()) -> None:
        self.folder = _folder()
        self.socket = self.folder / "s"
        self.log = self.folder / "log"
        self.port = free_port()
        self._tls = tls or ()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        try:
            subprocess.run(["cp", "-a", _template(), self.folder / "data"], check=True)
            for file, name in zip(self._tls, ("chain", "key"), strict=False):
                # the user that it runs as may not read the originals
                (self.folder / name).write_bytes(file.read_bytes())
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and remove the folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self) -> int:
        """The process, which must run."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def start(self) -> None:
        """Start it on the same port and data, and wait until it answers. Raises RuntimeError with the end of its log."""
        assert self._process is None, "it runs"
        self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"mariadbd does not start:\n{self.log.read_text(errors='replace')[-3000:]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it as the system does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """It hangs: connections are accepted (by the kernel), nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        # its threads stop one by one, and one that still runs would answer
        while any(_state(task) != "T" for task in Path(f"/proc/{self.pid}/task").iterdir()):
            time.sleep(0.001)

    def resume(self) -> None:
        """It goes on."""
        os.kill(self.pid, signal.SIGCONT)

    def sql(self, script: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements as root. The rows of the last one."""
        with self._root(database) as connection, connection.cursor() as cursor:
            cursor.execute(script)
            rows = cursor.fetchall()
            while cursor.nextset():
                rows = cursor.fetchall()
            return list(rows)

    def _root(self, database: str | None = None) -> pymysql.Connection:
        return pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            database=database,
            client_flag=CLIENT.MULTI_STATEMENTS,
            ssl_disabled=True,
            autocommit=True,
            connect_timeout=5,
            read_timeout=30,
            charset="utf8mb4",
        )

    def _answers(self) -> bool:
        # not with PyMySQL: where nobody listens, it leaves its socket open
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            return sock.connect_ex(str(self.socket)) == 0 and bool(sock.recv(1))

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _command(self) -> list[str]:
        tls = [f"--ssl-cert={self.folder / 'chain'}", f"--ssl-key={self.folder / 'key'}"] if self._tls else []
        return [
            need("mariadbd", package="mariadb-server"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--tmpdir={self.folder}",  # a server that starts removes the temporary tables of others from /tmp
            f"--log-error={self.log}",
            f"--bind-address={self.host}",
            f"--port={self.port}",
            *_user(),
            "--skip-name-resolve",
            "--performance-schema=OFF",
            "--max-connections=100",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_general_ci",
            *_FAST,
            *tls,
            *self._options,
        ]


@functools.cache
def _template() -> Path:
    """A fresh data directory, made once and copied for each server."""
    folder = _folder()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    done = subprocess.run(
        [
            need("mariadb-install-db", package="mariadb-server"),
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            f"--tmpdir={folder}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--skip-name-resolve",
            *_user(),
            *_FAST,
        ],
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        raise RuntimeError(f"mariadb-install-db: {(done.stdout + done.stderr).decode(errors='replace')[-3000:]}")
    return folder / "data"


def _state(task: Path) -> str:
    """The state of a thread, proc_pid_stat(5): the word behind the name in brackets. "T" too when it has just ended."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "T"


def _user() -> list[str]:
    return ["--user=mysql"] if os.geteuid() == 0 else []


def _folder() -> Path:
    """A new folder that the server may write to. Short: a unix socket's path has 107 bytes."""
    base = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix="saslpy-db-", dir=base if len(base) < 70 else "/tmp"))
    folder.chmod(0o755)
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql")
    return folder
