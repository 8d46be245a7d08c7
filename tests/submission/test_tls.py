"""Certificates and contexts: read from files with the faults told, chosen by name, bound to one socket, for SMTP alone."""

from __future__ import annotations

import functools
import pickle
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from saslpy.submission.certificates import MalformedCertificate, first_of
from saslpy.submission.hello import offers_other_protocols
from saslpy.submission.options import Sni, Tls
from saslpy.submission.tls import ServerContext, client_name, contexts, end_point

CA = trustme.CA()
OTHER_CA = trustme.CA()


def issued(folder: Path, *names: str, ca: trustme.CA = CA, **more: Any) -> Path:
    """A PEM file with a certificate for these names, its chain and its key."""
    path = folder / f"{names[0].replace('*', 'any')}.pem"
    ca.issue_cert(*names, **more).private_key_and_cert_chain_pem.write_to_path(path)
    return path


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    return issued(tmp_path, "mail.example.org")


def client(**options: Any) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=CA.cert_pem.bytes().decode())
    for name, value in options.items():
        setattr(context, name, value)
    return context


def shake(
    server: ssl.SSLContext, context: ssl.SSLContext, name: str = "mail.example.org", session: Any = None
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """A handshake in memory: the server's end and the client's. Raises ``ssl.SSLError`` of either."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(up, down, server_side=True)
    theirs = context.wrap_bio(down, up, server_hostname=name, session=session)
    for _ in range(10):
        done = 0
        for end in (theirs, ours):
            try:
                end.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
        if done == 2:
            theirs.write(b"x")
            ours.read(1)
            ours.write(b"y")
            theirs.read(1)
            return ours, theirs
    raise AssertionError("no end of the handshake")


def test_names_choose_the_certificate(tmp_path: Path, pem: Path) -> None:
    tls = Tls(
        certificate=pem,
        sni=(Sni(certificate=issued(tmp_path, "smtp.example.net", "*.example.com")),),
    )
    context = contexts(tls, False)
    for name, names in {
        "mail.example.org": ("mail.example.org",),
        "smtp.example.net": ("smtp.example.net", "*.example.com"),
        "SMTP.example.NET": ("smtp.example.net", "*.example.com"),
        "a.example.com": ("smtp.example.net", "*.example.com"),
    }.items():
        ours, theirs = shake(context, client(), name)
        shown = theirs.getpeercert()
        assert shown is not None
        alternatives: Any = shown["subjectAltName"]
        assert tuple(value for _, value in alternatives) == names
        used = first_of(tls.certificate_pem if names[0].startswith("mail") else tls.sni[0].certificate_pem)
        assert end_point(ours.context) == used.end_point
    # an unknown name gets the first one, which the client judges
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shake(context, client(), "b.a.example.com")


def test_without_a_name(pem: Path) -> None:
    shake(contexts(Tls(certificate=pem), True), client(check_hostname=False), "127.0.0.1")


@pytest.mark.parametrize(
    ("offered", "chosen"), [((), None), (("smtp",), "smtp"), (("h2", "smtp"), "smtp"), (("http/1.1", "h2"), "refused")]
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_other_protocols_are_refused(
    tmp_path: Path, pem: Path, offered: tuple[str, ...], chosen: str | None, version: ssl.TLSVersion
) -> None:
    context = contexts(Tls(certificate=pem, sni=(Sni(certificate=issued(tmp_path, "a.example.net")),)), False)
    for name in ("mail.example.org", "a.example.net"):
        theirs = client(maximum_version=version)
        if offered:
            theirs.set_alpn_protocols(list(offered))
        if chosen == "refused":
            with pytest.raises(ssl.SSLError):
                shake(context, theirs, name)
        else:
            assert shake(context, theirs, name)[1].selected_alpn_protocol() == chosen


def test_old_versions_are_refused(pem: Path) -> None:
    context = contexts(Tls(certificate=pem), False)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.warns(DeprecationWarning):
        old = client(minimum_version=ssl.TLSVersion.TLSv1_1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(context, old)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_session_is_resumed_at_another_socket(pem: Path, version: ssl.TLSVersion) -> None:
    tls = Tls(certificate=pem)
    theirs = client(maximum_version=version)
    session = shake(contexts(tls, False), theirs)[1].session
    if session is None:
        return
    assert not session.has_ticket
    assert not shake(contexts(tls, True), theirs, session=session)[1].session_reused


def test_client_certificates(tmp_path: Path, pem: Path) -> None:
    ca = tmp_path / "ca.pem"
    OTHER_CA.cert_pem.write_to_path(ca)
    context = contexts(Tls(certificate=pem, client_ca=ca), False)
    assert client_name(shake(context, client())[0].getpeercert()) == ""
    for names, common, expected in (
        (("joe@example.org",), None, "joe@example.org"),
        (("joe@example.org", "ann@example.org"), None, ""),
        (("host.example.org",), "joe", "joe"),
    ):
        theirs = client()
        theirs.load_cert_chain(issued(tmp_path, *names, ca=OTHER_CA, common_name=common))
        assert client_name(shake(context, theirs)[0].getpeercert()) == expected
    theirs = client(maximum_version=ssl.TLSVersion.TLSv1_2)
    theirs.load_cert_chain(issued(tmp_path, "eve@example.org"))  # of another authority
    with pytest.raises(ssl.SSLError):
        shake(context, theirs)


KEYS: dict[str, Any] = {
    "rsa": functools.cache(lambda: rsa.generate_private_key(65537, 2048)),
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


def self_signed(key: Any, algorithm: Any, names: tuple[str, ...] = ("mail.example.org",)) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Mail.Example.org")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2024, 1, 2, tzinfo=UTC))
        .not_valid_after(datetime(2034, 1, 2, 3, 4, 5, tzinfo=UTC))
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False)
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize(
    ("kind", "algorithm"),
    [
        ("rsa", hashes.SHA256()),
        ("rsa", hashes.SHA384()),
        ("rsa", hashes.SHA512()),
        ("ec", hashes.SHA256()),
        ("ec", hashes.SHA384()),
        ("ec", hashes.SHA512()),
        ("ed25519", None),
    ],
)
def test_what_a_certificate_says(kind: str, algorithm: Any) -> None:
    pem = self_signed(KEYS[kind](), algorithm)
    read = first_of(b"# a comment, \xff\n" + pem + b"more")
    assert read.names == ("mail.example.org",)
    assert (read.not_before, read.not_after) == (
        datetime(2024, 1, 2, tzinfo=UTC),
        datetime(2034, 1, 2, 3, 4, 5, tzinfo=UTC),
    )
    # as another library has it: the hash of its own signature
    expected = None if algorithm is None else x509.load_pem_x509_certificate(pem).fingerprint(algorithm)
    assert read.end_point == expected


def test_names() -> None:
    key = KEYS["ec"]()
    assert first_of(self_signed(key, hashes.SHA256(), ())).names == ("mail.example.org",)
    read = first_of(self_signed(key, hashes.SHA256(), ("*.example.org", "example.org")))
    assert read.is_for("mail.example.org")
    assert read.is_for("example.org")
    assert not read.is_for("a.mail.example.org")


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"x",
        b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n\xff\n-----END CERTIFICATE-----\n",
        b"-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n",
    ],
)
def test_no_certificate(pem: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        first_of(pem)


def faults(**keys: Any) -> str:
    with pytest.raises(ValueError, match=r"\A(certificate|key|client_ca): ") as error:
        Tls(**keys)
    return str(error.value)


def test_faults_of_files(tmp_path: Path, pem: Path) -> None:
    none, junk, other = tmp_path / "none", tmp_path / "junk", issued(tmp_path, "other.example.org")
    junk.write_bytes(b"\xff junk SECRET")
    assert faults(certificate=none) == f"certificate: {none}: No such file or directory"
    assert "holds no certificate in PEM form" in faults(certificate=junk)
    assert "No such file" in faults(certificate=pem, key=none)
    assert "holds no private key in PEM form" in faults(certificate=pem, key=junk)
    assert "the key is not that of the certificate" in faults(certificate=pem, key=other)
    assert "certificate: is required with the other keys" in faults(key=pem)
    assert "holds no certificate" in faults(certificate=pem, client_ca=junk)
    assert faults(certificate=tmp_path).startswith("certificate: ")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 31)
    assert "is larger than any certificate" in faults(certificate=tmp_path / "large")


def test_a_key_of_another_kind(tmp_path: Path, pem: Path) -> None:
    path = tmp_path / "ed.key"
    path.write_bytes(
        KEYS["ed25519"]().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    assert "the key is not that of the certificate" in faults(certificate=pem, key=path)


def test_an_encrypted_key_asks_nobody(tmp_path: Path) -> None:
    key = KEYS["ec"]()
    path = tmp_path / "encrypted.pem"
    path.write_bytes(
        self_signed(key, hashes.SHA256())
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    assert "the key is encrypted" in faults(certificate=path)


def test_what_is_read_is_kept_and_not_shown(tmp_path: Path, pem: Path) -> None:
    tls = Tls(certificate=pem, sni=(Sni(certificate=issued(tmp_path, "a.example.net")),))
    assert "BEGIN" not in repr(tls)
    pem.unlink()
    (tmp_path / "a.example.net.pem").unlink()
    again = pickle.loads(pickle.dumps(tls))  # as it goes to another process
    assert again == tls
    before = set(Path("/proc/self/fd").iterdir())
    assert isinstance(contexts(again, False), ServerContext)
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_the_files(tmp_path: Path, pem: Path) -> None:
    both = issued(tmp_path, "a.example.net")
    ca = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(ca)
    tls = Tls(certificate=pem, key=pem, client_ca=ca, sni=(Sni(certificate=both),))
    assert tls.files == (("certificate", pem), ("key", pem), ("sni[0].certificate", both), ("client_ca", ca))
    assert tls.private == (("key", pem), ("sni[0].certificate", both))
    assert not Tls()
    assert Tls().files == Tls().private == ()


def hello(*names: bytes) -> bytes:
    """A ClientHello that offers these application protocols, as OpenSSL writes it."""
    context, out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.MemoryBIO()
    if names:
        context.set_alpn_protocols([name.decode() for name in names])
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="a.test").do_handshake()
    return out.read()[5:]


def test_client_hellos() -> None:
    assert not offers_other_protocols(hello(), b"smtp")
    assert not offers_other_protocols(hello(b"smtp"), b"smtp")
    assert not offers_other_protocols(hello(b"h2", b"smtp"), b"smtp")
    assert offers_other_protocols(hello(b"h2", b"http/1.1"), b"smtp")


@given(st.binary(max_size=400), st.integers(0, 300))
def test_no_bytes_are_too_odd(data: bytes, cut: int) -> None:
    whole = hello(b"h2")
    for message in (data, whole[:cut], whole[:cut] + data):
        offers_other_protocols(message, b"smtp")
