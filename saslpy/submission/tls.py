"""TLS of the submission sockets: certificates read from files once, and contexts made of them.

Files are read with the rights of who reads the configuration, root perhaps; contexts are made later, without them. Python's
ssl takes certificates from files alone, so that what was read goes through a file in memory, by its name under /proc.

A context belongs to one socket: no session is resumed at another one, whose rules are others, since there are no tickets
and OpenSSL keeps what it remembers with the context. A client that offers other protocols than SMTP (ALPN, RFC 7301) is
refused in the handshake, lest a browser's words be taken for mail (ALPACA, https://alpaca-attack.com).
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from ..files import certificates
from .certificates import Certificate, MalformedCertificate, first_of, in_memory
from .hello import offers_other_protocols

if TYPE_CHECKING:
    from .options import Tls

PROTOCOL = "smtp"
"""The name in ALPN. IANA has none for SMTP; this is what those say who say any."""

NO_APPLICATION_PROTOCOL = 120
"""The alert of RFC 7301, 3.2."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_MAX_PEM = 1024 * 1024


class ServerContext(ssl.SSLContext):
    """A context that knows what its certificate is: what channels are bound to (RFC 5929, 4); None where nothing is."""

    end_point: bytes | None = None


def read_pair(certificate: Path, key: Path | None) -> tuple[bytes, bytes]:
    """A certificate and its private key, in PEM form. Raises ``ValueError`` beginning with "certificate:" or "key:"."""
    certificate_pem = _read("certificate", certificate)
    first_of_file(certificate, certificate_pem)
    key_pem = certificate_pem if key is None else _read("key", key)
    if b"PRIVATE KEY-----" not in key_pem:
        raise ValueError(f"key: {key or certificate}: holds no private key in PEM form")
    try:
        _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate_pem, key_pem)
    except ssl.SSLError as error:
        raise ValueError(f"key: {key or certificate}: {_why(error)}") from None
    except _EncryptedKey:
        raise ValueError(
            f"key: {key or certificate}: the key is encrypted, and nobody is there to type a word"
        ) from None
    return certificate_pem, key_pem


def first_of_file(path: Path, pem: bytes) -> Certificate:
    """The certificate that a file begins with. Raises ``ValueError``."""
    try:
        return first_of(pem)
    except MalformedCertificate as fault:
        raise ValueError(f"certificate: {path}: {fault}") from None


def read_authorities(path: Path) -> bytes:
    """The certificates of ``client_ca``. Raises ``ValueError``, beginning with the key."""
    text = certificates(path, "client_ca")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=text)
    except ssl.SSLError as error:
        raise ValueError(f"client_ca: {path}: {_why(error)}") from None
    return text.encode("ascii")


def contexts(tls: Tls, implicit: bool) -> ServerContext:
    """The context of one socket, which chooses among the certificates by the name that a client asks for.

    ``implicit``: TLS begins with the first byte. Raises ``ssl.SSLError``; what ``Tls`` has was tried when it was read.
    """
    pairs = [(tls.certificate_pem, tls.key_pem), *((one.certificate_pem, one.key_pem) for one in tls.sni)]
    made = [_context(certificate, key, tls.client_ca_pem, implicit) for certificate, key in pairs]
    first = _context(*pairs[0], tls.client_ca_pem, implicit)
    by_names = [(first_of(certificate).names, one) for (certificate, _), one in zip(pairs, made, strict=True)]
    _choosing(first, by_names)
    return first


def end_point(context: ssl.SSLContext) -> bytes | None:
    """The data of tls-server-end-point for the context that a connection has come to."""
    return context.end_point if isinstance(context, ServerContext) else None


def _context(certificate: bytes, key: bytes, client_ca: bytes, implicit: bool) -> ServerContext:
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    context.set_alpn_protocols([PROTOCOL])
    _load(context, certificate, key)
    if client_ca:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(cadata=client_ca.decode("ascii"))
    if implicit:
        context.options |= getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)  # many hang up without a close_notify
    context.end_point = first_of(certificate).end_point
    return context


def _choosing(context: ServerContext, by_names: Sequence[tuple[Sequence[str], ServerContext]]) -> None:
    """Have a context choose by SNI, and refuse those who offer other protocols.

    Every connection leaves it for another one, whose messages are not listened to: that costs half as much as a handshake.
    """
    known: dict[str, ServerContext] = {}
    for names, one in by_names:
        for name in names:
            known.setdefault(name, one)
    foreign: WeakSet[Any] = WeakSet()

    def heard(connection: Any, direction: str, _version: int, content: int, kind: int, data: bytes) -> None:
        if kind != _CLIENT_HELLO or content != _HANDSHAKE or direction != "read":
            return
        if offers_other_protocols(data, PROTOCOL.encode()):
            foreign.add(connection)

    def chosen(connection: Any, name: str | None, _context: ssl.SSLContext) -> int | None:
        if connection in foreign:
            return NO_APPLICATION_PROTOCOL
        connection.context = (_named(known, name.lower()) if name is not None else None) or by_names[0][1]
        return None

    context.sni_callback = chosen
    # ssl tells what a client offers nowhere else. Not by SSLContext's own property, which makes enums of all numbers first:
    # it is called some forty times for a session, and that was a tenth of one
    super(ssl.SSLContext, ssl.SSLContext)._msg_callback.__set__(context, heard)  # type: ignore[misc]


def _named(known: dict[str, ServerContext], name: str) -> ServerContext | None:
    return known.get(name) or known.get("*." + name.partition(".")[2])


def client_name(certificate: dict[str, Any] | None) -> str:
    """As whom a client certificate logs in, by ``getpeercert``: its one address, else its one common name; else nobody."""
    if not certificate:
        return ""
    addresses = [value for kind, value in certificate.get("subjectAltName", ()) if kind == "email"]
    common = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
    found = addresses or common
    return found[0] if len(found) == 1 else ""


class _EncryptedKey(Exception):
    pass


def _load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    def password() -> str:
        raise _EncryptedKey

    with in_memory(certificate) as certificate_file, in_memory(key) as key_file:
        context.load_cert_chain(certificate_file, key_file, password)


def _read(key: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_PEM + 1)
    except OSError as error:
        raise ValueError(f"{key}: {path}: {error.strerror}") from None
    if len(data) > _MAX_PEM:
        raise ValueError(f"{key}: {path}: is larger than any certificate")
    return data


_WHY = {
    "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
    "KEY_TYPE_MISMATCH": "the key is not that of the certificate",
    "NO_CERTIFICATE_ASSIGNED": "the key is not that of the certificate",  # since it is of another kind
    "EE_KEY_TOO_SMALL": "the certificate's key is too short",
    "CA_MD_TOO_WEAK": "the certificate is signed in a way that is not safe any more",
}


def _why(error: ssl.SSLError) -> str:
    """What is wrong, in words where it is usual; never what a file holds."""
    return _WHY.get(error.reason or "", f"OpenSSL cannot read it ({error.reason or 'no reason given'})")
