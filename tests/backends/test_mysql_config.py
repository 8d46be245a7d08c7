"""MySQL without a server: configuration, SQL, rows, the pool's rules."""

from __future__ import annotations

import datetime
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from saslpy.config import Reader
from saslpy_mysql import Config, plugin
from saslpy_mysql.queries import FIELDS, SchemaMismatch, extmail, postfixadmin, table_layout
from saslpy_mysql.rows import BadRow, account_of, same_as
from saslpy_mysql.servers import Server, server_of

QUERY = "SELECT password FROM users WHERE username = %(login)s"
SENDER_QUERY = "SELECT 1 FROM aliases WHERE address = %(address)s AND username = %(login)s"


def config(**changes: Any) -> Config:
    return Config(**{"user": "mail", "database": "mail", "schema": "postfixadmin"} | changes)


def own(query: str) -> Config:
    return config(schema="", query=query)


def test_the_driver_is_imported_by_open_alone() -> None:
    code = "import sys, saslpy_mysql; assert 'pymysql' not in sys.modules, 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (plugin.driver, plugin.extra) == ("pymysql", "mysql")


# --- places


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("127.0.0.1:3307", Server("127.0.0.1", 3307)),
        ("localhost", Server("localhost", 3306)),
        ("[::1]:3307", Server("::1", 3307)),
        ("db.example.org", Server("db.example.org", 3306, tls=True)),
        ("[2001:db8::7]", Server("2001:db8::7", 3306, tls=True)),
    ],
)
def test_hosts(text: str, server: Server) -> None:
    assert server_of(text, None) == server
    assert server_of(text, True).tls
    assert not server_of(text, False).tls


@pytest.mark.parametrize(
    "text", ["mail:hunter2@db:3306", "hunter2@db", "mail:hunt@er2@db", "mysql://mail:hunter2@db/mail"]
)
def test_what_precedes_an_at_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"^hosts: 'db.*' follows an @: user and password have keys") as fault:
        config(hosts=(text,))
    assert "hunt" not in str(fault.value)
    assert "er2" not in str(fault.value)


@pytest.mark.parametrize("text", ["", "db:", "db:x", "db:0", "db:65536", "::1", "user@db", "a b", "[db]:1", "db:1:2"])
def test_hosts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^hosts: "):
        config(hosts=(text,))


def test_ipv6_without_brackets_gets_a_hint() -> None:
    with pytest.raises(ValueError, match="brackets"):
        config(hosts=("2001:db8::7",))


def test_how_a_server_is_shown() -> None:
    assert str(server_of("[::1]:3307", None)) == "[::1]:3307"
    assert str(config().servers()[0]) == "/run/mysqld/mysqld.sock"
    assert str(config(socket=Path("/x/s")).servers()[0]) == "/x/s"


