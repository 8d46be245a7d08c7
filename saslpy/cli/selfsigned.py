"""A certificate to try things out with, signed by itself: clients take it when they are told to, and no others.

``python -m saslpy.cli.selfsigned NAME CERTIFICATE KEY`` writes the two files, with the modes that the umask makes of them.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from .common import Fault

VALID = timedelta(days=90)

BY_HAND = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN={name} "
    "-addext subjectAltName=DNS:{name} -keyout privkey.pem -out fullchain.pem"
)


def self_signed(hostname: str) -> tuple[bytes, bytes]:
    """(certificate, key) in PEM form, for this name and for this machine's own. Raises ``Fault`` without cryptography."""
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
    except ImportError:
        by_hand = BY_HAND.format(name=hostname)
        raise Fault(
            "--self-signed: needs the package cryptography (pip install cryptography); or make the two files yourself, and "
            f"name them by --certificate and --key:\n  {by_hand}"
        ) from None
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostname[:64])])
    hosts = [x509.DNSName(host) for host in dict.fromkeys((hostname, "localhost"))]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # for clients whose clock is late
        .not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName([*hosts, x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


if __name__ == "__main__":
    for path, pem in zip(sys.argv[2:4], self_signed(sys.argv[1]), strict=True):
        Path(path).write_bytes(pem)
