"""Which extensions are offered now, and EHLO's lines that say so (RFC 5321, 4.1.1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from .options import Limits, Options

XCLIENT_ATTRIBUTES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "LOGIN", "DESTADDR", "DESTPORT")
"""Postfix's XCLIENT_README."""


@lru_cache(maxsize=64)
def offered(options: Options, mechanisms: tuple[str, ...], tls: bool) -> Mapping[str, str]:
    """Keyword and what stands behind it, in the order of the lines."""
    having = options.extensions
    limits = options.limits
    names = {
        "PIPELINING": "",
        "SIZE": str(limits.size),  # 0 is no limit (RFC 1870, 4)
        "8BITMIME": "",
        "SMTPUTF8": "",
        "ENHANCEDSTATUSCODES": "",
        "CHUNKING": "",
        "BINARYMIME": "",
        "DSN": "",
        "LIMITS": _limits(limits),
        "STARTTLS": "",
        "AUTH": " ".join(mechanisms),
        "REQUIRETLS": "",
    }
    found = {name: more for name, more in names.items() if name in having}
    if tls:
        found.pop("STARTTLS", None)
    else:
        found.pop("REQUIRETLS", None)  # RFC 8689, 2
    if not mechanisms or (options.require_tls and not tls):
        found.pop("AUTH", None)
    if "CHUNKING" not in having:
        found.pop("BINARYMIME", None)  # RFC 3030, 3
    if not _limits(limits):
        found.pop("LIMITS", None)
    return found | _further(options)


def _further(options: Options) -> dict[str, str]:
    found = {}
    if options.future_release is not None:
        found["FUTURERELEASE"] = ""  # what it says changes with the time
    if options.deliver_by is not None:
        found["DELIVERBY"] = str(options.deliver_by) if options.deliver_by else ""
    if options.priorities is not None:
        found["MT-PRIORITY"] = options.priorities
    if options.xclient:
        found["XCLIENT"] = " ".join(XCLIENT_ATTRIBUTES)
    return found


def _limits(limits: Limits) -> str:
    named = (("MAILMAX", limits.messages), ("RCPTMAX", limits.recipients))
    return " ".join(f"{name}={value}" for name, value in named if value)


def lines(options: Options, found: Mapping[str, str]) -> list[str]:
    """EHLO's lines, now."""
    if options.future_release is not None:
        found = {**found, "FUTURERELEASE": str(options.future_release)}
    return [f"{name} {more}" if more else name for name, more in found.items()]
