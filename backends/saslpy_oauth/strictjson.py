"""JSON that can be read in one way only (RFC 8259, 4; RFC 7493): what two readers might take for two things is refused.

Python's reader takes the last of two members with one name, where the issuer's may have taken the first, and knows the
numbers NaN and Infinity, which JSON does not have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn


class NotJson(ValueError):
    """No such JSON. The message says why, and shows none of it."""


def table(data: bytes) -> Mapping[str, Any]:
    """The object that is written in some bytes. Raises ``NotJson``."""
    try:
        value = json.loads(data.decode(), object_pairs_hook=_members, parse_constant=_no_constant)
    except NotJson:
        raise
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    except RecursionError:
        raise NotJson("is nested too deeply") from None
    except ValueError:  # a number of thousands of digits, too
        raise NotJson("is not JSON") from None
    if not isinstance(value, dict):
        raise NotJson("is no JSON object")
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise NotJson("holds a name twice")
    return members


def _no_constant(text: str) -> NoReturn:
    raise NotJson("holds a number that JSON does not have")
