"""The web application that ``saslpy_example.web`` asks, small as it can be. By hand: python tests/service.py 8025"""

from __future__ import annotations

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qs

USERS = {"joe@example.org": "s3cret joe", "ann@example.org": "pässwörd"}
TOKEN = "the token"


class Service:
    """Runs in a thread. ``status`` and ``location``: to answer like a proxy, or like a login page."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self.status = 200
        self.location = ""

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.port}/login?from=saslpy"

    def __enter__(self) -> Service:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Answer, after ``stop`` on the same port."""
        self._server = _Server(("127.0.0.1", self.port), _handler(self))
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """No answer any more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # with the usual 5, many logins at a time wait for a second connection attempt


def answer(login: str, password: str) -> dict[str, object]:
    """What the service says; names differ in upper and lower case only on the outside."""
    name = login.lower()
    if name not in USERS:
        return {"ok": False, "reason": "unknown user"}
    return {"ok": True, "login": name} if USERS[name] == password else {"ok": False, "reason": "wrong password"}


def _handler(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode(), keep_blank_values=True)
            known = self.path == "/login?from=saslpy" and self.headers["Authorization"] == f"Bearer {TOKEN}"
            self.send_response(service.status if known else 401)
            if service.location:
                self.send_header("Location", service.location)
            self.end_headers()
            if known:
                self.wfile.write(json.dumps(answer(form["login"][0], form["password"][0])).encode())

        def log_message(self, *_: object) -> None:
            """Nothing is told."""

    return Handler


if __name__ == "__main__":
    with Service(int(sys.argv[1])) as running:
        print(running.url, flush=True)
        threading.Event().wait()
