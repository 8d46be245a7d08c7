"""What a backend is: the plug-in contract.

A backend answers the smallest question it can. A ``Store`` knows stored secrets and hands them out; a ``Verifier``
can only check a password. Extra abilities are extra methods, found by name. Every method may be ``async def`` or a
plain blocking ``def``: the core runs the blocking ones in threads, one deadline for both.

Raise whatever the driver raises. One guard in the core turns it into "could not find out"; a backend never has to
decide what a failure means. Answer ``None`` (or ``Refusal``) only for what the store has definitely said, or
``NEVER_HERE`` for a login that it need not be asked about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from .model import Account, Login, Refusal

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]

Found: TypeAlias = Account | Refusal | None
"""What a lookup finds: an account; None, no such user; or ``model.NEVER_HERE``, without a look."""

GROUP = "saslpy.backends"
"""The entry point group in which plug-ins, the built-in ones too, are found."""


@runtime_checkable
class Store(Protocol):
    """Knows stored secrets: serves every mechanism."""

    def lookup(self, login: Login, /) -> MaybeAwaitable[Found]:
        """The account of a login, or None when there is definitely no such user."""


@runtime_checkable
class BatchStore(Store, Protocol):
    """A store that answers many lookups in one question; concurrent logins are then coalesced."""

    def lookup_many(self, logins: Sequence[Login], /) -> MaybeAwaitable[Sequence[Found | Exception]]:
        """One answer per login, in the order asked. What is raised is a failure for all of them.

        An exception in the place of an answer is that login's own ("two rows for one name"): the others are not harmed.
        """


@runtime_checkable
class Verifier(Protocol):
    """Can only check a password: PAM, an LDAP bind. Serves PLAIN and LOGIN."""

    def verify(self, login: Login, password: str, /) -> MaybeAwaitable[Account | Refusal]:
        """The account, or a definite no. ``password`` is never empty and holds no NUL.

        Bytes that were not UTF-8 come as surrogates: ``password.encode("utf-8", "surrogateescape")`` gives them back.
        """


@runtime_checkable
class TokenVerifier(Protocol):
    """Can tell whose a bearer token is: OAUTHBEARER (RFC 7628) and XOAUTH2. It may have neither lookup() nor verify()."""

    def verify_token(self, login: Login, token: str, /) -> MaybeAwaitable[Account | Refusal]:
        """The token's user, as ``Account.login``, or a definite no: ``Refusal(Reason.INVALID_TOKEN, "expired")``.

        ``login`` is whom the client wants to be, with an empty name where it does not say. The core compares the two, and
        looks the account up in the stores. ``token`` is as the client sent it: any text, and a secret like a password.
        """


@runtime_checkable
class Sampling(Protocol):
    """A store that can show one stored secret, so that unknown users cost the same time from the first one on."""

    def sample(self) -> MaybeAwaitable[str | None]:
        """Any usual stored secret, or None when there is none."""


@runtime_checkable
class Probe(Protocol):
    """A backend that can tell whether it works, for ``saslpy check``."""

    def probe(self) -> MaybeAwaitable[str]:
        """A line about what was reached ("MariaDB 10.11, 20000 users"); raises when it does not work."""


@runtime_checkable
class Finder(Protocol):
    """A verifier that can tell whether a user exists without a password: mail is delivered to those who do.

    A store needs no ``find``: it is asked by ``lookup``. A backend that cannot tell, or not with its configuration, must
    not have the method; whether its users exist is then "could not find out".
    """

    def find(self, login: Login, /) -> MaybeAwaitable[Found]:
        """The account, its secrets not needed; None when there is definitely no such user."""


@runtime_checkable
class Listing(Protocol):
    """Can enumerate its users: ``saslpy user list``, Courier's ENUMERATE, Dovecot's LIST.

    A backend that cannot, or not with its configuration, must not have the method.
    """

    def accounts(self) -> MaybeAwaitable[Iterable[Account]]:
        """Every account, its secrets not needed, in any order: all of them, or an exception.

        Who is not in the list may lose his mailbox, so an account that cannot be read is a failure and not left out. A
        blocking method's iterable is gone through in the thread that has called it, so it may be a generator that reads as
        it goes. Logins are answered meanwhile: a listing must not use up what they need (connections of a pool).
        """


@runtime_checkable
class Senders(Protocol):
    """Knows addresses that a user may send as, beside those of ``senders.may_send``: his own, his aliases, with +tags."""

    def may_send(self, account: Account, address: str, /) -> MaybeAwaitable[bool]:
        """Whether an account of this backend may also send as an address that is not its own.

        The domain of ``address`` is in A-labels and lower case. Where it has a +tag, it is asked for with the tag and,
        after a no, without it.
        """


@runtime_checkable
class WritableStore(Protocol):
    """Can be changed: ``saslpy user``.

    A name that is not there raises ``NoSuchUser``, one that is there already ``UserExists``.
    """

    def add(self, login: str, secrets: Sequence[str], /) -> MaybeAwaitable[None]:
        """A new user with these stored secrets."""

    def delete(self, login: str, /) -> MaybeAwaitable[None]:
        """The user is gone, and the aliases that pointed to it."""

    def set_secrets(self, login: str, secrets: Sequence[str], /) -> MaybeAwaitable[None]:
        """These stored secrets take the place of all the old ones."""


@runtime_checkable
class Upgrading(Store, Protocol):
    """Can put better secrets in the place of those that a password was just right for: the hash upgrade on login."""

    def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str], /) -> MaybeAwaitable[bool]:
        """Put ``new`` in the place of ``old``, all in one step, if all of ``old`` are still stored; whether that was so.

        ``login`` is one that was looked up, and ``old`` are some of the secrets that its account had, as they were given.
        Others stay. False too when there is no such user any more. What is raised must show none of the secrets.
        """


class BadRecord(Exception):
    """What the store holds of one login makes no sense, though it has answered: two rows, a number that is none.

    A backend raises this, or a class made of it, instead of a plain exception: the login is deferred as after any failure,
    but the store does not count as down.
    """


class NoSuchUser(LookupError):
    """The store has no user of this name."""


class UserExists(ValueError):
    """The store has a user (or an alias) of this name already."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """What an entry point of the group ``saslpy.backends`` names.

    ``config`` is a frozen dataclass: its fields are the keys of ``[backend.NAME]``, its defaults the defaults, and a
    ``ValueError`` from ``__post_init__`` is a fault of that section. A field of type ``pathlib.Path`` is resolved
    against the folder of the configuration file. ``open`` gives the backend as an (async) context manager. Opening
    must not need the server: the daemon starts while a store is down. ``open`` is called in a thread, and a plain context
    manager is entered and left in threads, not always the same: within 10 s and 2 s. Importing the plug-in's module must
    not import the driver; ``open`` does, and ``extra`` names the extra that installs it.

    ``isolated``: the methods block, and may hang or crash: each call is made in a worker process, one at a time there,
    which is killed at the deadline. ``open`` must give a plain context manager then.
    """

    config: type[Any]
    open: Callable[[Any], AbstractAsyncContextManager[Any] | AbstractContextManager[Any]]
    extra: str | None = None
    driver: str | None = None  # the module whose absence means: the extra is not installed
    isolated: bool = False  # blocking methods, run in worker processes
    privileged: bool = False  # and these keep the rights that the daemon was started with (root's)
    upgrades: Literal["", "one", "several"] = ""  # an Upgrading store: how many secrets of one user it may hold
    local: bool = False  # everything it needs is on this machine's disk: `saslpy check --offline` tries it too