# --- rules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": ""}, "exactly one of schema, table and query, has none"),
        ({"query": QUERY}, "exactly one of schema, table and query, has schema and query"),
        ({"hosts": ("a",), "socket": Path("/s")}, "socket: either"),
        ({"hosts": ("a", "a")}, "hosts: .* twice"),
        ({"tls": True}, "tls: a unix socket"),
        ({"hosts": ("localhost",), "ca_file": Path("/nowhere")}, "ca_file: no connection uses TLS"),
        ({"hosts": ("db",), "ca_file": Path("/nowhere")}, "ca_file: /nowhere: No such file"),
        ({"password": "a", "password_file": Path("/nowhere")}, "password_file: either"),
        ({"password_file": Path("/nowhere")}, "password_file: /nowhere: No such file"),
        ({"user": ""}, "user: is empty"),
        ({"database": ""}, "database: is empty"),
        ({"pool_size": 0}, "pool_size: "),
        ({"pool_size": 65}, "pool_size: must be from 1 to 64"),
        ({"query_timeout": 0.0}, "query_timeout: must be from 0.1 to 60"),
        ({"query_timeout": float("nan")}, "query_timeout: "),
        ({"query_timeout": float("inf")}, "query_timeout: "),
        ({"mail_base": "mail"}, "mail_base: must be an absolute path"),
        ({"where": "a = 1"}, "where: goes with table, not with schema"),
        ({"columns": {"username": "u"}}, "columns: goes with table"),
        ({"schema": "", "table": "a.b.c"}, "table: expected"),
        ({"schema": "", "table": "t"}, "columns: username is missing"),
        ({"schema": "", "table": "t", "columns": {"username": "u"}}, "columns: password is missing"),
        ({"schema": "", "table": "t", "columns": {"username": "u", "password": ""}}, "columns.password: '' is no name"),
        (
            {"schema": "", "table": "t", "columns": {"username": "u", "password": "p", "uidd": "x"}},
            "columns.uidd: unknown; known are username, password, uid",
        ),
        (
            {"schema": "", "table": "t", "columns": {"username": "u", "password": "p"}, "where": "d = %(domain)s"},
            "where: takes no parameters",
        ),
        ({"list_query": "SELECT username FROM users"}, "list_query: goes with query; of schema all rows are listed"),
        ({"schema": "", "query": QUERY, "list_query": QUERY}, "list_query: takes no parameters"),
        ({"schema": "", "query": QUERY, "list_query": "DELETE FROM users"}, "list_query: must be a SELECT"),
        ({"schema": "", "query": QUERY, "list_query": "SELECT 1; SELECT 2"}, "list_query: must be one statement"),
        ({"schema": "extmail", "aliases": True}, "aliases: goes with schema = .postfixadmin"),
        ({"aliases": True, "sender_query": SENDER_QUERY}, "sender_query: either this or aliases"),
        ({"sender_query": QUERY}, r"sender_query: %\(address\)s is missing"),
        ({"sender_query": "SELECT 1 FROM a WHERE b = %(address)s"}, "sender_query: uses none of"),
        ({"sender_query": SENDER_QUERY.replace("= %", "LIKE %", 1)}, r"sender_query: LIKE takes %\(address\)s"),
        ({"sender_query": SENDER_QUERY.replace("login", "given")}, r"sender_query: unknown parameter %\(given\)s"),
        ({"sender_query": SENDER_QUERY.replace("%(login)s", "'%(login)s'")}, "sender_query: .* stands in quotes"),
        ({"sender_query": f"{SENDER_QUERY}; DROP TABLE a"}, "sender_query: must be one statement"),
    ],
)
def test_faults(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config(**changes)


def test_the_loader_reads_it_and_names_the_fields() -> None:
    reader = Reader(Path("/etc/saslpy"))
    table = {
        "hosts": ["[::1]:3306"],
        "user": "m",
        "database": "d",
        "table": "t",
        "columns": {"username": "u", "password": "p"},
    }
    read = reader.section(Config, table, "backend.virtual")
    assert read is not None
    assert read.hosts == ("[::1]:3306",)
    reader.section(Config, table | {"password_file": "secret", "schem": "x"}, "backend.virtual")
    reader.section(Config, table | {"password_file": "secret"}, "backend.virtual")
    assert reader.faults == [
        "backend.virtual.schem: unknown key; did you mean 'schema'?",
        "backend.virtual.password_file: /etc/saslpy/secret: No such file or directory",
    ]


def test_a_schema_that_there_is_not() -> None:
    reader = Reader(Path("/etc/saslpy"))
    table = {"user": "m", "database": "d", "schema": "extmial"}
    assert reader.section(Config, table, "backend.virtual") is None
    assert reader.faults == [
        "backend.virtual.schema: expected one of postfixadmin, extmail, got 'extmial'; did you mean 'extmail'?"
    ]


@pytest.mark.parametrize(
    ("content", "password"),
    [(b"geheim\n", "geheim"), (b"geheim", "geheim"), (b" gehe\xc3\xaem \r\nmore\n", " geheîm ")],
)
def test_password_file(tmp_path: Path, content: bytes, password: str) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    assert config(password_file=path).password == password


@pytest.mark.parametrize("content", [b"", b"\nx", b"geheim\xff"])
def test_password_files_without_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^password_file: ") as fault:
        config(password_file=path)
    assert "geheim" not in str(fault.value)
    assert "geheim" not in repr(fault.value.__cause__)


def test_a_ca_file_must_hold_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"ca_file: .* no certificate"):
        config(hosts=("db",), ca_file=path)


def test_the_password_is_not_shown() -> None:
    assert "geheim" not in repr(config(password="geheim"))


# --- queries


