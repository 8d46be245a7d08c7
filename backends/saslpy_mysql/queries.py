"""SQL: the presets, one table of any shape, and the rules for a query of the administrator's own.

A ``Layout`` is a SELECT in parts. The presets build theirs from the columns that a database really has, since hardly two
installations have the same: only ``username`` and ``password`` are required. The order of ``fields`` is the order of the
values in a row; their meaning is in ``rows.py``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

FIELDS = (
    "username",
    "password",
    "uid",
    "gid",
    "home",
    "maildir",
    "quota",
    "name",
    "options",
    "aliases",
    "disabled",
    "expired",
    "allow_nets",
)
"""What a query or ``columns`` may name."""

COUNT_MOST = 100_000
"""Users that ``probe`` counts: InnoDB walks an index for it."""

Columns = Mapping[str, Collection[str]]
"""Table to its columns, all in lower case."""


class SchemaMismatch(Exception):
    """The database lacks a table or a column that nothing works without."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A SELECT in parts, with ``%`` doubled: our fields, their SQL, where from, and the column that holds the login."""

    fields: tuple[str, ...]
    expressions: tuple[str, ...]
    source: str
    key: str
    where: str = ""

    def one(self) -> str:
        """The rows of one login: one parameter."""
        return f"{self._select()} WHERE {self.key} = %s{self._and()}"

    def many(self, number: int) -> str:
        """The rows of several logins: as many parameters."""
        return f"{self._select()} WHERE {self.key} IN ({', '.join(['%s'] * number)}){self._and()}"

    def all(self) -> str:
        """The rows of all who have a name. Takes no parameters, but goes through the driver's formatting, too."""
        return f"{self._select()} WHERE {self.key} <> ''{self._and()}"

    def sample(self) -> str:
        """One password. Takes no parameters, but goes through the driver's formatting as the others do."""
        password = self.expressions[self.fields.index("password")]
        return f"SELECT {password} FROM {self.source} WHERE {password} <> ''{self._and()} LIMIT 1"

    def count(self) -> str:
        """The number of users, up to one above ``COUNT_MOST``."""
        where = f" WHERE {self.where}" if self.where else ""
        inner = f"SELECT 1 FROM {self.source}{where} LIMIT {COUNT_MOST + 1}"
        return f"SELECT count(*) FROM ({inner}) AS counted"

    def _select(self) -> str:
        return f"SELECT {', '.join(self.expressions)} FROM {self.source}"

    def _and(self) -> str:
        return f" AND {self.where}" if self.where else ""


# --- the presets


def postfixadmin(columns: Columns) -> Layout:
    """PostfixAdmin: ``mailbox``, and ``domain`` where there is one.

    A mailbox's password_expiry has a date in the past by default: it counts only where the domain asks for expiry.
    """
    own = _required(columns, "mailbox")
    domain = columns.get("domain", ()) if "domain" in own else ()
    joined = "domain" in domain and bool({"active", "password_expiry"} & set(domain))
    picked = _picked(own, ("username", "password", "name", "maildir", "quota", "active"))
    if joined and "active" in domain:
        picked["domain_active"] = "d.active"
    if joined and "password_expiry" in domain and "password_expiry" in own:
        picked["expired"] = "(d.password_expiry > 0 AND YEAR(m.password_expiry) > 0 AND m.password_expiry < NOW())"
    source = "mailbox m LEFT JOIN domain d ON d.domain = m.domain" if joined else "mailbox m"
    return Layout(tuple(picked), tuple(picked.values()), source, "m.username")


def extmail(columns: Columns) -> Layout:
    """ExtMail: ``mailbox``. An account is good up to the end of the day ``expiredate``; the zero date means for ever."""
    own = _required(columns, "mailbox")
    picked = _picked(own, ("username", "password", "name", "maildir", "quota", "active"))
    renamed = {"home": "homedir", "uid": "uidnumber", "gid": "gidnumber"}
    denied = {f"deny_{service}": f"disable{service}" for service in ("smtpd", "imap", "pop3", "webmail")}
    picked |= {field: f"m.{column}" for field, column in (renamed | denied).items() if column in own}
    if "expiredate" in own:
        # YEAR() and not a comparison with '0000-00-00', which MySQL's strict mode refuses as a wrong date
        picked["expired"] = "(YEAR(m.expiredate) > 0 AND m.expiredate < CURRENT_DATE)"
    return Layout(tuple(picked), tuple(picked.values()), "mailbox m", "m.username")


