"""A directory's schema: which attributes it knows, and by which name it answers. For ``saslpy check`` alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from .answers import Question, Session

Schema: TypeAlias = Mapping[str, str]
"""Every name of every attribute, in lower case, to the name that stands first and is answered with."""

Use: TypeAlias = tuple[str, str]
"""A key of the configuration, and the attribute that it names."""

_ROOT = Question("", 0, "(objectClass=*)", ("subschemaSubentry",), 1)

_NAMES = re.compile(r"\s*\(\s*[A-Za-z0-9.-]+\s+NAME\s+(?:'(?P<one>[^']+)'|\((?P<several>[^)]*)\))")
"""The beginning of an AttributeTypeDescription (RFC 4512, 4.1.2): ( 2.5.4.9 NAME ( 'street' 'streetAddress' ) ..."""


def read(session: Session, until: float) -> Schema:
    """The schema (RFC 4512, 4.4), empty where a directory shows none. Raises ``Fault``."""
    for entry in session.search(_ROOT, until).entries:
        for place in entry.values.get("subschemasubentry", ()):
            question = Question(place.decode("utf-8", "replace"), 0, "(objectClass=subschema)", ("attributeTypes",), 1)
            for schema in session.search(question, until).entries:
                return names_in(value.decode("utf-8", "replace") for value in schema.values.get("attributetypes", ()))
    return {}


def names_in(descriptions: Iterable[str]) -> Schema:
    """The names in the values of ``attributeTypes``."""
    schema = {}
    for description in descriptions:
        match = _NAMES.match(description)
        if match is not None:
            names = [match["one"]] if match["one"] else re.findall(r"'([^']+)'", match["several"])
            schema.update({name.lower(): names[0] for name in names})
    return schema


def complaints(schema: Schema, read: Sequence[Use], compared: Sequence[Use]) -> Iterator[str]:
    """What is wrong with attributes that are read, and with those that filters compare. None where there is no schema."""
    if not schema:
        return
    for key, attribute in dict.fromkeys((*read, *compared)):
        name = attribute.partition(";")[0]
        # an OID, in a filter, is as good as a name
        if name.lower() not in schema and not name[:1].isdigit():
            yield f"{key}: the directory's schema has no attribute {name}"
    for key, attribute in read:
        name = attribute.partition(";")[0]
        known = schema.get(name.lower(), name)
        if known.lower() != name.lower():
            yield f"{key}: {name} is another name of {known}, and the directory may answer with that: say {known}"