@pytest.mark.parametrize(
    "query",
    [
        QUERY,
        "select p as password from u where l = %(local)s and d = %(domain)s and n like '100%%'",
        " (SELECT 'it''s \\' %%' AS password, `a%%b` FROM u WHERE l = %(login)s) -- and that's all",
        "WITH q AS (SELECT 1) SELECT password FROM q WHERE x = %(login)s;",
        "# first a comment; with semicolon\nSELECT password FROM q WHERE x = %(login)s",
        # the login is what is compared, not the pattern
        "SELECT password FROM u WHERE %(login)s LIKE pattern AND d = %(domain)s ORDER BY length(pattern) LIMIT 1",
        "SELECT password FROM u WHERE note NOT LIKE '%%old%%' AND l = %(login)s",
        "SELECT password FROM u WHERE (note LIKE 'a' OR note RLIKE concat('b', note)) AND l = %(login)s",
        "SELECT password FROM u JOIN v ON v.a LIKE u.b LEFT JOIN w ON w.l = %(login)s WHERE u.x REGEXP y",
        "SELECT password FROM u WHERE l = REGEXP_REPLACE(%(login)s, '[+].*@', '@')",
        "SELECT password, l LIKE 'x%%' AS name, %(login)s AS username FROM u WHERE l = %(login)s",
        "SELECT password FROM `like` WHERE l = %(login)s AND likes = %(domain)s AND u.like = %(local)s",
    ],
)
def test_good_queries(query: str) -> None:
    assert own(query).query % {"login": "'a'", "local": "'a'", "domain": "'a'"}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT password FROM u", "uses none of"),
        (QUERY + " AND n LIKE 'a%'", "a bare %"),
        (QUERY + " AND n LIKE '%a'", "a bare %"),
        (QUERY + " AND a % 2", "a bare %"),
        (QUERY + " %", "a bare %"),
        ("SELECT password FROM u WHERE l = %s", "a bare %"),
        ("SELECT password FROM u WHERE l = %(login)d", r"should be %\(login\)s"),
        ("SELECT password FROM u WHERE l = %(login)", r"should be %\(login\)s"),
        ("SELECT password FROM u WHERE l = %(user)s", r"unknown parameter %\(user\)s; known are %\(login\)s"),
        ("SELECT password FROM u WHERE l = '%(login)s'", r"%\(login\)s stands in quotes"),
        ("SELECT password FROM u WHERE l = concat('\\'', '%(login)s')", "stands in quotes"),
        ('SELECT password FROM u WHERE l = "x ""%(login)s"', "stands in quotes"),
        ("SELECT password FROM `%(domain)s` WHERE l = %(login)s", r"%\(domain\)s stands in quotes"),
        (QUERY + " /* %(local)s */", r"%\(local\)s stands in a comment"),
        (QUERY + " /* %(local)s", r"%\(local\)s stands in a comment"),
        (QUERY + " -- %(local)s", "stands in a comment"),
        (QUERY + " # %(local)s", "stands in a comment"),
        ("UPDATE u SET n = 1 WHERE l = %(login)s", "must be a SELECT"),
        (QUERY + "; DELETE FROM u", "must be one statement"),
        ("SELECT password FROM u WHERE l LIKE %(login)s", r"LIKE takes %\(login\)s for a pattern: j_e would be joe"),
        ("SELECT password FROM u WHERE l\nlike\n(%(login)s)", "LIKE takes"),
        ("SELECT password FROM u WHERE l NOT LIKE %(login)s", "LIKE takes"),
        ("SELECT password FROM u WHERE l LIKE BINARY %(login)s", "LIKE takes"),
        ("SELECT password FROM u WHERE l SOUNDS LIKE %(login)s", "LIKE takes"),
        ("SELECT password FROM u WHERE l LIKE concat('%%', if(a AND b, %(local)s, 'x'))", r"takes %\(local\)s"),
        ("SELECT password FROM u WHERE l LIKE '%%@' || %(domain)s", r"takes %\(domain\)s"),
        ("SELECT password FROM u WHERE l LIKE left(%(login)s, 3)", "LIKE takes"),
        ("SELECT password FROM u WHERE a LIKE 'b' AND l LIKE/**/%(login)s", "LIKE takes"),
        ("SELECT password FROM u WHERE l REGEXP %(login)s", "REGEXP takes"),
        ("SELECT password FROM u WHERE l RLIKE concat('^', %(login)s, '$')", "RLIKE takes"),
        ("SELECT password FROM u WHERE regexp_like (lower(l, 'x'), %(login)s)", "REGEXP_LIKE takes"),
        ("SELECT password FROM u WHERE match (l) against (%(login)s IN BOOLEAN MODE)", "AGAINST takes"),
        ("SELECT password FROM (SELECT * FROM u WHERE l LIKE %(login)s) x WHERE d = %(domain)s", "LIKE takes"),
    ],
)
def test_bad_queries(query: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^query: .*{message}"):
        own(query)


# --- layouts


def test_a_table_is_quoted() -> None:
    layout = table_layout("mail.us`ers", {"username": "lo%gin", "password": "p w"}, "a LIKE 'x%' -- only these")
    assert layout.one() % ("'joe'",) == (
        "SELECT `lo%gin`, `p w` FROM `mail`.`us``ers` WHERE `lo%gin` = 'joe' AND (a LIKE 'x%' -- only these\n)"
    )


@pytest.mark.parametrize("preset", [postfixadmin, extmail])
def test_presets_name_what_is_missing(preset: Callable[[dict[str, set[str]]], Any]) -> None:
    with pytest.raises(SchemaMismatch, match="no table mailbox"):
        preset({})
    with pytest.raises(SchemaMismatch, match="no column username and no password"):
        preset({"mailbox": {"name"}})
    assert preset({"mailbox": {"username", "password"}}).fields == ("username", "password")


# --- rows


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("joe@example.org", "JOE@example.org"),
        ("joe@example.org", "joe@EXAMPLE.org"),
        ("joe@example.org", "joe@example.org "),
        ("joe@bücher.example", "JOE@BÜCHER.example"),  # the policy has the domain in lower case
        ("José@x", "Jose\N{COMBINING ACUTE ACCENT}@x"),  # and the name composed
        ("bare", "BARE"),
        ("k@x", "\N{KELVIN SIGN}@x"),  # which is composed as a K
    ],
)
def test_spellings_of_one_login(one: str, other: str) -> None:
    assert same_as(one) == same_as(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jose@x", "josé@x"),
        ("JOSÉ@x", "josé@x"),
        ("strasse@x", "straße@x"),
        ("joe@x", "ｊoe@x"),
        ("joe@x", " joe@x"),
        ("i@x", "İ@x"),
        ("ÖSI", "ösi"),
        ("joe@", "joe"),
        ("@joe", "joe"),
    ],
)
def test_logins_of_two_people(one: str, other: str) -> None:
    assert same_as(one) != same_as(other)


