"""The way to the directory: two pools to the same servers, one for our own searches, one for the users' binds."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from . import schema, with_ldap3, with_libldap
from .answers import (
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_OBJECT,
    SIZE_LIMIT_EXCEEDED,
    SUCCESS,
    Change,
    Failed,
    Fault,
    Found,
    Question,
    Result,
    Session,
)
from .dial import MAX_SCHEMA, Wire, dial, tls_context
from .places import Server
from .pool import Limits, NoAnswer, Pool, Servers
from .reasons import refusal_of

if TYPE_CHECKING:
    from . import Config

T = TypeVar("T")

CONNECT_SECONDS = 1.0
"""How long a server may take until there is a connection, so that the next one still has its turn."""

PPOLICY_REFUSES = "must supply correct old password"
"""OpenLDAP's slapo-ppolicy, whoever makes a change: it takes the hash that goes for the old password in the clear."""

LEFT_FOR_CONNECTING = 0.8
"""Seconds above the query timeout that a login may take: the core's own limit is 3 s."""


class Directory:
    """Its servers, asked with the deadlines and the failover of ``pool``."""

    def __init__(self, config: Config) -> None:
        self._config = config
        patience = config.query_timeout
        self.limits = Limits(size=config.pool_size, connect=min(CONNECT_SECONDS, patience), answer=patience)
        self.servers = Servers(config.servers, self.limits)
        self.driver, self._session = self._driver()
        encrypts = any(server.protection != "none" for server in config.servers)
        self._context = tls_context(config.ca_pem) if encrypts else None
        self._searching = Pool(self.servers, self._connect_as_service, self.limits)
        self._binding = Pool(self.servers, self._connect, self.limits)

    def close(self) -> None:
        """Close the connections."""
        self._searching.close()
        self._binding.close()

    def until(self) -> float:
        """The time of ``monotonic`` until which a question that begins now must be answered."""
        return monotonic() + self.limits.answer + LEFT_FOR_CONNECTING

    def search(self, question: Question, until: float) -> Found:
        """Search with the service account. More entries than asked for are an answer, other errors are ``NoAnswer``."""
        return self._searching.run(lambda session, end: _checked(session.search(question, end)), until)

    def search_at(self, server: Server, question: Question, until: float) -> Found:
        """As ``search``, on one server."""
        return self._searching.run_at(server, lambda session, end: _checked(session.search(question, end)), until)

    def modify(self, change: Change, until: float) -> bool:
        """Change something with the service account. False: the old values, or the entry, are not there any more."""
        result = self._searching.run(lambda session, end: _tried(session.modify(change, end)), until)
        return result.code == SUCCESS

    def bind(self, name: str, password: bytes, until: float) -> Result:
        """Bind as a user. The result is a yes or a no; everything else is ``NoAnswer``."""
        return self._binding.run(lambda session, end: _decided(session.bind(name, password, end)), until)

    def bind_at(self, server: Server, name: str, password: bytes, until: float) -> Result:
        """As ``bind``, on one server."""
        return self._binding.run_at(server, lambda session, end: _decided(session.bind(name, password, end)), until)

    def beside(self, server: Server, until: float) -> Session:
        """A connection for searches that is none of the pool's, for what takes long. Raises ``Fault``."""
        return self._connect_as_service(server, until)

    def schema_at(self, server: Server, until: float) -> schema.Schema:
        """The schema of one server, empty where it cannot be had. On a connection of its own, for its size."""
        try:
            wire = dial(server, self._context, until, MAX_SCHEMA)
            with contextlib.closing(self._as_service(with_ldap3.Ldap3Session(wire), until)) as session:
                return schema.read(session, until)
        except Fault:
            return {}

    def each_server(self, tried: Callable[[Server, float], object]) -> str:
        """Try all servers, for ``saslpy check``: what was reached, and how. Raises ``NoAnswer`` when none works."""
        works: list[str] = []
        failures: list[str] = []
        until = self.until()
        for number, server in enumerate(self.servers.all):
            share = (until - monotonic()) / (len(self.servers.all) - number)
            try:
                tried(server, monotonic() + share)
            except NoAnswer as error:
                failures.append(str(error))
            else:
                works.append(f"{server}{' (StartTLS)' if server.protection == 'starttls' else ''}")
        if not works:
            raise NoAnswer("; ".join(failures))
        return f"{', '.join(works)} by {self.driver}" + "".join(f", but not {failure}" for failure in failures)

    def _connect(self, server: Server, until: float) -> Session:
        """A connection, encrypted as it should be, that is bound as nobody yet."""
        return self._session(dial(server, self._context, until))

    def _driver(self) -> tuple[str, Callable[[Wire], Session]]:
        wanted = self._config.driver
        if wanted == "ldap3" or (wanted == "auto" and not with_libldap.available()):
            return with_ldap3.NAME, with_ldap3.Ldap3Session
        if not with_libldap.available():
            raise Fault(f"driver: python-ldap cannot be loaded: {with_libldap.WHY_NOT}")
        return with_libldap.NAME, with_libldap.LibldapSession

    def _connect_as_service(self, server: Server, until: float) -> Session:
        """A connection for searches. Without a service account nothing is sent, which is anonymous too."""
        return self._as_service(self._connect(server, until), until)

    def _as_service(self, session: Session, until: float) -> Session:
        name, password = self._config.bind_dn, self._config.bind_password.encode()
        try:
            result = session.bind(name, password, until) if name else Result(SUCCESS)
            if result.code != SUCCESS or result.policy is not None:
                raise Failed("bind as bind_dn", result)
        except BaseException:
            session.close()
            raise
        return session


def _checked(found: Found) -> Found:
    if found.result.code not in (SUCCESS, SIZE_LIMIT_EXCEEDED):
        raise Failed("search", found.result)
    return found


def _tried(result: Result) -> Result:
    # asked twice where the first answer was lost, the second one says that the old value is gone
    if result.code not in (SUCCESS, NO_SUCH_ATTRIBUTE, NO_SUCH_OBJECT):
        ppolicy = result.message.lower().startswith(PPOLICY_REFUSES)
        hint = "with slapo-ppolicy no hash can be upgraded: leave out upgrade" if ppolicy else ""
        raise Failed("modify", result, hint)
    return result


def _decided(result: Result) -> Result:
    refusal_of(result)
    return result
