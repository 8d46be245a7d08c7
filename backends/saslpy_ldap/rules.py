"""What a configuration must keep to. Every function raises a ValueError whose message begins with the key at fault."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .attributes import names_of
from .entries import FIELDS
from .places import Server, server_of
from .templates import BindName, Filter

if TYPE_CHECKING:
    from . import Config

T = TypeVar("T")

_ATTRIBUTE = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
_OID = re.compile(r"[0-9]+(\.[0-9]+)+(;.*)?")

SEARCH_KEYS = (
    "base",
    "login_attribute",
    "attributes",
    "list_filter",
    "group_filter",
    "group_base",
    "password_attribute",
    "bind_dn",
    "bind_password",
    "bind_password_file",
)
"""Those that mean nothing without a search."""

DIRECTORY_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("ARGON2ID", "ARGON2I"), "ARGON2"),
    **dict.fromkeys(("YESCRYPT", "BLF-CRYPT", "SHA512-CRYPT", "SHA256-CRYPT", "CRYPT"), "CRYPT"),
    **{name: name for name in ("SSHA512", "SSHA256", "SSHA")},
}
"""Schemes that a directory may know, by the names that it knows them by: slapd with its modules argon2 and pw-sha2."""


def servers(config: Config) -> tuple[Server, ...]:
    """Where to connect, in order."""
    if not config.urls:
        raise ValueError('urls: names no server; one is written "ldaps://ldap1.example.com"')
    found: list[Server] = []
    for number, url in enumerate(config.urls):
        server = _keyed(f"urls[{number}]", server_of, url, config.starttls)
        if server in found:
            raise ValueError(f"urls[{number}]: stands there twice")
        found.append(server)
    encrypted = [server for server in found if server.protection != "none"]
    if config.starttls and not any(server.protection == "starttls" for server in found):
        raise ValueError("starttls: goes with ldap://; ldaps:// is encrypted from its beginning, a unix socket never")
    if config.ca_file is not None and not encrypted:
        raise ValueError("ca_file: no connection uses TLS; say starttls = true, or leave it out")
    return tuple(found)


def questions(config: Config) -> dict[str, Any]:
    """The parsed templates: how a login becomes a search, or a name to bind as."""
    if bool(config.filter) == bool(config.user_dn):
        has = "both" if config.filter else "neither"
        raise ValueError(f"needs either filter (search, then bind) or user_dn (bind alone), has {has}")
    if config.user_dn:
        for key in SEARCH_KEYS:
            if getattr(config, key):
                raise ValueError(f"{key}: goes with filter, not with user_dn")
        name = _keyed("user_dn", BindName.of, config.user_dn)
        _check_domains("user_dn", name.places, config.domains)
        return {"bind_name": name}
    _check_base("base", config.base)
    template = _keyed("filter", Filter.of, config.filter)
    _check_attributes(config, template.login_attribute()[0])
    if config.group_base and not config.group_filter:
        raise ValueError("group_base: goes with group_filter")
    if config.group_base:
        _check_base("group_base", config.group_base)
    group = _keyed("group_filter", Filter.of, config.group_filter, ("dn",)) if config.group_filter else None
    # a group that is looked for by its domain keeps other domains out, too
    _check_domains("the filter", template.places | (group.places if group else frozenset()), config.domains)
    return {"filter_template": template, "group_template": group, "list_template": _list_template(config, template)}


def _list_template(config: Config, template: Filter) -> Filter | None:
    """The filter for all users; None where nobody can say it, or how they are called."""
    attribute, place = template.login_attribute()
    whole = bool(config.login_attribute) or (bool(attribute) and place == "login")
    named = whole or (bool(attribute) and bool(config.domains))
    if config.list_filter:
        everybody = _keyed("list_filter", Filter.of_all, config.list_filter)
        if not named:
            raise ValueError("list_filter: the filter does not tell whole names; say login_attribute, or domains")
        if whole and everybody.places:
            raise ValueError("list_filter: {domain} is for names without one, of domains; these are whole")
        return everybody
    found = template.everybody() if named else None
    return None if found is None or (whole and found.places) else found


def check_credentials(config: Config) -> None:
    """Who we are to the directory: somebody with a password, or nobody."""
    if config.bind_password and config.bind_password_file is not None:
        raise ValueError("bind_password_file: either a password or a file with it, not both")
    has_password = bool(config.bind_password) or config.bind_password_file is not None
    if config.bind_dn and not has_password:
        # sent like this, it would be an unauthenticated bind, which succeeds and finds nothing
        raise ValueError("bind_dn: needs bind_password_file (or bind_password)")
    if has_password and not config.bind_dn:
        raise ValueError("bind_dn: is missing; the password is for nobody")
    if not config.bind_dn.isprintable():
        raise ValueError("bind_dn: holds a control character")


def upgrade_faults(config: Config, wanted: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Why an upgrade to these schemes cannot be."""
    if wanted and not config.password_attribute:
        yield "upgrade", "needs password_attribute: where the directory checks passwords, what is stored is not seen"
    elif wanted and not config.bind_dn:
        yield "upgrade", "needs bind_dn: nobody may write without a name"
    for name in wanted:
        if name not in DIRECTORY_NAMES:
            yield "upgrade", f"no directory knows {name}; there are {', '.join(DIRECTORY_NAMES)}"


