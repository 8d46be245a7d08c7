"""LDAP and Active Directory, with each driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from saslpy import passwords
from tests.real.slapd import SUFFIX

PEOPLE = f"ou=people,{SUFFIX}"
GROUPS = f"ou=groups,{SUFFIX}"
SERVICE = f"cn=service,{SUFFIX}"
READER = f"cn=reader,{SUFFIX}"
SERVICE_PASSWORD = "the sérvice's own"

USERS = {
    "joe@example.org": "s3cret joe",
    "ann@example.org": "pässwörd",
    "bare": "x1y2",
    "O'Neill@example.org": "quote'd",
}

ACCESS = f"""\
access to attrs=userPassword by dn.exact="{READER}" read by anonymous auth by * none
access to * by dn.exact="{SERVICE}" read by dn.exact="{READER}" read by self read by * none
"""

Attributes = Mapping[str, str | bytes | Sequence[str | bytes]]


def person(uid: str, password: str | None, **more: str | bytes | Sequence[str | bytes]) -> tuple[str, Attributes]:
    """An entry below ``PEOPLE``."""
    attributes: dict[str, str | bytes | Sequence[str | bytes]] = {
        "objectClass": ["inetOrgPerson"],
        "cn": uid,
        "sn": uid,
        "uid": uid,
        **more,
    }
    if password is not None:
        attributes["userPassword"] = passwords.make("SSHA", password)
    escaped = uid.replace(",", "\\,").replace('"', '\\"').replace("=", "\\=")
    return f"uid={escaped},{PEOPLE}", attributes


def tree(*more: tuple[str, Attributes]) -> list[tuple[str, Attributes]]:
    """The suffix, the service accounts, and ``more``."""
    return [
        (SUFFIX, {"objectClass": ["dcObject", "organization"], "dc": "example", "o": "example"}),
        (PEOPLE, {"objectClass": "organizationalUnit", "ou": "people"}),
        (GROUPS, {"objectClass": "organizationalUnit", "ou": "groups"}),
        *(
            (
                dn,
                {
                    "objectClass": ["organizationalRole", "simpleSecurityObject"],
                    "cn": dn.partition(",")[0].removeprefix("cn="),
                    "userPassword": SERVICE_PASSWORD,
                },
            )
            for dn in (SERVICE, READER)
        ),
        *more,
    ]


def searching(**changes: Any) -> dict[str, Any]:
    """The keys of a search, then bind; without urls."""
    keys: dict[str, Any] = {
        "bind_dn": SERVICE,
        "bind_password": SERVICE_PASSWORD,
        "base": PEOPLE,
        "filter": "(&(objectClass=person)(uid={login}))",
    }
    return keys | changes
