"""Users in MySQL or MariaDB: the tables of PostfixAdmin or ExtMail, one table of any shape, or a query of your own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from saslpy.backend import Plugin
from saslpy.config import check_number
from saslpy.files import certificates, first_line

from .queries import check_columns, check_list_query, check_query, check_sender_query, check_table, check_where
from .servers import Server, server_of
from .updates import check_update, update_of

if TYPE_CHECKING:
    from saslpy.settings import BackendOptions

    from .rewriting import RewritingStore

DEFAULT_SOCKET = Path("/run/mysqld/mysqld.sock")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """``[backend.NAME]`` with ``type = "mysql"``.

    Where: ``hosts`` ("db1.example.org:3306", "192.0.2.7", "[2001:db8::7]:3306") are tried in order, a failed one is left
    alone for some seconds; or ``socket``, a path, by default Debian's. Who: ``user``, with ``password`` or the first line
    of ``password_file``, and ``database``.

    What, exactly one of: ``schema = "postfixadmin"`` or ``"extmail"``; ``table`` with ``columns`` (our names to the
    table's: at least ``username`` and ``password``; further ``uid``, ``gid``, ``home``, ``maildir``, ``quota``, ``name``,
    ``options``, ``disabled``, ``expired``, ``allow_nets``) and perhaps ``where``, a condition in SQL; or ``query``, a
    SELECT that names its columns so, with ``%(login)s``, ``%(local)s`` or ``%(domain)s`` where the login belongs and
    ``%%`` for a per cent sign. ``mail_base`` is the folder that relative directories are in: /var/vmail for the presets,
    and for others none, so that a relative maildir is in the user's home.

    A row of a table is the login's when their names differ by the case of ASCII letters at most, whatever else its
    collation takes for equal. A query decides that itself (it may look up aliases): it should select ``username``, since
    without it the account has whatever name was typed; and no parameter may be a pattern (LIKE, REGEXP), or ``j_e`` would
    be ``joe``.

    ``list_query``, beside ``query``, is the SELECT without parameters that lists all users, with the same columns; the
    password may be missing. ``sender_query`` says whether a user may send as an address that is not his own: a SELECT with
    ``%(address)s`` and the account's ``%(login)s``, ``%(local)s`` or ``%(domain)s``; a row whose first value is neither 0
    nor empty is a yes. ``aliases``, with ``schema = "postfixadmin"``, asks its table of aliases for that.

    With ``upgrade``, the user of the database must be allowed to UPDATE the password. ``update`` is the statement, needed
    with ``query`` alone: with ``%(password)s``, the new stored password, ``%(old)s``, which it must compare with what is
    stored, and the parameters of ``query``, made of the account's own name.

    ``tls``: true checks the server's certificate and name (against ``ca_file``, or the system's authorities); unset means
    yes for every host but loopback. ``pool_size`` connections at most; ``query_timeout`` is how long to wait for an
    answer, in seconds.
    """

    hosts: tuple[str, ...] = ()
    socket: Path | None = None
    user: str
    password: str = field(default="", repr=False)
    password_file: Path | None = None
    database: str
    schema: Literal["postfixadmin", "extmail", ""] = ""
    table: str = ""
    columns: dict[str, str] = field(default_factory=dict)
    where: str = ""
    query: str = ""
    list_query: str = ""
    sender_query: str = ""
    aliases: bool = False
    update: str = ""
    mail_base: str = ""
    tls: bool | None = None
    ca_file: Path | None = None
    pool_size: int = 4
    query_timeout: float = 2.0
    ca_pem: str = field(default="", init=False, repr=False)

    def __post_init__(self) -> None:
        self._check_place()
        self._check_question()
        self._check_numbers()
        # read now: later, the daemon has given up the rights to read them
        if self.password_file is not None:
            object.__setattr__(self, "password", first_line(self.password_file, "password_file"))
        if self.ca_file is not None:
            object.__setattr__(self, "ca_pem", certificates(self.ca_file))

    def servers(self) -> tuple[Server, ...]:
        """Where to connect, in order. Raises ValueError."""
        if not self.hosts:
            return (Server(socket=str(self.socket or DEFAULT_SOCKET)),)
        return tuple(server_of(host, self.tls) for host in self.hosts)

    def faults(self, options: BackendOptions) -> Iterator[tuple[str, str]]:
        """An upgrade that nobody knows how to write, or a statement that nobody runs."""
        if options.upgrades and not update_of(self):
            yield "upgrade", "needs update: the statement that stores the new password"
        if self.update and not options.upgrades:
            yield "update", "is never run without upgrade"

    def _check_place(self) -> None:
        if self.hosts and self.socket is not None:
            raise ValueError("socket: either hosts or a socket, not both")
        if len(set(self.hosts)) < len(self.hosts):
            raise ValueError("hosts: one of them stands there twice")
        if self.tls and not self.hosts:
            raise ValueError("tls: a unix socket has none; name hosts, or leave tls out")
        secure = any(server.tls for server in self.servers())
        if self.ca_file is not None and not secure:
            raise ValueError("ca_file: no connection uses TLS; say tls = true, or leave it out")
        if self.password and self.password_file is not None:
            raise ValueError("password_file: either a password or a file with it, not both")
        for key in ("user", "database"):
            if not getattr(self, key):
                raise ValueError(f"{key}: is empty")

    def _check_question(self) -> None:
        given = [key for key in ("schema", "table", "query") if getattr(self, key)]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of schema, table and query, has {' and '.join(given) or 'none'}")
        if not self.table:
            for key in ("columns", "where"):
                if getattr(self, key):
                    raise ValueError(f"{key}: goes with table, not with {given[0]}")
        if self.table:
            check_table(self.table)
            check_columns(self.columns)
            check_where(self.where)
        if self.query:
            check_query(self.query)
        if self.update:
            check_update(self.update)
        if self.mail_base and not self.mail_base.startswith("/"):
            raise ValueError("mail_base: must be an absolute path")
        self._check_more_questions(given[0])

    def _check_more_questions(self, given: str) -> None:
        if self.list_query and not self.query:
            raise ValueError(f"list_query: goes with query; of {given} all rows are listed")
        if self.aliases and self.schema != "postfixadmin":
            raise ValueError('aliases: goes with schema = "postfixadmin"; elsewhere, sender_query says who may send')
        if self.aliases and self.sender_query:
            raise ValueError("sender_query: either this or aliases, not both")
        if self.list_query:
            check_list_query(self.list_query)
        if self.sender_query:
            check_sender_query(self.sender_query)

    def _check_numbers(self) -> None:
        check_number("pool_size", self.pool_size, 1, 64)
        check_number("query_timeout", self.query_timeout, 0.1, 60)


@contextmanager
def open_store(config: Config) -> Iterator[RewritingStore]:
    """The store. Nothing is connected before the first question, so a database that is down is no failing start."""
    from .rewriting import RewritingStore

    store = RewritingStore(config)
    try:
        yield store
    finally:
        store.close()


plugin = Plugin(Config, open_store, extra="mysql", driver="pymysql", upgrades="one")
