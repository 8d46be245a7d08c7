"""Attributes that have several names: a server may answer with another one than it was asked for (RFC 4512, 2.5).

OpenLDAP calls ``userid`` uid, whatever was asked; who then looks for userid finds nothing, and a flag that means "disabled"
would read as not set. The schema would tell all names, but it may be a message of a megabyte, and may be hidden: too
much for the first login after each start, which has three seconds. So the standards' names are known here, ``saslpy check``
holds all names to the schema, and what comes back under a name that is neither is a bad entry and not an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .answers import BadEntry, Entry

_GROUPS = (
    # RFC 4519
    ("c", "countryName"),
    ("cn", "commonName"),
    ("dc", "domainComponent"),
    ("givenName", "gn"),
    ("facsimileTelephoneNumber", "fax"),
    ("l", "localityName"),
    ("o", "organizationName"),
    ("ou", "organizationalUnitName"),
    ("sn", "surname"),
    ("st", "stateOrProvinceName"),
    ("street", "streetAddress"),
    ("uid", "userid"),
    # RFC 4524
    ("co", "friendlyCountryName"),
    ("drink", "favouriteDrink"),
    ("homePhone", "homeTelephoneNumber"),
    ("mail", "rfc822Mailbox"),
    ("mobile", "mobileTelephoneNumber"),
    ("pager", "pagerTelephoneNumber"),
    # RFC 2985, as OpenLDAP names it
    ("email", "emailAddress", "pkcs9email"),
)

_NAMES = {name.lower(): tuple(name.lower() for name in group) for group in _GROUPS for name in group}


def names_of(attribute: str) -> tuple[str, ...]:
    """All names of an attribute, in lower case; the given one alone where no others are known."""
    return _NAMES.get(attribute.lower(), (attribute.lower(),))


def as_asked(entry: Entry, asked: Iterable[str], needed: Sequence[str] = ()) -> Entry:
    """The entry with its attributes under the names that were asked for.

    ``needed``: those of them that must not be overlooked. Raises ``BadEntry`` where one of them is not there, and something
    that nobody asked for may be it. (A server that sends whatever it has, sends more than is missing.)
    """
    wanted = {name.lower() for name in asked}
    values = dict(entry.values)
    missing = wanted.difference(values)
    # one with an option (cn;lang-de) was asked for, too (RFC 4511, 4.5.1.8)
    unasked = {name for name in values.keys() - wanted if name.partition(";")[0] not in wanted}
    unasked.discard("objectclass")  # some servers never leave it out, and it has no other name
    for name in sorted(missing):
        # what was asked for is nobody's other name: to Active Directory, street and streetAddress are two
        for other in unasked.intersection(names_of(name)):
            values[name] = values[other]
            missing.discard(name)
            unasked.discard(other)
    if 0 < len(unasked) <= len(missing):
        for name in needed:
            if name.lower() in missing:
                told = ", ".join(sorted(unasked))
                raise BadEntry(f"asked for {name}, the directory sends {told}: name attributes as the directory does")
    return Entry(entry.dn, values)