def test_a_whole_row() -> None:
    row = {
        "username": "Joe@example.org",
        "password": b"{SSHA}x",
        "uid": "1000",
        "gid": Decimal(8),
        "home": "example.org/joe/",
        "maildir": "/srv/joe/",
        "quota": 1000,
        "name": "Joe",
        "options": "a=1, b=2,c",
        "disabled": b"\0",
        "expired": "Y",
        "allow_nets": "192.0.2.0/24, ::1/128",
        "unknown": object(),
    }
    account = account_of(row, "joe@example.org", "/var/vmail")
    assert account.login == "Joe@example.org"
    assert account.secrets == ("{SSHA}x",)
    assert (account.uid, account.gid) == (1000, 8)
    assert (account.home, account.maildir) == ("/var/vmail/example.org/joe", "/srv/joe/")
    assert (account.quota, account.name) == ("1000S", "Joe")
    assert account.options == {"a": "1", "b": "2", "c": ""}
    assert (account.disabled, account.expired) == (False, True)
    assert account.allow_nets == ("192.0.2.0/24", "::1/128")


def test_a_row_of_nulls_is_an_account_that_nobody_can_use() -> None:
    account = account_of(dict.fromkeys(FIELDS), "joe")
    assert account == account_of({}, "joe")
    assert (account.login, account.secrets, account.uid, account.disabled) == ("joe", (), None, False)


@pytest.mark.parametrize(
    ("value", "quota"),
    [
        (0, None),
        (-1, None),
        (None, None),
        ("", None),
        ("0S", None),
        (5, "5S"),
        ("5", "5S"),
        ("5S", "5S"),
        ("5S,2C", "5S,2C"),
    ],
)
def test_quota(value: object, quota: str | None) -> None:
    assert account_of({"quota": value}, "joe").quota == quota


@pytest.mark.parametrize("value", [0, "0", "n", "NO", "", None, False, b"\0", Decimal(0), "off"])
def test_no(value: object) -> None:
    assert not account_of({"disabled": value}, "joe").disabled
    assert account_of({"active": value}, "joe").disabled


@pytest.mark.parametrize("value", [1, -1, "1", "y", "Yes", "TRUE", True, b"\1", Decimal(1), "2"])
def test_yes(value: object) -> None:
    assert account_of({"disabled": value}, "joe").disabled
    assert not account_of({"active": value}, "joe").disabled


@pytest.mark.parametrize(
    "row",
    [
        {"disabled": "geheim"},
        {"expired": datetime.date(2000, 1, 1)},
        {"uid": "geheim"},
        {"uid": -1},
        {"password": b"geheim\xff"},
        {"username": 0},
        {"maildir": "../geheim"},
    ],
)
def test_rows_that_make_no_sense(row: dict[str, Any]) -> None:
    with pytest.raises(BadRow) as fault:
        account_of(row, "joe", "/var/vmail")
    assert "geheim" not in str(fault.value)


def test_services_that_are_denied() -> None:
    row = {"deny_smtpd": 1, "deny_imap": "0", "deny_pop3": "1", "deny_webmail": None}
    assert account_of(row, "joe").deny_services == ("smtp", "submission", "pop3")


def test_a_domain_without_a_row_has_no_say() -> None:
    assert not account_of({"active": 1, "domain_active": None}, "joe").disabled
    assert account_of({"active": 1, "domain_active": 0}, "joe").disabled
