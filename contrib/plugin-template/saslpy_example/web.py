"""Users of a web application: a verifier. It can only ask whether a password is right.

The question is a POST with the fields ``login`` and ``password``. The answer has status 200 and is one of

    {"ok": true, "login": "joe@example.org"}      (the user's own name, whatever was typed)
    {"ok": false, "reason": "unknown user"}
    {"ok": false, "reason": "wrong password"}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlencode, urlsplit

from saslpy import Account, Login, Plugin, Reason, Refusal

HERE = ("localhost", "127.0.0.1", "::1")
LONGEST = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "example-web"``.

    ``url``: where to ask. ``token``: what the service knows us by; ``repr=False`` keeps it out of every log.
    """

    url: str
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """A rule about values. The message begins with the key, so that `saslpy check` shows the place."""
        parts = urlsplit(self.url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in HERE)
        if not (safe and parts.hostname) or "@" in parts.netloc or parts.port == 0:
            raise ValueError("url: expected https://HOST/PATH; http:// is for this machine itself only")


class Web:
    """Plain blocking functions, each call in a worker process: one at a time there, and killed at the deadline."""

    def __init__(self, url: SplitResult, token: str) -> None:
        self._url = url
        self._target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        self._token = token

    def verify(self, login: Login, password: str) -> Account | Refusal:
        """The account, or a definite no."""
        # bytes that are not UTF-8 come as surrogates; this gives the service what the client has sent
        form = urlencode({"login": login.name, "password": password}, errors="surrogateescape")
        match self._answer(form):
            case {"ok": True, "login": str(name)}:
                return Account(name)
            case {"ok": False, "reason": "unknown user"}:
                return Refusal(Reason.UNKNOWN_USER)  # the next backend of the chain is asked
            case {"ok": False, "reason": "wrong password"}:
                return Refusal(Reason.WRONG_PASSWORD)
        raise ValueError("the service's answer is neither yes nor no")

    def _answer(self, form: str) -> Any:
        # No timeout: Python's has gaps (finding the host's address, a server that sends a byte a second), killing the
        # worker process has none. In threads (without `isolated`) give one to every call that takes one.
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        with closing(kind(self._url.hostname or "", self._url.port)) as connection:
            connection.request("POST", self._target, form, self._headers())
            with connection.getresponse() as response:
                # A 404 or a 403 may be a proxy's, a 302 leads to a page that says 200: the service's own words count.
                if response.status != 200:
                    raise ConnectionError(f"the service answered with status {response.status}")
                return json.loads(response.read(LONGEST))

    def _headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return headers | ({"Authorization": f"Bearer {self._token}"} if self._token else {})


@contextmanager
def open_web(config: Config) -> Iterator[Web]:
    """Runs in the worker process. The service is not asked yet: the daemon starts while it is down."""
    yield Web(urlsplit(config.url), config.token)


plugin = Plugin(Config, open_web, isolated=True)
