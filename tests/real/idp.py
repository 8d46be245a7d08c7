"""A private identity provider: signs tokens, and tells by introspection (RFC 7662) whose they are, over TLS.

It is made of the standard library's HTTP server, so that both ends are not ours. It can be slow, hang, be down, hang up
on kept connections, and answer whatever a test tells it to.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

import trustme
from joserfc import jwk
from joserfc.jws import JWSRegistry

CLIENT, SECRET = "saslpy", "s3cret/+ ä"
AUDIENCE = "mail"
PATH = "/realms/mail/introspect"
HANGING = 30.0
"""Seconds at most that a hanging answer takes: no thread is left behind for longer."""


class Signer:
    """An issuer's keys, and what it signs: RSA 2048 as kid "rsa", P-256 as kid "ec"."""

    def __init__(self, issuer: str = "https://idp.example.org") -> None:
        self.issuer = issuer
        self.rsa = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
        self.ec = jwk.ECKey.generate_key("P-256", {"kid": "ec"})

    def jwks(self) -> str:
        """The public keys, as a JWK Set."""
        return json.dumps({"keys": [key.as_dict(private=False) for key in (self.rsa, self.ec)]})

    def claims(self, **changed: Any) -> dict[str, Any]:
        """What it says of joe, for the next five minutes. A claim that is changed to None is left out."""
        now = int(time.time())
        usual = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": "f:1",
            "email": "joe@example.org",
            "email_verified": True,
            "scope": "openid email",
            "iat": now,
            "exp": now + 300,
        }
        return {name: value for name, value in {**usual, **changed}.items() if value is not None}

    def token(self, *, header: Mapping[str, Any] | None = None, key: Any = None, **changed: Any) -> str:
        """A token for joe."""
        return self.signed(json.dumps(self.claims(**changed)).encode(), header or {}, key)

    def signed(self, payload: bytes, header: Mapping[str, Any] | None = None, key: Any = None) -> str:
        """A token with any payload, and with any header: it is not held to what a library thinks of it."""
        key = key or self.rsa
        whole = {"alg": "ES256" if key is self.ec else "RS256", "typ": "JWT", "kid": key.kid, **(header or {})}
        text = json.dumps({name: value for name, value in whole.items() if value is not None})
        return sign(text.encode(), payload, whole["alg"], key)


def sign(header: bytes, payload: bytes, algorithm: str, key: Any) -> str:
    """The compact form of a header and a payload, whatever they are."""
    text = f"{encoded(header)}.{encoded(payload)}"
    return f"{text}.{encoded(JWSRegistry.algorithms[algorithm].sign(text.encode(), key))}"


def encoded(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Idp:
    """``with Idp(folder) as idp:``, on localhost. ``tokens``: those that are active, with what is said of them.

    ``names``: whose its certificate is.

    ``delay``: seconds before an answer. ``hangs``: it never answers. ``raw``: bytes that it sends in the place of one, and
    then hangs up. ``status``, ``headers`` and ``body`` take the place of its own. ``asked`` are the tokens that it was
    asked about, ``connections`` how many there were.
    """

    def __init__(self, folder: Path, *, tls: bool = True, names: tuple[str, ...] = ("localhost", "127.0.0.1")) -> None:
        self.ca_file = folder / "ca.pem"
        self.secret_file = folder / "client.secret"
        self.secret_file.write_text(f"{SECRET}\n")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if tls else None
        if self._context:
            authority.issue_cert(*names).configure_cert(self._context)
        self.port = 0
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self.reset()

    def reset(self) -> None:
        """Answer as one should, and forget what was asked."""
        self.tokens: dict[str, Mapping[str, Any]] = {}
        self.delay = 0.0
        self.hangs = False
        self.raw: bytes | None = None
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body: bytes | None = None
        self.asked: list[str] = []
        self.connections = 0

    @property
    def url(self) -> str:
        """Where one asks."""
        return f"{'https' if self._context else 'http'}://localhost:{self.port}{PATH}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before."""
        if self._server is None:
            self._server = _Server(self, self.port, self._context)
            self.port = self._server.server_address[1]
            self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Be gone, with all connections."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._server.gone.set()
        self._server.server_close()
        self.hang_up()
        self._thread.join(5)
        self._server = None

    def hang_up(self) -> None:
        """Close the connections that there are."""
        assert self._server is not None
        self._server.hang_up()

    def keys(self) -> dict[str, Any]:
        """The keys of a backend's section that asks here."""
        tls = {"ca_file": str(self.ca_file)} if self._context else {}
        return {
            "type": "oauth",
            "introspection_url": self.url,
            "client_id": CLIENT,
            "client_secret_file": str(self.secret_file),
            "audience": [AUDIENCE],
            **tls,
        }


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, idp: Idp, port: int, context: ssl.SSLContext | None) -> None:
        self.idp = idp
        self.gone = threading.Event()
        self._context = context
        self._open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted, address = super().get_request()
        if self._context is not None:  # the handshake is made by the thread that reads first
            accepted = self._context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        self.idp.connections += 1
        self._open.add(accepted)
        return accepted, address

    def hang_up(self) -> None:
        for one in list(self._open):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is none of our errors."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        idp = self.server.idp
        form = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode(), strict_parsing=True)
        token = form["token"][0]
        idp.asked.append(token)
        if idp.hangs:
            self.server.gone.wait(HANGING)
            return
        time.sleep(idp.delay)
        if idp.raw is not None:
            self.wfile.write(idp.raw)
            self.close_connection = True
            return
        self._answer(*self._about(token))

    def _about(self, token: str) -> tuple[int, bytes]:
        idp = self.server.idp
        if not self._is_known() or self.path != PATH:
            return (404 if self.path != PATH else 401), b'{"error": "invalid_client"}'
        claims = idp.tokens.get(token)
        said = {"active": False} if claims is None else {"active": True, **claims}
        return idp.status, json.dumps(said).encode() if idp.body is None else idp.body

    def _is_known(self) -> bool:
        """Whether client_id and secret are right: form-encoded, then in base64 (RFC 6749, 2.3.1)."""
        scheme, _, data = self.headers.get("Authorization", "").partition(" ")
        name, _, secret = base64.b64decode(data).decode().partition(":")
        pair = parse_qs(f"name={name}&secret={secret}")
        return scheme == "Basic" and pair == {"name": [CLIENT], "secret": [SECRET]}

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **self.server.idp.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the library's name)
        """Nobody reads it."""
