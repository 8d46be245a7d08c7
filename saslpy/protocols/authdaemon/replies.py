"""What Courier's clients are told: accounts to bytes, and the bytes as a client reads them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from ...model import Account

FAIL = b"FAIL\n"
OK = b"OK\n"
END = b".\n"

MAX_REPLY = 8190
"""Bytes of a reply to PRE or AUTH: Courier's clients have a buffer of 8191, and libsasl2 fails with more than these."""

MANDATORY = ("uid", "gid", "home")
"""What Courier's programs need of an account, beside its name."""

DISABLING = {"imap": "disableimap", "pop3": "disablepop3", "webmail": "disablewebmail"}
"""Options by which courier-imap, its POP3 server and sqwebmail turn away those who may not log in there."""

_OTHERS = ("userdb_", "passdb_")
"""What the names of options begin with that are meant for Dovecot."""

_CLEAR = ("PLAIN", "CLEAR", "CLEARTEXT")
_DROPPED_FIRST = ("NAME", "PASSWD2", "PASSWD")
"""What may be left out of a reply that is too long, in this order.

Nothing else may: without OPTIONS a disabled user is let in, without MAILDIR or QUOTA mail goes elsewhere or has no bound.
"""


class Unsayable(ValueError):
    """An account that this protocol has no bytes for. The message says why, without any value of the account's."""


def missing(account: Account) -> tuple[str, ...]:
    """The fields that Courier's programs need and the account lacks."""
    return tuple(name for name in MANDATORY if getattr(account, name) in (None, ""))


def account_reply(
    account: Account, defaults: Mapping[str, str], barred: Collection[str] = (), secrets: bool = False
) -> bytes:
    """The account, for PRE and AUTH. Raises ``Unsayable``.

    ``defaults`` are options of those who have no other; ``barred`` the services of ``DISABLING`` that the user may not log
    in to. ``secrets``: the stored passwords, too.
    """
    fields = dict(_fields(account))
    if secrets:
        fields |= _secrets(account)
    fields["OPTIONS"] = _options(account, defaults, barred)
    reply = _joined(fields)
    for name in _DROPPED_FIRST:
        if len(reply) > MAX_REPLY:
            fields.pop(name, None)
            reply = _joined(fields)
    if len(reply) > MAX_REPLY:
        raise Unsayable(f"a reply of {len(reply)} bytes; the limit is {MAX_REPLY}")
    return reply


def _fields(account: Account) -> Iterator[tuple[str, str]]:
    # a UID alone would make Courier's programs run with the group 0
    if account.uid is not None and account.gid is not None:
        yield "UID", str(account.uid)
        yield "GID", str(account.gid)
    yield "HOME", account.home or ""
    yield "ADDRESS", account.login
    yield "NAME", "".join(char if char.isprintable() else " " for char in account.name or "")
    yield "MAILDIR", account.maildir or ""
    yield "QUOTA", account.quota or ""


def _secrets(account: Account) -> Iterator[tuple[str, str]]:
    """The first stored password of each kind, as Courier has them: crypt(3)'s without the name of a scheme."""
    split = [
        secret[1:].partition("}") if secret.startswith("{") else ("CRYPT", "", secret) for secret in account.secrets
    ]
    clear = [rest for scheme, _, rest in split if scheme.upper() in _CLEAR and rest.isprintable()]
    hashed = [
        rest if scheme.upper().endswith("CRYPT") else f"{{{scheme}}}{rest}"
        for scheme, _, rest in split
        if scheme.upper() not in _CLEAR
    ]
    yield "PASSWD", next(iter(hashed), "")
    yield "PASSWD2", next(iter(clear), "")


def _options(account: Account, defaults: Mapping[str, str], barred: Collection[str]) -> str:
    """``key=value,key=value``; the account's own go before the defaults, and what bars the user before both."""
    own = {key: value for key, value in account.options.items() if not key.startswith(_OTHERS)}
    options = {**defaults, **own, **{DISABLING[service]: "1" for service in DISABLING if service in barred}}
    for key, value in options.items():
        if not key or set("=,") & set(key) or "," in value:
            raise Unsayable("an option with a comma, or a name with an equals sign")
    return ",".join(f"{key}={value}" for key, value in options.items())


def _joined(fields: Mapping[str, str]) -> bytes:
    return b"".join(b"%b=%b\n" % (name.encode(), _value(value)) for name, value in fields.items() if value) + END


def _value(text: str) -> bytes:
    """Raises ``Unsayable`` for what would be two lines, or none."""
    if any(char in text for char in "\n\t\0"):
        raise Unsayable("a control character")
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise Unsayable("what is not UTF-8") from None


# --- all of them


def listing_start() -> bytes:
    """What stands before the list of users; clients do not look at it."""
    return b"# saslpy\n\n"


def listing_line(account: Account, defaults: Mapping[str, str], barred: Collection[str] = ()) -> bytes:
    """One user of the list. Raises ``Unsayable``. Clients pass over those without a uid or gid."""
    known = account.uid is not None and account.gid is not None
    ids = (str(account.uid), str(account.gid)) if known else ("", "")
    fields = (account.login, *ids, account.home or "", account.maildir or "", _options(account, defaults, barred))
    line = b"\t".join(map(_value, fields)) + b"\n"
    if b"#" in line:
        raise Unsayable("a number sign, which begins a comment in a list")
    return line


def listing_end() -> bytes:
    """The end; without it, a client knows that the list is not whole."""
    return END


# --- the client's side


def decode_reply(data: bytes) -> dict[str, str] | bool | None:
    """The fields of a reply to PRE or AUTH, False for no; None for none at all: it could not be found out.

    "OK" is True.
    """
    if data in (FAIL, OK):
        return data == OK
    if data != END and not data.endswith(b"\n" + END):
        return None
    pairs = (line.partition("=") for line in data.decode("utf-8", "replace").split("\n")[:-2])
    return {name: value for name, _, value in pairs}