@dataclass(frozen=True, slots=True)
class Preset:
    """The tables that it may read, and how to read them."""

    tables: tuple[str, ...]
    layout: Callable[[Columns], Layout]


PRESETS: Mapping[str, Preset] = {
    "postfixadmin": Preset(("mailbox", "domain"), postfixadmin),
    "extmail": Preset(("mailbox",), extmail),
}


def columns_query(number: int) -> str:
    """The columns that the user may read of so many tables of the current database: a parameter for each."""
    return (
        "SELECT LOWER(table_name), LOWER(column_name) FROM information_schema.columns"
        f" WHERE table_schema = DATABASE() AND table_name IN ({', '.join(['%s'] * number)})"
    )


def _required(columns: Columns, table: str) -> Collection[str]:
    own = columns.get(table)
    if not own:
        raise SchemaMismatch(f"the database has no table {table} that this user may read")
    if missing := [column for column in ("username", "password") if column not in own]:
        raise SchemaMismatch(f"the table {table} has no column {' and no '.join(missing)} that this user may read")
    return own


def _picked(own: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    return {column: f"m.{column}" for column in wanted if column in own}


# --- one table


def table_layout(table: str, columns: Mapping[str, str], where: str) -> Layout:
    """The layout of a table that the configuration describes."""
    # the newline: a comment at the end of the condition must not swallow the bracket
    condition = f"({_doubled(where)}\n)" if where.strip() else ""
    quoted = tuple(quote(name) for name in columns.values())
    return Layout(tuple(columns), quoted, _quoted_table(table), quote(columns["username"]), condition)


def quote(name: str) -> str:
    """A name in backticks, for a statement that the driver formats."""
    return "`" + _doubled(name.replace("`", "``")) + "`"


def check_table(table: str) -> None:
    """Raise ValueError unless it is ``table`` or ``database.table``."""
    parts = table.split(".")
    if len(parts) > 2 or any(not part or part != part.strip() or "\0" in part for part in parts):
        raise ValueError(f'table: expected "table" or "database.table", got {table!r}')


def check_columns(columns: Mapping[str, str]) -> None:
    """Raise ValueError unless the keys are ours and the values can be names of columns."""
    for field in ("username", "password"):
        if field not in columns:
            raise ValueError(f"columns: {field} is missing; say which column holds it")
    for field, column in columns.items():
        if field not in FIELDS:
            raise ValueError(f"columns.{field}: unknown; known are {', '.join(FIELDS)}")
        if not column or "\0" in column or column != column.strip():
            raise ValueError(f"columns.{field}: {column!r} is no name of a column")


def check_where(where: str) -> None:
    """Raise ValueError for a condition that expects parameters: they belong to ``query``."""
    if re.search(r"%\(\w+\)s", where):
        raise ValueError("where: takes no parameters such as %(login)s; use query")


def _quoted_table(table: str) -> str:
    return ".".join(quote(part) for part in table.split("."))


def _doubled(text: str) -> str:
    return text.replace("%", "%%")


# --- a query of one's own

PARAMETERS = ("login", "local", "domain")

_OPAQUE = re.compile(
    r"""'(?:[^'\\]|\\.|'')*(?:'|\Z)|"(?:[^"\\]|\\.|"")*(?:"|\Z)|`[^`]*(?:`|\Z)"""
    r"""|--(?=\s|\Z)[^\n]*|\#[^\n]*|/\*.*?(?:\*/|\Z)""",
    re.DOTALL,
)
"""What a server does not look into: strings, quoted names, comments."""

_PATTERN = re.compile(
    r"(?<![\w.])(?:(?:LIKE|REGEXP|RLIKE|AGAINST)(?!\w)|(?P<function>REGEXP_(?:LIKE|INSTR|SUBSTR|REPLACE))\s*\()",
    re.IGNORECASE,
)
"""What takes its right side, or its second argument, for a pattern or for the words of a search."""

_PIECE = re.compile(r"%\(\w+\)s|\w+|&&|\S")

_ENDS = frozenset(
    (
        *("AND", "OR", "XOR", "&&", ",", "ESCAPE", "THEN", "ELSE", "END", "WHEN", "AS", "FROM", "WHERE", "FOR"),
        *("JOIN", "INNER", "CROSS", "NATURAL", "STRAIGHT_JOIN", "ON", "USING"),
        *("ORDER", "GROUP", "HAVING", "LIMIT", "UNION", "EXCEPT", "INTERSECT"),
    )
)
"""What an operand ends at."""

_PERCENT = re.compile(r"%(?:%|\((?P<name>[^)]*)\)(?P<kind>.?)|.?)", re.DOTALL)


def check_query(query: str) -> None:
    """Raise ValueError for a query that would fail at the first login, or let a login change its meaning."""
    if not _parameters("query", query, PARAMETERS):
        raise ValueError("query: uses none of %(login)s, %(local)s, %(domain)s: every login would get the same rows")
    _check_select("query", query)


def check_sender_query(query: str) -> None:
    """Raise ValueError for a query that would fail at the first sender, or say the same for everybody."""
    used = _parameters("sender_query", query, (*PARAMETERS, "address"))
    if "address" not in used:
        raise ValueError("sender_query: %(address)s is missing: the address that somebody wants to send as")
    if used == {"address"}:
        raise ValueError("sender_query: uses none of %(login)s, %(local)s, %(domain)s: who is it that sends?")
    _check_select("sender_query", query)


def check_list_query(query: str) -> None:
    """Raise ValueError for a query that expects a login, or is no SELECT."""
    if re.search(r"%\(\w+\)s", query):
        raise ValueError("list_query: takes no parameters such as %(login)s: it lists everybody")
    _check_select("list_query", query)


def _parameters(key: str, query: str, known: Collection[str]) -> set[str]:
    """The parameters that a query uses. Raises ValueError where one of them would not be one."""
    names = {_parameter(key, match, known) for match in _PERCENT.finditer(query)}
    for opaque in _OPAQUE.finditer(query):
        inside = [match[0] for match in _PERCENT.finditer(opaque[0]) if match["name"]]
        if inside:
            where = "a comment" if opaque[0][0] in "-#/" else "quotes"
            raise ValueError(f"{key}: {inside[0]} stands in {where}; write it bare, the quotes are added")
    return names - {""}


def _check_select(key: str, query: str) -> None:
    """Raise ValueError unless it is one SELECT, with no parameter where a pattern is meant."""
    bare = _OPAQUE.sub(" ", query).lstrip("( \t\r\n")
    if not re.match(r"(?:select|with)\b", bare, re.IGNORECASE):
        raise ValueError(f"{key}: must be a SELECT")
    if ";" in bare.rstrip("; \t\r\n"):
        raise ValueError(f"{key}: must be one statement")
    for word in _PATTERN.finditer(bare):
        if parameter := _parameter_in_pattern(bare, word):
            name = word[0].rstrip("( \t\r\n").upper()
            raise ValueError(f"{key}: {name} takes {parameter} for a pattern: j_e would be joe; compare with =")


def _parameter_in_pattern(query: str, word: re.Match[str]) -> str:
    """The first parameter on the right side of such a word, or in the function's second argument; "" for none."""
    depth, looking = 0, word["function"] is None
    for piece in _PIECE.finditer(query, word.end()):
        text = piece[0].upper()
        if depth == 0 and (text == ")" or (looking and text in _ENDS)):
            break
        looking = looking or (depth == 0 and text == ",")
        depth += (text == "(") - (text == ")")
        if looking and text.startswith("%("):
            return piece[0]
    return ""


def _parameter(key: str, match: re.Match[str], known: Collection[str]) -> str:
    """The name of the parameter, or "" for ``%%``. Raises ValueError."""
    if match[0] == "%%":
        return ""
    name, kind = match["name"], match["kind"]
    if name is None:
        raise ValueError(f"{key}: a bare % ({match[0]!r}); write %% for a per cent sign, %(login)s for the login")
    if kind != "s":
        raise ValueError(f"{key}: {match[0]!r} should be %({name})s")
    if name not in known:
        raise ValueError(f"{key}: unknown parameter %({name})s; known are {', '.join(f'%({p})s' for p in known)}")
    return name