def check_driver(config: Config) -> None:
    """Whether the driver that is asked for by name is there; it is loaded later."""
    if config.driver == "python-ldap" and importlib.util.find_spec("ldap") is None:
        raise ValueError("driver: python-ldap is not installed: pip install 'saslpy[ldap-fast]'")


def check_numbers(config: Config) -> None:
    """Bounds that make sense."""
    if not 1 <= config.pool_size <= 64:
        raise ValueError("pool_size: must be from 1 to 64")
    if not 0.1 <= config.query_timeout <= 60:
        raise ValueError("query_timeout: must be from 0.1 to 60 seconds")
    if not 0 <= config.remember_seconds <= 3600:
        raise ValueError("remember_seconds: must be from 0 (never) to 3600")


def _check_domains(what: str, places: frozenset[str], domains: Sequence[str]) -> None:
    if not domains and not places & {"login", "domain"}:
        raise ValueError(
            f"domains: is required where {what} uses neither {{login}} nor {{domain}}: else joe@any-domain is joe; "
            'name the domains, "" for logins without one'
        )


def _check_attributes(config: Config, compared: str) -> None:
    """``compared``: the attribute that the filter compares with the login."""
    named = {key: getattr(config, key) for key in ("login_attribute", "password_attribute") if getattr(config, key)}
    if not config.login_attribute and compared:
        named["filter"] = compared.partition(";")[0]
    for field, attribute in config.attributes.items():
        if field not in FIELDS:
            raise ValueError(f"attributes.{field}: unknown; known are {', '.join(FIELDS)}")
        named[f"attributes.{field}"] = attribute
    seen: dict[tuple[str, ...], str] = {}
    for key, name in named.items():
        _check_attribute(key, name)
        other = seen.setdefault(names_of(name), name)
        if other.lower() != name.lower():
            # a directory answers with one of them, and the other one would read as not set
            raise ValueError(f"{key}: {name} is another name of {other}, which stands there too; use one of them")


def _check_attribute(key: str, name: str) -> None:
    if _OID.fullmatch(name):
        raise ValueError(f"{key}: {name} is an OID; say the attribute's name, which is what a directory answers with")
    if not _ATTRIBUTE.fullmatch(name):
        raise ValueError(f"{key}: {name!r} is no name of an attribute")


def _check_base(key: str, dn: str) -> None:
    if not dn:
        raise ValueError(f'{key}: is required with filter: "ou=people,dc=example,dc=com"')
    if "=" not in dn or not dn.isprintable():
        raise ValueError(f"{key}: {dn!r} is no DN")


def _keyed(key: str, read: Callable[..., T], *args: Any) -> T:
    """What ``read`` makes of it, its complaint with the key before it."""
    try:
        return read(*args)
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None
