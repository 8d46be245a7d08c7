"""Signatures that others have made: the examples of the RFCs, and those of José, Debian's tool in C."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from saslpy_oauth.compact import parse
from saslpy_oauth.keys import ALGORITHMS, read
from tests.real import need
from tests.real.idp import Signer

from . import JOE, NOBODY, signed

JOE_OF_RFC_7519 = b'{"iss":"joe",\r\n "exp":1300819380,\r\n "http://example.com/is_root":true}'
DANGEROUS = (
    "It\u2019s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't keep your "
    "feet, there\u2019s no knowing where you might be swept off to."
).encode()
BILBO = {
    "kty": "RSA",
    "kid": "bilbo.baggins@hobbiton.example",
    "use": "sig",
    "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2w"
    "qVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJls"
    "de3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc"
    "5gHdrNP5zw",
    "e": "AQAB",
}
BILBO_SAYS = (
    "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kI"
    "GlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4"
)

VECTORS: dict[str, tuple[dict[str, str], str, bytes]] = {
    "RFC 7515, A.1: HS256": (
        {"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"},
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        JOE_OF_RFC_7519,
    ),
    "RFC 7515, A.3: ES256": (
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        JOE_OF_RFC_7519,
    ),
    "RFC 7515, A.4: ES512": (
        {
            "kty": "EC",
            "crv": "P-521",
            "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
            "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2",
        },
        "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA"
        ".AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7Xdt"
        "AG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        b"Payload",
    ),
    "RFC 7520, 4.1: RS256": (
        BILBO,
        f"eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{BILBO_SAYS}"
        ".MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDk"
        "oBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpE"
        "RV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogore"
        "e7vjbU5y18kDquDg",
        DANGEROUS,
    ),
    "RFC 7520, 4.2: PS384": (
        BILBO,
        f"eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{BILBO_SAYS}"
        ".cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OL"
        "PpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr"
        "2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD"
        "4ifKo8DYM-X72Eaw",
        DANGEROUS,
    ),
    "RFC 8037, A.4: EdDSA": (
        {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
        ".hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        b"Example of Ed25519 signing",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_the_examples_of_the_rfcs(name: str) -> None:
    key, token, payload = VECTORS[name]
    jws = parse(token, ALGORITHMS, ("jwt",))
    assert jws.payload == payload
    keys = read(json.dumps({"keys": [key]}).encode(), ALGORITHMS)
    assert keys.signed(jws) is True
    # any other byte anywhere
    head, body, signature = token.split(".")
    other = "A" if signature[5] != "A" else "B"
    for changed in (
        f"{head}.{body[:4]}{other}{body[5:]}.{signature}",
        f"{head}.{body}.{signature[:5]}{other}{signature[6:]}",
    ):
        assert keys.signed(parse(changed, ALGORITHMS, ("jwt",))) is False


@pytest.mark.real
@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "HS256", "HS512"])
def test_what_jose_signs(algorithm: str, file: Path, signer: Signer, tmp_path: Path) -> None:
    jose = need("jose", package="jose")
    private = tmp_path / "private.jwk"

    def run(*arguments: str, given: str = "") -> str:
        done = subprocess.run([jose, *arguments], input=given, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout

    def as_file(name: str, value: Any) -> str:
        (tmp_path / name).write_text(json.dumps(value))
        return str(tmp_path / name)

    run("jwk", "gen", "-i", json.dumps({"alg": algorithm, "kid": "j"}), "-o", str(private))
    public = json.loads(private.read_text() if algorithm.startswith("HS") else run("jwk", "pub", "-i", str(private)))
    claims = as_file("claims", signer.claims(exp=int(time.time()) + 60))
    header = json.dumps({"protected": {"alg": algorithm, "kid": "j", "typ": "at+jwt"}})
    token = run("jws", "sig", "-s", header, "-I", claims, "-k", str(private), "-c").strip()
    with signed(file, signer, algorithms=(algorithm,), keys_file=Path(as_file("jwks", {"keys": [public]}))) as backend:
        assert backend.verify_token(NOBODY, token) == JOE
