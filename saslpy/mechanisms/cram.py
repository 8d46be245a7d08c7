"""CRAM-MD5 (RFC 2195): the client proves that it knows the password by an HMAC of our challenge.

Server first. The response is ``name SP hex(HMAC(password, challenge))``, split at the last space, since a name may hold
one. Courier's client library makes the challenge itself and knows the same with SHA-1 and SHA-256.
"""

from __future__ import annotations

import hmac
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from functools import partial

from ..exchange import Client, Conclude, Done, Flow, Lookup, MalformedResponse, Mechanism, challenge, text
from ..model import Verdict
from ..passwords.derive import cram_md5_contexts, hmac_md5, plaintext
from ..passwords.prepare import saslprep
from ..passwords.secret import StoredSecret


def new_challenge() -> bytes:
    """As RFC 2195 has it: unpredictable digits, a time, and a host in angle brackets."""
    return f"<{secrets.token_hex(16)}.{int(time.time())}@{_host()}>".encode()


def run(make_challenge: Callable[[], bytes], hash_name: str, client: Client) -> Flow:
    """One challenge, one response. An initial response is against the grammar, and is not looked at, as with Dovecot."""
    client.initial = None
    asked = make_challenge()
    response = yield from challenge(asked)
    name, space, digest = response.rpartition(b" ")
    if not space:
        raise MalformedResponse("no space between the name and the digest")
    proof = _from_hex(digest, hash_name)
    candidates = yield Lookup(text(name))
    for candidate in candidates.found:
        if proves(candidate.secrets, hash_name, asked, proof):
            verdict: Verdict = yield Conclude(candidate)
            return Done(verdict)
    return Done(candidates.otherwise)


def hmac_mechanism(name: str, hash_name: str, asked: bytes) -> Mechanism:
    """The same for a challenge that was made elsewhere: "CRAM-SHA1" with "sha1", "CRAM-SHA256" with "sha256"."""
    return Mechanism(name, "secret", partial(run, lambda: asked, hash_name))


def proves(stored: Iterable[StoredSecret], hash_name: str, asked: bytes, proof: bytes) -> bool:
    """Whether the proof is that of one of the secrets. All are tried: the time does not tell which."""
    equal = [hmac.compare_digest(digest, proof) for secret in stored for digest in digests(secret, hash_name, asked)]
    return any(equal)


def digests(secret: StoredSecret, hash_name: str, asked: bytes) -> Iterable[bytes]:
    """What a client with this password may answer: as it is stored, and as SASLprep would have it (RFC 4013)."""
    password = plaintext(secret)
    if password is not None:
        yield hmac.digest(password, asked, hash_name)
        prepared = None if password.isascii() else saslprep(text(password))
        if prepared and prepared.encode() != password:
            yield hmac.digest(prepared.encode(), asked, hash_name)
    elif hash_name == "md5" and (contexts := cram_md5_contexts(secret)) is not None:
        yield hmac_md5(contexts, asked)


def can_prove(secret: StoredSecret) -> bool:
    """Whether CRAM-MD5 works with this secret."""
    return secret.scheme in ("PLAIN", "CRAM-MD5")


def _from_hex(digest: bytes, hash_name: str) -> bytes:
    size = {"md5": 16, "sha1": 20, "sha256": 32}[hash_name]
    try:
        proof = bytes.fromhex(digest.decode("ascii"))
    except ValueError:
        raise MalformedResponse("the digest is not hexadecimal") from None
    if len(proof) != size or len(digest) != 2 * size:
        raise MalformedResponse(f"the digest has not {2 * size} digits")
    return proof


def _host() -> str:
    name = socket.gethostname()
    return name if name.isascii() and name.isprintable() and not set(name) & set("<>@ ") else "localhost"


CRAM_MD5 = Mechanism("CRAM-MD5", "secret", partial(run, new_challenge, "md5"))
