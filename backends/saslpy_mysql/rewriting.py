"""The store with the one thing that it writes: a better secret in the place of the one that was checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pymysql import err

from saslpy.model import Login

from .connect import Connection, ask
from .store import MysqlStore
from .updates import update_of

if TYPE_CHECKING:
    from . import Config

_TELLING = frozenset({1044, 1054, 1142, 1143, 1146, 1205, 1213, 1227, 1290, 1406, 1792, 1836})
"""Refusals whose words name tables, columns and users, and no value. Others may show the statement, and so a secret."""

_CLIENT = range(2000, 3000)
"""Numbers of the driver's own errors."""


class Refused(Exception):
    """The database did not do the update."""


class RewritingStore(MysqlStore):
    """The users of one database, whose stored passwords may be replaced."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self._update = update_of(config)

    def replace_secrets(self, login: Login, old: Sequence[str], new: Sequence[str]) -> bool:
        """A better secret in the place of this one, if that is still what is stored.

        Raises ``Refused``, and what a lookup raises.
        """
        if not self._update or len(old) != 1 or len(new) != 1:
            return False
        try:
            return self._pool.run(
                # asked twice where the first answer was lost, it finds that the old secret is gone
                lambda connection, prepared: self._replace(connection, prepared, login, old[0], new[0])
            )
        except err.Error as error:
            raise Refused(_told(error)) from None

    def _replace(self, connection: Connection, prepared: Any, login: Login, old: str, new: str) -> bool:
        account = self._source.one(connection, prepared, login)
        if account is None or account.secrets != (old,):
            return False
        row = Login.of(account.login)
        values = {"login": row.name, "local": row.local, "domain": row.domain, "password": new, "old": old}
        # in a lax mode, a column that is too short would hold half a secret, with which nobody can log in
        ask(connection, "SET @saslpy_mode = @@SESSION.sql_mode")
        ask(connection, "SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',STRICT_ALL_TABLES')")
        changed = connection.cursor().execute(self._update, values)
        ask(connection, "SET SESSION sql_mode = @saslpy_mode")
        return changed > 0


def _told(error: err.Error) -> str:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if number in _TELLING or number in _CLIENT:
        return f"the update fails: {error.args[-1]} ({number})"
    return f"the update fails: {type(error).__name__} {number}"
