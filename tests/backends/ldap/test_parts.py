"""LDAP without a server: configuration, filters, names, messages, what is remembered."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.config import Reader
from saslpy.model import Login
from saslpy_ldap import Config, ber, filters, open_backend, plugin, with_libldap
from saslpy_ldap.answers import BadEntry, Entry, Question, Result
from saslpy_ldap.entries import Layout, rdn_values
from saslpy_ldap.messages import POLICY, entry_of, references_of, result_of
from saslpy_ldap.places import Server, server_of
from saslpy_ldap.pool import Limits, Servers
from saslpy_ldap.remembered import Remembered
from saslpy_ldap.templates import BindName, Filter, dn_escaped, prepared
from saslpy_ldap.with_ldap3 import _request
from tests.real.fakeldap import ber as written

from . import searching

URL = "ldaps://ldap.example.org"
BASE = "ou=people,dc=example,dc=org"


def config(**changes: Any) -> Config:
    keys = searching() | {"urls": (URL,)} | changes
    return Config(**keys)


def direct(**changes: Any) -> Config:
    return Config(**{"urls": (URL,), "user_dn": f"uid={{local}},{BASE}", "domains": ("example.org",)} | changes)


def test_the_driver_is_imported_by_open_alone() -> None:
    code = "import sys, saslpy_ldap; assert not {'ldap3', 'ldap', 'ssl'} & set(sys.modules), 'imported'"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (plugin.driver, plugin.extra) == ("ldap3", "ldap")


# --- places


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("ldap://127.0.0.1", Server("127.0.0.1", 389)),
        ("ldap://localhost:1389/", Server("localhost", 1389)),
        ("ldap://[::1]:1389", Server("::1", 1389)),
        ("ldap://ldap.example.org", Server("ldap.example.org", 389, protection="starttls")),
        ("LDAPS://Ldap.example.org", Server("ldap.example.org", 636, protection="tls")),
        ("ldaps://[2001:db8::7]:1636", Server("2001:db8::7", 1636, protection="tls")),
        ("ldapi://%2Frun%2Fslapd%2Fldapi", Server(socket="/run/slapd/ldapi")),
    ],
)
def test_urls(text: str, server: Server) -> None:
    assert server_of(text, None) == server
    if server.protection == "none" and server.host:
        assert server_of(text, True).protection == "starttls"
    assert server_of("ldap://ldap.example.org", False).protection == "none"


def test_how_a_server_is_shown() -> None:
    assert str(server_of("ldap://[::1]", None)) == "ldap://[::1]:389"
    assert str(server_of("ldaps://a.example", None)) == "ldaps://a.example:636"
    assert str(server_of("ldapi://%2Fx%2Fs", None)) == "/x/s"
    assert server_of("ldapi://%2Fx%2Fs", None).url == "ldapi://%2Fx%2Fs"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ldap.example.org",
        "http://a",
        "ldap://",
        "ldap:///",
        "ldap://a:x",
        "ldap://a:0",
        "ldap://a:65536",
        "ldap://a/dc=x",
        "ldap://a?uid",
        "ldap://joe:geheim@a",
        "ldap://[::1",
        "ldap://a b",
        "ldapi://",
        "ldapi:///",
        "ldapi://run",
    ],
)
def test_urls_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"^urls\[0\]: ") as fault:
        config(urls=(text,))
    assert "geheim" not in str(fault.value)


# --- rules


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"urls": ()}, "urls: names no server"),
        ({"urls": (URL, URL + ":636")}, r"urls\[1\]: stands there twice"),
        ({"starttls": True}, "starttls: goes with ldap://"),
        ({"urls": ("ldap://localhost",), "ca_file": Path("/nowhere")}, "ca_file: no connection uses TLS"),
        ({"ca_file": Path("/nowhere")}, "ca_file: /nowhere: No such file"),
        ({"filter": ""}, "needs either filter .* or user_dn .*, has neither"),
        ({"user_dn": "{login}"}, "needs either filter .* or user_dn .*, has both"),
        ({"base": ""}, "base: is required with filter"),
        ({"base": "people"}, "base: 'people' is no DN"),
        ({"filter": "(mail={login}"}, r"filter: unbalanced: a \) is missing at the end"),
        ({"filter": "(&(mail={login}))(uid=x)"}, "filter: something stands behind the end"),
        ({"filter": "(mail={login}))"}, "filter: something stands behind"),
        ({"filter": "mail={login}"}, r"filter: unbalanced: a \( is missing before"),
        ({"filter": "(&)"}, r"filter: unbalanced: a \( is missing before"),
        ({"filter": "(!(a={login})(b=c))"}, "filter: ! takes one filter"),
        ({"filter": "(mail)"}, "filter: expected attribute=value"),
        ({"filter": "(=x{login})"}, "filter: expected attribute=value"),
        ({"filter": "({login}=x)"}, "filter: expected attribute=value"),
        ({"filter": "(mail=)"}, "filter: nothing stands behind"),
        ({"filter": "(mail={login}\\x)"}, "filter: a backslash needs"),
        ({"filter": "(" * 50}, "filter: expected"),
        ({"filter": "(&" * 50}, "filter: more brackets"),
        ({"filter": "(mail=joe)"}, r"filter: has no \{login\} or \{local\}"),
        ({"filter": "(o={domain})"}, r"filter: has no \{login\} or \{local\}"),
        (
            {"filter": "(mail={user})"},
            r"filter: unknown placeholder \{user\}; known are \{login\}, \{local\}, \{domain\}",
        ),
        ({"filter": "(mail={login}{)"}, "filter: a brace stands alone"),
        ({"filter": "(mail=%s{LOGIN})"}, "filter: a brace stands alone"),
        ({"filter": "(member={dn})"}, r"filter: unknown placeholder \{dn\}"),
        ({"group_filter": "(member={DN})"}, "group_filter: a brace"),
        ({"group_filter": "(objectClass=group)"}, r"group_filter: has no \{login\} or \{local\} or \{dn\}"),
        ({"group_base": BASE}, "group_base: goes with group_filter"),
        ({"group_filter": "(member={dn})", "group_base": "x"}, "group_base: 'x' is no DN"),
        ({"login_attribute": "m*il"}, r"login_attribute: 'm\*il' is no name"),
        ({"password_attribute": "user Password"}, "password_attribute: "),
        ({"attributes": {"uidd": "x"}}, r"attributes\.uidd: unknown; known are uid, gid"),
        ({"attributes": {"uid": ""}}, r"attributes\.uid: '' is no name"),
        ({"attributes": {"disabled": "2.16.840.1.113730.3.1.2"}}, r"attributes\.disabled: 2\.16\..* is an OID; say"),
        ({"login_attribute": "0.9.2342.19200300.100.1.1"}, r"login_attribute: 0\.9\..* is an OID"),
        ({"password_attribute": "2.5.4.35"}, r"password_attribute: 2\.5\.4\.35 is an OID"),
        ({"filter": "(0.9.2342.19200300.100.1.3={login})"}, r"filter: 0\.9\..* is an OID"),
        ({"filter": "(2.5.4.3;lang-de={login})"}, r"filter: 2\.5\.4\.3 is an OID"),
        (
            {"attributes": {"name": "street", "disabled": "streetAddress"}},
            r"attributes\.disabled: streetAddress is another name of street, which stands there too",
        ),
        ({"attributes": {"name": "userid"}}, r"attributes\.name: userid is another name of uid"),
        ({"filter": "(uid={local})"}, "domains: is required where the filter uses neither {login} nor {domain}: else"),
        ({"filter": "(|(uid={local})(mail={local}))"}, "domains: is required where the filter"),
        ({"bind_password": ""}, "bind_dn: needs bind_password_file"),
        ({"bind_dn": ""}, "bind_dn: is missing"),
        ({"bind_dn": "cn=\n"}, "bind_dn: holds a control character"),
        ({"bind_password_file": Path("/nowhere")}, "bind_password_file: either"),
        ({"bind_password": "", "bind_password_file": Path("/nowhere")}, "bind_password_file: /nowhere: No such file"),
        ({"pool_size": 0}, "pool_size: "),
        ({"query_timeout": 0.0}, "query_timeout: "),
        ({"remember_seconds": -1.0}, "remember_seconds: "),
    ],
)
def test_faults(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        config(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"filter": "(uid={local})", "domains": ("",)},
        {"filter": "(&(uid={local})(associatedDomain={domain}))"},
        {"filter": "(uid={local})", "group_filter": "(&(cn={domain})(member={dn}))"},
        {"filter": "(0.9.2342.19200300.100.1.3={login})", "login_attribute": "mail"},
        {"filter": "(&(2.5.4.3=x)(mail={login}))", "attributes": {"name": "mail"}},
    ],
)
def test_no_faults(changes: dict[str, Any]) -> None:
    config(**changes)


def test_bind_alone_needs_domains_where_it_would_take_any() -> None:
    for user_dn in (f"uid={{local}},{BASE}", "{local}@corp.example.com", "CORP\\{local}"):
        with pytest.raises(ValueError, match=r"^domains: is required where user_dn uses neither .* name the domains"):
            direct(user_dn=user_dn, domains=())
        direct(user_dn=user_dn, domains=("",))
    for user_dn in (f"uid={{login}},{BASE}", "{login}", "{local}@{domain}", f"uid={{local}},dc={{domain}},{BASE}"):
        direct(user_dn=user_dn, domains=())


@pytest.mark.parametrize(
    ("user_dn", "message"),
    [
        (f"uid=joe,{BASE}", r"has neither \{login\} nor \{local\}"),
        ("uid={local},people", "'people' is no attribute=value"),
        ("uid={local},", "'' is no attribute=value"),
        ("{local}=joe,o=x", "expected a DN"),
        ("uid={local},{domain}=x", "'{domain}=x' is no attribute=value"),
        ("uid={local}+", "'' is no attribute=value"),
        ("uid={loc},o=x", r"unknown placeholder \{loc\}"),
        ("joe{local}", "expected a DN"),
        ("{local}", "expected a DN"),
        ("{local}@corp@example", "expected a DN"),
        ("A\\B\\{local}", "expected a DN"),
        ("{local}{", "a brace stands alone"),
    ],
)
def test_names_to_bind_as_that_are_none(user_dn: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^user_dn: {message}"):
        direct(user_dn=user_dn)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("base", BASE),
        ("bind_dn", "cn=x"),
        ("attributes", {"uid": "uidNumber"}),
        ("group_filter", "(member={dn})"),
        ("password_attribute", "userPassword"),
    ],
)
def test_what_goes_with_a_search_alone(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{key}: goes with filter, not with user_dn"):
        direct(**{key: value})


def test_a_driver_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^driver: python-ldap is not installed: pip install"):
        config(driver="python-ldap")


def test_the_driver_that_auto_means(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(with_libldap, "ldap", None)
    with open_backend(config()) as backend:
        assert backend._directory.driver == "ldap3"
    monkeypatch.setattr(with_libldap, "ldap", object())
    with open_backend(config()) as backend:
        assert backend._directory.driver == "python-ldap"
    with open_backend(config(driver="ldap3")) as backend:
        assert backend._directory.driver == "ldap3"


def test_the_loader_reads_it_and_names_the_fields() -> None:
    reader = Reader(Path("/etc/saslpy"))
    table: dict[str, Any] = searching() | {"urls": [URL], "attributes": {"uid": "uidNumber"}}
    read = reader.section(Config, table, "backend.directory")
    assert read is not None
    assert read.servers == (Server("ldap.example.org", 636, protection="tls"),)
    reader.section(Config, table | {"urls": [URL, "x"]}, "backend.directory")
    reader.section(Config, table | {"servers": [URL], "drivr": "x"}, "backend.directory")
    reader.section(Config, table | {"driver": "ldap4"}, "backend.directory")
    reader.section(Config, table | {"bind_password_file": "secret", "bind_password": ""}, "backend.directory")
    reader.section(Config, table | {"attributes": {"uid": 5}}, "backend.directory")
    reader.section(Config, {"filter": "(uid={login})"}, "backend.directory")
    assert reader.faults == [
        'backend.directory.urls[1]: expected "ldaps://host", "ldap://host:port" or "ldapi://%2Fpath", got \'x\'',
        "backend.directory.servers: unknown key; did you mean 'driver'?",
        "backend.directory.drivr: unknown key; did you mean 'driver'?",
        "backend.directory.driver: expected one of auto, ldap3, python-ldap, got 'ldap4'; did you mean 'ldap3'?",
        "backend.directory.bind_password_file: /etc/saslpy/secret: No such file or directory",
        "backend.directory.attributes[...]: expected str, got int",
        "backend.directory.urls: is required",
    ]


@pytest.mark.parametrize("content", [b"", b"\nx", b"geheim\xff"])
def test_password_files_without_one(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"^bind_password_file: ") as fault:
        config(bind_password="", bind_password_file=path)
    assert "geheim" not in str(fault.value)
    path.write_bytes(b"geheim \r\nmore")
    read = config(bind_password="", bind_password_file=path)
    assert read.bind_password == "geheim "
    assert "geheim" not in repr(read)


def test_a_ca_file_must_hold_certificates(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"ca_file: .* no certificate"):
        config(ca_file=path)


# --- filters and names


@pytest.mark.parametrize(
    ("text", "read"),
    [
        (" ( & (objectClass=person)\n ( mail={login} ) ) ", "(&(objectClass=person)(mail={login}))"),
        (
            "(!(|(a={login})(b>=1)(c<=2)(d~=x)(e=*)(f=a*b\\2ac)))",
            "(!(|(a={login})(b>=1)(c<=2)(d~=x)(e=*)(f=a*b\\2ac)))",
        ),
        (
            "(&(memberOf:1.2.840.113556.1.4.1941:=cn=a,dc=b)(cn:dn:=x)(:dn:2.4.6:=y)(2.5.4.3;lang-de={local}))",
            "(&(memberOf:1.2.840.113556.1.4.1941:=cn=a,dc=b)(cn:dn:=x)(:dn:2.4.6:=y)(2.5.4.3;lang-de={local}))",
        ),
    ],
)
def test_good_filters(text: str, read: str) -> None:
    template = Filter.of(text)
    assert template.text == read
    # ldap3 takes it too
    assert _request(Question(BASE, 2, template.of_login(Login.of("joe")), ("1.1",), 2), 1)


def test_a_value_in_a_filter_is_not_looked_at_again() -> None:
    template = Filter.of("(&(a={login})(b={local})(c={domain})(d={dn}))", ("dn",))
    login = Login("{dn}*@(x)", "{dn}*", "(x)")
    assert template.of_login(login, dn="{login}") == (
        "(&(a=\\7bdn\\7d\\2a@\\28x\\29)(b=\\7bdn\\7d\\2a)(c=\\28x\\29)(d=\\7blogin\\7d))"
    )


@given(st.text())
def test_an_escaped_value_is_one_value(value: str) -> None:
    text = filters.escaped(value.encode("utf-8", "replace").decode())
    assert text.isascii()
    if text:
        assert filters.Grammar(f"(a={text})").items == [filters.Item("a", text)]


@given(st.text(min_size=1).filter(lambda value: "\0" not in value and value.isprintable()))
def test_an_escaped_value_comes_back_from_a_dn(value: str) -> None:
    dn = f"cn=x+uid={dn_escaped(value)},ou=people"
    assert rdn_values(dn, "UID") == [value]
    assert BindName.of("uid={local},o=x").of_login(Login(value, value)) == f"uid={dn_escaped(value)},o=x"


def test_values_of_a_name() -> None:
    assert rdn_values("uid=a\\2Cb\\c3\\a9\\\\, ou=x", "uid") == ["a,bé\\"]
    assert rdn_values("cn=x + uid = y ,ou=z", "uid") == ["y"]
    assert rdn_values("cn=x,uid=y", "uid") == []
    assert rdn_values("", "uid") == []


@pytest.mark.parametrize("value", ["joe", "jo e", "José", "O'Neill", "ж", "a@b"])
def test_names_that_are_their_own(value: str) -> None:
    assert prepared(value) == value


@pytest.mark.parametrize("value", ["ｊｏｅ", "jo  e", " joe", "joe ", "ﬁ", "joe\u00a0", "Jose\u0301"])
def test_names_that_a_directory_takes_for_others(value: str) -> None:
    assert prepared(value) != value


# --- entries


def entry(dn: str = "uid=joe,ou=people", **values: list[bytes]) -> Entry:
    return Entry(dn, {name: tuple(found) for name, found in values.items()})


def test_the_name_of_several_is_the_one_in_the_dn() -> None:
    layout = Layout("uid", False, {})
    for values in ([b"abe", b"joe"], [b"joe", b"abe"]):
        account = layout.account(entry(uid=values), Login.of("abe"))
        assert (account.login, account.aliases) == ("joe", ("abe",))
    account = layout.account(entry(dn="cn=x,ou=people", uid=[b"joe", b"abe"]), Login.of("joe"))
    assert (account.login, account.aliases) == ("abe", ("joe",))


def test_the_domain_of_a_local_part() -> None:
    layout = Layout("uid", True, {})
    assert layout.account(entry(uid=[b" Joe "]), Login.of("JOE@example.org")).login == "Joe@example.org"
    assert layout.account(entry(uid=[b"Joe"]), Login.of("JOE")).login == "Joe"


def test_the_name_without_an_attribute_is_the_login() -> None:
    assert Layout("", False, {}).account(entry(), Login.of("joe@example.org")).login == "joe@example.org"
    assert Layout("", False, {}).attributes == ("1.1",)


@pytest.mark.parametrize("values", [[], [b" "], [b"\xff"], [b"jo\0e"]])
def test_entries_that_show_no_name(values: list[bytes]) -> None:
    with pytest.raises(BadEntry):
        Layout("mail", False, {}).account(entry(mail=values), Login.of("joe"))


@pytest.mark.parametrize(
    ("value", "quota"), [(b"0", None), (b"-1", None), (b"5", "5S"), (b"5S,2C", "5S,2C"), (b"", None)]
)
def test_quota(value: bytes, quota: str | None) -> None:
    assert Layout("", False, {"quota": "Quota"}).account(entry(quota=[value]), Login.of("joe")).quota == quota


# --- messages


@given(st.binary(max_size=60))
def test_whatever_comes_in_is_read_or_refused(data: bytes) -> None:
    for read in (ber.size_of, ber.items, ber.number, result_of, entry_of, references_of):
        try:
            read(data)
        except ValueError:
            continue


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=5))
def test_values_come_back(values: list[tuple[int, bytes]]) -> None:
    data = b"".join(written(tag, content) for tag, content in values)
    assert ber.items(data) == values
    if data:
        first = len(written(*values[0]))
        assert [ber.size_of(data[:length]) for length in range(first)].count(first) >= first - 6


ENUMERATED_0, NOTHING = written(0x0A, b"\0"), written(0x04)


def test_a_result_is_read() -> None:
    assert result_of(ENUMERATED_0 + NOTHING + written(0x04, b"words")) == Result(0, "words")
    control = written(0x30, written(0x04, POLICY.encode()), written(0x04, bytes.fromhex("3003810102")))
    assert result_of(ENUMERATED_0 + NOTHING + NOTHING, control) == Result(0, "", 2)


@pytest.mark.parametrize(
    "operation",
    [
        b"",
        ENUMERATED_0 + NOTHING,
        written(0x01, b"\0") + NOTHING + NOTHING,  # FALSE
        written(0x02, b"\0") + NOTHING + NOTHING,
        written(0x0A) + NOTHING + NOTHING,
        written(0x0A, bytes(5)) + NOTHING + NOTHING,
        ENUMERATED_0 + written(0x0A) + NOTHING,
        ENUMERATED_0 + NOTHING + written(0x30),
    ],
)
def test_a_result_of_other_tags_is_none(operation: bytes) -> None:
    with pytest.raises(ValueError, match=r"number|kind|expected|unpack"):
        result_of(operation)


def test_an_entry_of_other_tags_is_none() -> None:
    tags = [0x04, 0x30, 0x30, 0x04, 0x31, 0x04]

    def operation(*tags: int) -> bytes:
        name, attributes, attribute, kind, values, value = tags
        one = written(attribute, written(kind, b"Uid"), written(values, written(value, b"joe")))
        return written(name, b"uid=joe") + written(attributes, one)

    assert entry_of(operation(*tags)) == Entry("uid=joe", {"uid": (b"joe",)})
    for place in range(len(tags)):
        with pytest.raises(ValueError, match="another kind"):
            entry_of(operation(*tags[:place], 0x01, *tags[place + 1 :]))


def test_many_values_are_read_in_a_time_that_grows_with_them() -> None:
    def seconds(count: int) -> float:
        data = b"\x04\x00" * count
        began = time.process_time()
        assert len(ber.items(data)) == count
        return time.process_time() - began

    # 40 times as many; with a copy of the rest for each, it would be some thousand times as long
    assert seconds(200_000) < 200 * max(0.001, min(seconds(5_000) for _ in range(5)))


def test_a_result_in_words() -> None:
    assert str(Result(51, "later\0")) == "busy (51): later"
    assert str(Result(0, "", 2)) == "success (0), password policy: the password must be changed first"
    assert str(Result(49, "no", 99)) == "invalidCredentials (49), password policy: error 99: no"


# --- what is remembered, and who is down


def test_memory_has_bounds() -> None:
    now = 0.0
    memory: Remembered[int] = Remembered(10.0, 3, lambda: now)
    for number in range(5):
        memory.put(str(number), number, memory.now())
    assert [memory.get(str(number)) for number in range(5)] == [None, None, 2, 3, 4]
    memory.forget("3")
    memory.forget("3")
    now = 9.9
    memory.put("2", 22, memory.now())
    assert [memory.get(str(number)) for number in (2, 3, 4)] == [22, None, 4]
    now = 10.0
    assert [memory.get(str(number)) for number in (2, 4)] == [22, None]
    nothing: Remembered[int] = Remembered(0.0)
    nothing.put("1", 1, 0.0)
    assert nothing.get("1") is None


def test_servers_that_are_down_come_last_and_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("saslpy_ldap.pool.monotonic", lambda: now)
    a, b = Server("a"), Server("b")
    servers = Servers((a, b), Limits(rest=2.0, most_rest=4.0))
    assert servers.in_turn() == [a, b]
    servers.failed(a)
    assert servers.in_turn() == [b, a]
    now = 2.0
    assert servers.in_turn() == [a, b]  # this one finds out
    assert servers.in_turn() == [b, a]  # the others need not wait
    servers.failed(a)
    servers.failed(a)
    now = 5.9
    assert servers.in_turn() == [b, a]
    now = 6.0
    assert servers.in_turn() == [a, b]
    servers.works(a)
    assert servers.in_turn() == [a, b] == servers.in_turn()
    servers.failed(a)
    servers.failed(b)
    assert servers.in_turn() == [a, b]
