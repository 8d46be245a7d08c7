"""A private nginx that proxies mail, on loopback, in a folder that is gone afterwards; and the servers behind it."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from . import need
from .postfix import free_port
from .processes import await_greeting, end

MODULE = Path("/usr/lib/nginx/modules/ngx_mail_module.so")
CONTRIB = Path(__file__).parents[2] / "contrib" / "nginx" / "saslpy.conf"
MAIN = """\
load_module {module};
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
"""
OPEN = """\
    server {{
        listen 127.0.0.1:{port};
        protocol smtp;
        smtp_auth none;
    }}
}}
"""
"""One that takes mail without a login, behind the others."""

STANDARD = {"imap": 143, "pop3": 110, "smtp": 587}


class Nginx:
    """``with Nginx(folder, {"old": "new"}) as nginx:``; it listens on ``127.0.0.1:nginx.ports["imap"]`` and so on.

    It is contrib's configuration, with other ports, what ``changes`` has of other lines, and a server, "open", that takes
    mail without a login.
    """

    def __init__(self, folder: Path, changes: Mapping[str, str]) -> None:
        self.folder = folder
        self.ports = {service: free_port() for service in (*STANDARD, "open")}
        text = CONTRIB.read_text()
        ports = {f"listen {port};": f"listen 127.0.0.1:{self.ports[name]};" for name, port in STANDARD.items()}
        for old, new in {**ports, **changes}.items():
            assert old in text, old
            text = text.replace(old, new)
        text = text.rstrip().removesuffix("}") + OPEN.format(port=self.ports["open"])
        self._conf = MAIN.format(folder=folder, module=MODULE) + text
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        nginx = need("nginx", package="nginx libnginx-mod-mail")
        self.folder.mkdir()
        (self.folder / "nginx.conf").write_text(self._conf)
        self._process = subprocess.Popen(
            [nginx, "-p", self.folder, "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await_greeting(self._process, self.ports["open"], b"220", self.log)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End it."""
        end(self._process)

    def log(self) -> str:
        """What it has logged."""
        file = self.folder / "error.log"
        return file.read_text(errors="replace") if file.exists() else ""


class Upstream:
    """A server behind nginx. ``logins`` are what nginx has said there: (user, password), or XCLIENT's line."""

    def __init__(self, port: int, logins: list[tuple[str, ...]]) -> None:
        self.port, self.logins = port, logins

    @property
    def place(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


Serve = Callable[[socketserver.StreamRequestHandler, list[tuple[str, ...]]], None]


@contextmanager
def upstream(serve: Serve) -> Iterator[Upstream]:
    """A server whose connections are served by a function, each in a thread."""
    logins: list[tuple[str, ...]] = []

    class Handler(socketserver.StreamRequestHandler):
        timeout = 20

        def handle(self) -> None:
            with suppress(OSError):
                serve(self, logins)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield Upstream(server.server_address[1], logins)
        finally:
            server.shutdown()
            thread.join()


def imap(handler: socketserver.StreamRequestHandler, logins: list[tuple[str, ...]]) -> None:
    """As much of IMAP as nginx's login and a LOGOUT need. nginx sends the user and the password as literals."""
    handler.wfile.write(b"* OK ready\r\n")
    while line := handler.rfile.readline():
        tag, command, *rest = line.split()
        words = []
        while rest and rest[-1].startswith(b"{"):
            handler.wfile.write(b"+ OK\r\n")
            words.append(handler.rfile.read(int(rest[-1].strip(b"{}+"))).decode())
            rest = handler.rfile.readline().split()
        if command.upper() == b"LOGIN":
            logins.append((*words, *(word.decode() for word in rest)))
        if command.upper() == b"LOGOUT":
            handler.wfile.write(b"* BYE\r\n")
        handler.wfile.write(tag + b" OK done\r\n")


def pop3(handler: socketserver.StreamRequestHandler, logins: list[tuple[str, ...]]) -> None:
    """As much of POP3."""
    handler.wfile.write(b"+OK ready\r\n")
    user = ""
    while line := handler.rfile.readline().decode().rstrip("\r\n"):
        command, _, text = line.partition(" ")
        if command == "USER":
            user = text
        elif command == "PASS":
            logins.append((user, text))
        handler.wfile.write(b"+OK\r\n")


ANSWERS = {"XCLIENT": b"220 ready\r\n", "QUIT": b"221 2.0.0 bye\r\n"}


def smtp(handler: socketserver.StreamRequestHandler, logins: list[tuple[str, ...]]) -> None:
    """As much of SMTP: nginx tells the user by XCLIENT (Postfix's XCLIENT_README)."""
    handler.wfile.write(b"220 ready\r\n")
    while line := handler.rfile.readline().decode().rstrip("\r\n"):
        command = line.split()[0].upper()
        if command == "XCLIENT":
            logins.append(tuple(line.split()[1:]))
        handler.wfile.write(ANSWERS.get(command, b"250 2.0.0 done\r\n"))
