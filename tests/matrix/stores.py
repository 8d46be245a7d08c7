"""The stores of the matrix: real ones, filled with the same users, and how each of them is brought into its states."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from saslpy import passwords
from saslpy_sqlite.store import SqliteStore
from tests.backends.ldap import ACCESS, PEOPLE, READER, SERVICE, SERVICE_PASSWORD, person, tree
from tests.real import need
from tests.real.mariadb import MariaDb
from tests.real.pam import stack, userdb_stack
from tests.real.proxy import Proxy
from tests.real.slapd import Slapd

from .credentials import DOMAIN, User

State: TypeAlias = Literal["up", "slow", "hanging", "down"]

SLOW_SECONDS = 0.8
"""How long a slow store takes for one login. Twice this time is still within the backend's timeout, since logins that come
while two questions are under way are asked together when one of them is answered."""

Enter: TypeAlias = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. ``keys`` are those of its ``[backend.NAME]``.

    ``states`` are those that it can be in, each a context that it is in meanwhile. ``at_once``: rows that are asked at a
    time, so that none has to wait for another: a backend has at most 8 threads or processes, and starts the latter at need.
    """

    keys: str
    states: Mapping[State, Enter] = field(default_factory=dict)
    at_once: int = 100


Opener: TypeAlias = Callable[[Path, Sequence[User]], AbstractContextManager[Store]]


def ssha(user: User) -> str:
    """A stored password that costs nothing to check."""
    return passwords.make("SSHA", user.password)


@contextmanager
def static(_place: Path, users: Sequence[User]) -> Iterator[Store]:
    """Users in the configuration. It has no date of expiry."""
    tables = (
        f"{json.dumps(user.login, ensure_ascii=False)} = "
        f'{{ password = "{ssha(user)}", disabled = {json.dumps(user.disabled)} }}\n'
        for user in users
        if not user.expired
    )
    yield Store('type = "static"\n[backend.it.users]\n' + "".join(tables), {"up": nullcontext})


@contextmanager
def sqlite(place: Path, users: Sequence[User]) -> Iterator[Store]:
    """A file. Slow and hanging: another process has locked it."""
    path = place / "users.db"
    with closing(SqliteStore(path)) as store:
        store.create()
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, user in enumerate(users):
            date = "2020-01-01" if user.expired else None
            row = (number, user.login, user.disabled, date)
            connection.execute("INSERT INTO users (id, login, disabled, expires) VALUES (?, ?, ?, ?)", row)
            connection.execute("INSERT INTO secrets (user, secret) VALUES (?, ?)", (number, ssha(user)))
    yield Store(
        'type = "sqlite"\npath = "users.db"\n',
        {
            "up": nullcontext,
            "slow": partial(_locked, path, SLOW_SECONDS),
            "hanging": partial(_locked, path),
            "down": partial(_moved_away, path),
        },
    )


@contextmanager
def _locked(path: Path, seconds: float | None = None) -> Iterator[None]:
    """Nobody else can read the file, for so many seconds or for as long as the block runs."""
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        timer = threading.Timer(seconds or 60.0, connection.rollback)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


@contextmanager
def mysql(_place: Path, users: Sequence[User]) -> Iterator[Store]:
    """MariaDB with a view over its table. Slow: the view sleeps. Hanging: SIGSTOP. Down: stopped."""
    with MariaDb() as server:
        server.sql(
            "CREATE DATABASE mail; CREATE USER mail@'127.0.0.1' IDENTIFIED BY 'dbpw';"
            "GRANT SELECT ON mail.* TO mail@'127.0.0.1';"
            "CREATE TABLE mail.people (login VARCHAR(255) PRIMARY KEY, pw VARCHAR(255) NOT NULL, off INT, old INT);"
            "CREATE VIEW mail.users AS SELECT * FROM mail.people"
        )
        rows = (f"('{user.login}', '{ssha(user)}', {user.disabled:d}, {user.expired:d})" for user in users)
        server.sql(f"INSERT INTO mail.people VALUES {', '.join(rows)}")
        yield Store(
            f'type = "mysql"\nhosts = ["{server.host}:{server.port}"]\nuser = "mail"\npassword = "dbpw"\n'
            'database = "mail"\ntable = "users"\n'
            'columns = { username = "login", password = "pw", disabled = "off", expired = "old" }\n',
            {
                "up": nullcontext,
                "slow": partial(_sleeping_view, server),
                "hanging": partial(_while, server.pause, server.resume),
                "down": partial(_while, server.stop, server.start),
            },
        )


@contextmanager
def _sleeping_view(server: MariaDb) -> Iterator[None]:
    people = "SELECT people.* FROM mail.people"
    server.sql(f"CREATE OR REPLACE VIEW mail.users AS {people} JOIN (SELECT SLEEP({SLOW_SECONDS})) slept")
    try:
        yield
    finally:
        server.sql(f"CREATE OR REPLACE VIEW mail.users AS {people}")


_LDAP = """\
type = "ldap"
urls = ["ldap://127.0.0.1:{port}"]
driver = "ldap3"
bind_dn = "{bind_dn}"
bind_password = "{bind_password}"
base = "{base}"
filter = "(&(objectClass=person)(uid={{login}}))"
attributes = {{ disabled = "employeeType", expired = "departmentNumber" }}
{more}
"""


