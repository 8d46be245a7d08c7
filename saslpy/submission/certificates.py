"""What a certificate says of itself, as far as a mail server's own is of interest: names, dates, how it is signed.

::

    Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, signature }    RFC 5280, 4.1
"""

from __future__ import annotations

import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

_BEGIN, _END = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"

_HASHES = {
    # sha1WithRSAEncryption, md5WithRSAEncryption, ecdsa-with-SHA1: for those it is SHA-256 (RFC 5929, 4.1)
    "2a864886f70d010105": "sha256",
    "2a864886f70d010104": "sha256",
    "2a8648ce3d0401": "sha256",
    # sha224, 256, 384 and 512 with RSA (RFC 8017)
    "2a864886f70d01010e": "sha224",
    "2a864886f70d01010b": "sha256",
    "2a864886f70d01010c": "sha384",
    "2a864886f70d01010d": "sha512",
    # ecdsa-with-SHA224, 256, 384 and 512 (RFC 5758)
    "2a8648ce3d040301": "sha224",
    "2a8648ce3d040302": "sha256",
    "2a8648ce3d040303": "sha384",
    "2a8648ce3d040304": "sha512",
}


class MalformedCertificate(ValueError):
    """No certificate; the message does not show it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """``names`` are host names in lower case, ``*.`` at their beginning for a wildcard, and addresses.

    ``self_signed``: nobody vouches for it. ``end_point`` is what channels are bound to (RFC 5929, 4.1); None where the
    signature has no hash of its own.
    """

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    self_signed: bool = False
    end_point: bytes | None = field(default=None, repr=False)

    def is_for(self, hostname: str) -> bool:
        """Whether a client that wants this host takes it (RFC 9525, 6.3)."""
        return hostname in self.names or "*." + hostname.partition(".")[2] in self.names


def first_of(pem: bytes) -> Certificate:
    """The first certificate of a PEM file. Raises ``MalformedCertificate``."""
    block = _first_block(pem)
    told = _told(block)
    try:
        der = ssl.PEM_cert_to_DER_cert(block.decode("ascii"))
        own = told["issuer"] == told["subject"]
        return Certificate(_names(told), _time(told["notBefore"]), _time(told["notAfter"]), own, _end_point(der))
    except (KeyError, IndexError, ValueError):
        raise MalformedCertificate("holds a certificate that cannot be read") from None


def _first_block(pem: bytes) -> bytes:
    start = pem.find(_BEGIN)
    end = pem.find(_END, start)
    if start < 0 or end < 0:
        raise MalformedCertificate("holds no certificate in PEM form")
    return pem[start : end + len(_END)] + b"\n"


def _told(block: bytes) -> dict[str, Any]:
    with in_memory(block) as file:
        try:
            # what getpeercert() gives, of a certificate that nobody has shown; no public name has it
            return ssl._ssl._test_decode_cert(file)  # type: ignore[attr-defined, no-any-return]
        except (ssl.SSLError, ValueError):
            raise MalformedCertificate("holds a certificate that cannot be read") from None


def _names(told: dict[str, Any]) -> tuple[str, ...]:
    """Of the subject's alternative names; the common name counts for those that have none, as clients do it still."""
    found = [value for kind, value in told.get("subjectAltName", ()) if kind in ("DNS", "IP Address")]
    if not found:
        found = [value for rdn in told.get("subject", ()) for key, value in rdn if key == "commonName"]
    return tuple(name.lower() for name in found)


def _time(text: str) -> datetime:
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)


def _end_point(der: bytes) -> bytes | None:
    inside = _value(der, 0)[0]
    _, algorithm_at = _value(der, inside)
    oid_at = _value(der, algorithm_at)[0]
    oid_start, oid_end = _value(der, oid_at)
    name = _HASHES.get(der[oid_start:oid_end].hex())
    return None if name is None else hashlib.new(name, der).digest()


def _value(der: bytes, at: int) -> tuple[int, int]:
    """Where the value of an element of DER begins and ends (X.690, 8.1)."""
    first = der[at + 1]
    if first < 0x80:
        return at + 2, at + 2 + first
    start = at + 2 + (first & 0x7F)
    return start, start + int.from_bytes(der[at + 2 : start], "big")


@contextmanager
def in_memory(data: bytes) -> Iterator[str]:
    """The name of a file that is nowhere but in memory, as long as the block runs."""
    file = os.memfd_create("saslpy-pem", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as stream:
            stream.write(data)
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)
