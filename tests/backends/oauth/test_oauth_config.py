"""The section of the configuration: its faults, and the examples of the manual page."""

from __future__ import annotations

import dataclasses
import pickle
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from saslpy.config import ConfigError
from saslpy.testing import settings_of
from saslpy_oauth import Config
from tests.real.idp import Idp, Signer

SIGNED: dict[str, Any] = {
    "type": "oauth",
    "keys_file": "keys.json",
    "issuer": "https://idp.example.org",
    "audience": ["mail"],
}
ASKING: dict[str, Any] = {
    "type": "oauth",
    "introspection_url": "https://idp.example.org/introspect",
    "client_id": "saslpy",
    "client_secret_file": "secret",
    "audience": [],
}
MANUAL = Path(__file__).parents[3] / "contrib" / "man" / "saslpy.toml.5"


@pytest.fixture
def folder(tmp_path: Path, signer: Signer, _running: Idp) -> Path:
    """One with a file of keys, a secret, and an authority."""
    (tmp_path / "keys.json").write_text(signer.jwks())
    (tmp_path / "empty.json").write_text('{"keys": []}')
    (tmp_path / "secret").write_text("s3cret\n")
    (tmp_path / "nothing").write_text("\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "ca.pem").write_bytes(_running.ca_file.read_bytes())
    return tmp_path


def config(folder: Path, table: dict[str, Any]) -> Config:
    found = settings_of(folder, table).backends["mine"].config
    assert isinstance(found, Config)
    return found


def fault(folder: Path, table: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        config(folder, {key: value for key, value in table.items() if value is not None})
    assert "s3cret" not in str(caught.value)
    return "\n".join(caught.value.faults).replace(f"{folder}/", "").removeprefix("backend.mine")


def test_good_ones(folder: Path) -> None:
    assert config(folder, SIGNED).claims().ends
    assert not config(folder, ASKING).claims().ends
    asking = config(folder, {**ASKING, "ca_file": "ca.pem", "domains": ["Example.ORG"]})
    assert asking.domains == ("example.org",)
    assert asking.client_secret == "s3cret"


@pytest.mark.parametrize("table", [SIGNED, ASKING])
def test_no_secret_is_shown_and_it_can_be_sent(folder: Path, table: dict[str, Any], signer: Signer) -> None:
    made = config(folder, table)
    for text in (repr(made), str(made)):
        assert "s3cret" not in text
        assert str(signer.rsa.as_dict(private=False)["n"])[:20] not in text
    # to the auth process, at a reload
    assert pickle.loads(pickle.dumps(made)) == made


EITHER = "needs either keys_file (signed tokens) or introspection_url (ask the issuer), has"
PLACE = "must hold {username} once, and nothing else in braces"
NAME = "is required with introspection_url, which answers nobody without a name"
NO_URL = 'expected "https://host/path", got'

SIGNED_FAULTS = [
    ({"keys_file": None}, f": {EITHER} neither"),
    ({"introspection_url": "https://a/"}, f": {EITHER} both"),
    ({"audience": None}, ".audience: is required"),
    ({"audience": []}, ".audience: is empty; a token that was meant for anybody else would do"),
    ({"audience": "mail"}, ".audience: expected array, got str"),
    ({"audience": ["a", ""]}, ".audience: holds an empty text"),
    ({"issuer": None}, ".issuer: is required with keys_file, as it stands in the tokens"),
    ({"client_id": "x"}, ".client_id: goes with introspection_url, not with keys_file"),
    ({"ca_file": "ca.pem"}, ".ca_file: goes with introspection_url, not with keys_file"),
    ({"client_secret_file": "secret"}, ".client_secret_file: goes with introspection_url, not with keys_file"),
    ({"keys_file": "missing"}, ".keys_file: missing: No such file or directory"),
    ({"keys_file": "folder"}, ".keys_file: folder: Is a directory"),
    ({"keys_file": "empty.json"}, ".keys_file: empty.json: holds no key to check tokens with (it is empty)"),
    ({"algorithms": []}, ".algorithms: names none"),
    ({"algorithms": ["none"]}, ".algorithms[0]: 'none' is none"),
    ({"algorithms": ["RS256", "rs512"]}, ".algorithms[1]: 'rs512' is none"),
    ({"algorithms": ["RS265"]}, ".algorithms[0]: 'RS265' is none; did you mean 'RS256'?"),
    (
        {"algorithms": ["HS256"]},
        ".keys_file: keys.json: holds no key to check tokens with (RSA 2048 kid 'rsa': the allowed",
    ),
    ({"token_types": []}, ".token_types: names no type"),
    ({"token_types": [""]}, ".token_types: names no type"),
    ({"leeway": -1}, ".leeway: must be from 0 to 600"),
    ({"leeway": 601}, ".leeway: must be from 0 to 600"),
    ({"leeway": float("nan")}, ".leeway: must be from 0 to 600"),
    ({"scopes": ["email mail"]}, ".scopes: 'email mail' holds a blank; name each scope by itself"),
    ({"username_claim": ""}, ".username_claim: is empty"),
    ({"username_format": "joe"}, f".username_format: {PLACE}"),
    ({"username_format": "{username}{username}"}, f".username_format: {PLACE}"),
    ({"username_format": "{username}@{domain}"}, f".username_format: {PLACE}"),
    ({"required_claims": {"a": 5}}, ".required_claims[...]: expected bool | str, got int"),
    ({"keys": "x"}, ".keys: unknown key; did you mean 'keys_file'?"),
]
ASKING_FAULTS = [
    ({"client_id": None}, f".client_id: {NAME}"),
    ({"client_secret_file": None}, f".client_secret_file: {NAME}"),
    ({"client_secret_file": "missing"}, ".client_secret_file: missing: No such file or directory"),
    ({"client_secret_file": "nothing"}, ".client_secret_file: nothing: its first line is empty"),
    ({"ca_file": "secret"}, ".ca_file: secret: holds no certificate in PEM form"),
    ({"pool_size": 0}, ".pool_size: must be from 1 to 64"),
    (
        {"introspection_url": "http://localhost/a", "ca_file": "ca.pem"},
        ".ca_file: an http:// endpoint has no certificate",
    ),
]
URL_FAULTS = [
    ("idp.example.org", NO_URL),
    ("ldap://a/", NO_URL),
    ("https:///a", NO_URL),
    ("https://a:0/", NO_URL),
    ("https://a:x/", "'https://a:x/': Port could not be cast to integer value"),
    ("https://[a/", "'https://[a/': Invalid IPv6 URL"),
    ("http://idp.example.org/", "tokens may not go through a network in the clear; use https://"),
    (
        "https://u:s3cret@idp.example.org/",
        "no name or password belongs into a URL; use client_id and client_secret_file",
    ),
    ("https://a/#b", "'https://a/#b' holds what no URL of an endpoint may"),
    ("https://a/b c", "'https://a/b c' holds what no URL of an endpoint may"),
    ("https://münchen.example/", "'https://münchen.example/' holds what no URL of an endpoint may"),
]


@pytest.mark.parametrize(("changed", "told"), SIGNED_FAULTS)
def test_faults_with_keys(folder: Path, changed: dict[str, Any], told: str) -> None:
    assert fault(folder, {**SIGNED, **changed}).startswith(told)


@pytest.mark.parametrize(("changed", "told"), ASKING_FAULTS)
def test_faults_with_an_endpoint(folder: Path, changed: dict[str, Any], told: str) -> None:
    assert fault(folder, {**ASKING, **changed}).startswith(told)


@pytest.mark.parametrize(("url", "told"), URL_FAULTS)
def test_faults_in_the_url(folder: Path, url: str, told: str) -> None:
    assert fault(folder, {**ASKING, "introspection_url": url}).startswith(f".introspection_url: {told}")


@pytest.mark.parametrize(
    ("url", "endpoint", "target"),
    [
        ("https://idp.example.org", "https://idp.example.org/", "/"),
        ("https://idp.example.org:443/a?realm=b", "https://idp.example.org/a", "/a?realm=b"),
        ("https://IDP.example.org:8443/a/", "https://idp.example.org:8443/a/", "/a/"),
        ("https://[2001:db8::1]/a", "https://[2001:db8::1]/a", "/a"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a", "/a"),
        ("http://[::1]/a", "http://[::1]/a", "/a"),
        ("http://localhost:80/?a", "http://localhost/", "/?a"),
    ],
)
def test_endpoints(folder: Path, url: str, endpoint: str, target: str) -> None:
    made = config(folder, {**ASKING, "introspection_url": url}).endpoint
    assert made is not None
    assert str(made) == endpoint
    assert made.target == target


def test_the_examples_of_the_manual_page(folder: Path) -> None:
    text = MANUAL.read_text().partition('.Ss [backend.NAME] with type = "oauth"\n')[2].partition("\n.Ss ")[0]
    examples = re.findall(r"^\.Bd -literal.*?\n(\[backend.*?)^\.Ed", text, re.MULTILINE | re.DOTALL)
    assert len(examples) == 2
    for example in examples:
        table = tomllib.loads(example)["backend"]["sso"]
        files = {"keys_file": "keys.json", "client_secret_file": "secret"}
        made = config(folder, {**table, **{key: name for key, name in files.items() if key in table}})
        assert made.claims().required_claims == {"typ": "Bearer"}


def test_the_defaults_are_those_of_the_rules(folder: Path) -> None:
    from saslpy_oauth.claims import Rules
    from saslpy_oauth.keys import ASYMMETRIC

    made = config(folder, SIGNED)
    assert made.algorithms == ASYMMETRIC
    assert made.claims() == Rules(issuer=made.issuer, audience=made.audience)
    named = {field.name for field in dataclasses.fields(Config)}
    assert {field.name for field in dataclasses.fields(Rules)} - {"ends"} <= named
