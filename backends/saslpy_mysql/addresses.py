"""As which other addresses a user may send: by PostfixAdmin's table of aliases, or by a query of the administrator's.

In PostfixAdmin an alias is a row: its address, and in ``goto`` the addresses that its mail goes to, joined by commas. Who
gets an address's mail may send as it, which is also what Postfix's usual smtpd_sender_login_maps say of these tables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from saslpy.model import Account, Login
from saslpy.senders import same
from saslpy.texts import listed

from .connect import Connection, ask

if TYPE_CHECKING:
    from . import Config

Asker: TypeAlias = Callable[[Connection, Account, str], bool]
"""Whether an account may send as an address, asked on a connection."""


def asker_of(config: Config) -> Asker | None:
    """How a configuration has it asked, None where it does not say."""
    if config.sender_query:
        return _by_query(config.sender_query)
    return _by_aliases if config.aliases else None


def _by_query(query: str) -> Asker:
    def asker(connection: Connection, account: Account, address: str) -> bool:
        login = Login.of(account.login)
        values = {"login": login.name, "local": login.local, "domain": login.domain, "address": address}
        # a count of 0 is a row, too
        return any(row[0] not in (None, "", "0", b"", b"0", 0) for row in ask(connection, query, values)[1])

    return asker


def _by_aliases(connection: Connection, account: Account, address: str) -> bool:
    """Whether the address is an alias of the account's; or its domain's other addresses are, and nobody has this one."""
    catch_all = "@" + address.rpartition("@")[2]
    names = (address, catch_all)
    found = ask(connection, "SELECT address, goto, active = 1 FROM alias WHERE address IN (%s, %s)", names)[1]
    # the collation takes more for equal than is
    rows = [row for row in found if same(row[0], address)]
    if not rows:
        mailboxes = ask(connection, "SELECT username FROM mailbox WHERE username = %s", (address,))[1]
        rows = [] if mailboxes else [row for row in found if same(row[0], catch_all)]
    return any(active and _leads_to(goto, account) for _, goto, active in rows)


def _leads_to(goto: str, account: Account) -> bool:
    return any(same(target, account.login) for target in listed(goto))
