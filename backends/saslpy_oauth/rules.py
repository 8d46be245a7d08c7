"""What a configuration must keep to. Every function raises a ValueError whose message begins with the key at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from saslpy.addresses import is_loopback
from saslpy.config import check_number, guess
from saslpy.files import certificates, first_line

from .claims import PLACE
from .endpoint import Endpoint

if TYPE_CHECKING:
    from . import Config

ASKING_KEYS = ("client_id", "client_secret_file", "ca_file")
"""Those that mean nothing without an endpoint."""


def check(config: Config) -> None:
    """What holds for both kinds."""
    if (config.keys_file is None) == (not config.introspection_url):
        has = "neither" if config.keys_file is None else "both"
        raise ValueError(f"needs either keys_file (signed tokens) or introspection_url (ask the issuer), has {has}")
    _check_claims(config)
    check_number("leeway", config.leeway, 0, 600)


def keys(config: Config) -> dict[str, Any]:
    """What is read for signed tokens: the file of keys, which is told here if it is no good."""
    for key in ASKING_KEYS:
        if getattr(config, key):
            raise ValueError(f"{key}: goes with introspection_url, not with keys_file")
    if not config.issuer:
        raise ValueError('issuer: is required with keys_file, as it stands in the tokens: "https://sso.example.org"')
    if not config.audience:
        raise ValueError("audience: is empty; a token that was meant for anybody else would do")
    _check_algorithms(config)
    if not config.token_types or not all(config.token_types):
        raise ValueError("token_types: names no type")
    return {"keys": _keys(config)}


def asking(config: Config) -> dict[str, Any]:
    """What is read for an endpoint: where it is, and who we are there."""
    endpoint = _endpoint(config.introspection_url)
    if not config.client_id or config.client_secret_file is None:
        missing = "client_secret_file" if config.client_id else "client_id"
        raise ValueError(f"{missing}: is required with introspection_url, which answers nobody without a name")
    if config.ca_file is not None and not endpoint.tls:
        raise ValueError("ca_file: an http:// endpoint has no certificate")
    check_number("pool_size", config.pool_size, 1, 64)
    # read now: later, the daemon has given up the rights to read them
    return {
        "endpoint": endpoint,
        "client_secret": first_line(config.client_secret_file, "client_secret_file"),
        "ca_pem": certificates(config.ca_file) if config.ca_file is not None else "",
    }


def _keys(config: Config) -> Any:
    """The file's content, once it is known that there are keys in it."""
    from . import keys as reading  # loads the library
    from .keysfile import content

    assert config.keys_file is not None
    try:
        found = content(config.keys_file)
        reading.read(found.data, config.algorithms)
    except OSError as error:
        raise ValueError(f"keys_file: {config.keys_file}: {error.strerror}") from None
    except reading.BadKeys as error:
        raise ValueError(f"keys_file: {config.keys_file}: {error}") from None
    return found


def _check_algorithms(config: Config) -> None:
    from .keys import ALGORITHMS

    if not config.algorithms:
        raise ValueError("algorithms: names none")
    for number, name in enumerate(config.algorithms):
        if name not in ALGORITHMS:
            raise ValueError(f"algorithms[{number}]: {name!r} is none{guess(name, list(ALGORITHMS))}")


def _check_claims(config: Config) -> None:
    if not config.username_claim:
        raise ValueError("username_claim: is empty")
    if config.username_format.count(PLACE) != 1 or "{" in config.username_format.replace(PLACE, ""):
        raise ValueError(f"username_format: must hold {PLACE} once, and nothing else in braces")
    for key in ("audience", "scopes"):
        if not all(getattr(config, key)):
            raise ValueError(f"{key}: holds an empty text")
    for scope in config.scopes:
        if " " in scope:
            raise ValueError(f"scopes: {scope!r} holds a blank; name each scope by itself")


def _endpoint(url: str) -> Endpoint:
    key = "introspection_url"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueError(f"{key}: {url!r}: {error}") from None
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise ValueError(f'{key}: expected "https://host/path", got {url!r}')
    if "@" in parts.netloc:
        raise ValueError(f"{key}: no name or password belongs into a URL; use client_id and client_secret_file")
    if "#" in url or not (url.isascii() and url.isprintable()) or " " in url:
        raise ValueError(f"{key}: {url!r} holds what no URL of an endpoint may (a blank, a fragment, non-ASCII)")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{key}: tokens may not go through a network in the clear; use https://")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(parts.scheme == "https", host, port or (443 if parts.scheme == "https" else 80), target)