@contextmanager
def _ldap(bind_dn: str, more: str, answers: int, _place: Path, users: Sequence[User]) -> Iterator[Store]:
    """OpenLDAP behind a proxy. Slow: the proxy delays each of the answers that a login needs. Hanging: SIGSTOP.

    Down: both are stopped.
    """
    people = (
        person(user.login, user.password, employeeType=_flag(user.disabled), departmentNumber=_flag(user.expired))
        for user in users
    )
    with Slapd(tree(*people), database=ACCESS) as server, Proxy(server.port) as proxy:

        def stop() -> None:
            server.stop()
            proxy.stop()

        def start() -> None:
            server.start()
            proxy.start()

        yield Store(
            _LDAP.format(port=proxy.port, bind_dn=bind_dn, bind_password=SERVICE_PASSWORD, base=PEOPLE, more=more),
            {
                "up": nullcontext,
                "slow": partial(proxy.slow, SLOW_SECONDS / answers),
                "hanging": partial(_while, server.pause, server.resume),
                "down": partial(_while, stop, start),
            },
            at_once=10,
        )


def _flag(value: bool) -> str:
    return str(value).upper()


ldap_bind: Opener = partial(_ldap, SERVICE, "", 3)
"""Search, then bind as the entry; before that our own bind, on a new connection."""

ldap_store: Opener = partial(_ldap, READER, 'password_attribute = "userPassword"', 2)
"""Our own bind, then a search that reads the stored password."""


@contextmanager
def pam(place: Path, users: Sequence[User]) -> Iterator[Store]:
    """pam_userdb. Slow and hanging: a program of pam_exec sleeps. Down: the service file is away."""
    need("db_load", package="db-util")
    folder = place / "pam.d"
    folder.mkdir()
    userdb_stack(folder, {user.login: user.password for user in users})
    (auth, _) = (folder / "smtp").read_text().splitlines()
    (folder / "disabled").write_text("".join(f"{user.login}\n" for user in users if user.disabled))
    denied = [f"account required pam_listfile.so onerr=fail item=user sense=deny file={folder}/disabled"]
    for user in users:
        if user.expired:
            denied.append(f"account [success=ignore default=1] pam_succeed_if.so quiet user = {user.login}")
            denied.append("account required pam_debug.so acct=acct_expired")
    account = [*denied, "account required pam_permit.so"]
    stack(folder, "smtp", auth, *account)

    @contextmanager
    def sleeping(seconds: float, settle: float = 0.0) -> Iterator[None]:
        stack(folder, "smtp", f"auth required pam_exec.so quiet /bin/sleep {seconds}", auth, *account)
        try:
            yield
        finally:
            stack(folder, "smtp", auth, *account)
            time.sleep(settle)

    yield Store(
        f'type = "pam"\nservice = "smtp"\nconfdir = "{folder}"\n',
        {
            "up": nullcontext,
            "slow": partial(sleeping, SLOW_SECONDS),
            "hanging": partial(sleeping, 30),
            "down": partial(_moved_away, folder / "smtp"),
        },
        at_once=7,
    )


@contextmanager
def shadow(place: Path, users: Sequence[User]) -> Iterator[Store]:
    """Files such as /etc/shadow and /etc/passwd. Hanging: a FIFO that nobody writes to. Down: the file is away."""
    lines, people = "", ""
    for uid, user in enumerate(users, 1000):
        word = user.password[:100]  # crypt(3) takes 511 bytes
        stored = "!" * user.disabled + passwords.make("MD5-CRYPT", word).partition("}")[2]
        lines += f"{user.local}:{stored}:19000:0:99999:7::{'18000' if user.expired else ''}:\n"
        people += f"{user.local}:x:{uid}:100::/home/x:/usr/sbin/nologin\n"
    for name, text in (("shadow", lines), ("passwd", people)):
        (place / name).write_text(text)
        os.utime(place / name, (1e9, 1e9))
    yield Store(
        f'type = "shadow"\npath = "shadow"\npasswd = "passwd"\ndomains = ["{DOMAIN}"]\n',
        {
            "up": nullcontext,
            "hanging": partial(_fifo, place / "shadow"),
            "down": partial(_moved_away, place / "shadow"),
        },
        at_once=10,
    )


@contextmanager
def _fifo(path: Path) -> Iterator[None]:
    with _moved_away(path):
        os.mkfifo(path)
        try:
            yield
        finally:
            path.unlink()


@contextmanager
def _moved_away(path: Path) -> Iterator[None]:
    away = path.with_name(f"away.{path.name}")
    path.rename(away)
    try:
        yield
    finally:
        away.rename(path)


@contextmanager
def _while(begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
    begin()
    try:
        yield
    finally:
        end()


STORES: Mapping[str, Opener] = {
    "static": static,
    "sqlite": sqlite,
    "mysql": mysql,
    "ldap bind": ldap_bind,
    "ldap store": ldap_store,
    "pam": pam,
    "shadow": shadow,
}
