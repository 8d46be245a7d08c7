"""Attributes that a server answers with under another name than it was asked for, and some that it does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from saslpy.model import Account, Login
from saslpy_ldap.answers import BadEntry, Entry, Fault
from saslpy_ldap.attributes import as_asked, names_of
from saslpy_ldap.entries import Layout
from saslpy_ldap.schema import complaints, names_in
from tests.real import fakeldap
from tests.real.fakeldap import FakeLdap
from tests.real.slapd import SUFFIX, Slapd

from . import PEOPLE, READER, person, searching, tree
from .conftest import Open

CUSTOM = """\
attributetype ( 1.3.6.1.4.1.99999.1 NAME ( 'mailLocked' 'accountLocked' ) EQUALITY booleanMatch
  SYNTAX 1.3.6.1.4.1.1466.115.121.1.7 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.99999.2 NAME 'mailUser' SUP top AUXILIARY MAY mailLocked )
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    joe = person(
        "joe",
        "s3cret",
        mail="joe@example.org",
        objectClass=["inetOrgPerson", "mailUser"],
        street="TRUE",
        l="192.0.2.0/24",
        mailLocked="TRUE",
    )
    two = person("two", "s3cret", mail="two@example.org", departmentNumber=["FALSE", "TRUE", "no"], roomNumber="0")
    with Slapd(tree(joe, two), options=CUSTOM) as server:
        yield server


def verify(backend: Any, login: str) -> Account:
    answer = backend.verify(Login.of(login), "s3cret")
    assert isinstance(answer, Account), answer
    return answer


def by_mail(**changes: Any) -> dict[str, Any]:
    return searching(**{"filter": "(mail={login})", **changes})


# --- a real directory


@pytest.mark.real
@pytest.mark.parametrize("attribute", ["street", "streetAddress", "STREETADDRESS"])
def test_a_flag_under_another_name(directory: Slapd, opened: Open, attribute: str) -> None:
    for field in ("disabled", "expired"):
        backend = opened(directory.url, **by_mail(attributes={field: attribute}))
        assert getattr(verify(backend, "joe@example.org"), field)


@pytest.mark.real
def test_networks_under_another_name(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(attributes={"allow_nets": "localityName"}))
    assert verify(backend, "joe@example.org").allow_nets == ("192.0.2.0/24",)


@pytest.mark.real
def test_a_name_that_no_standard_has_is_a_bad_entry(directory: Slapd, opened: Open) -> None:
    assert verify(opened(directory.url, **by_mail(attributes={"disabled": "mailLocked"})), "joe@example.org").disabled
    backend = opened(directory.url, **by_mail(attributes={"disabled": "accountLocked"}))
    with pytest.raises(BadEntry, match="asked for accountLocked, the directory sends maillocked"):
        verify(backend, "joe@example.org")
    assert not verify(backend, "two@example.org").disabled


@pytest.mark.real
def test_the_login_under_another_name(directory: Slapd, opened: Open) -> None:
    assert verify(opened(directory.url, **by_mail(filter="(rfc822Mailbox={login})")), "joe@example.org").login
    local = opened(directory.url, **by_mail(filter="(userid={local})", domains=("example.org",)))
    assert verify(local, "JOE@example.org").login == "joe@example.org"
    assert verify(opened(directory.url, **by_mail(login_attribute="userid")), "joe@example.org").login == "joe"


@pytest.mark.real
def test_any_yes_of_several_counts(directory: Slapd, opened: Open) -> None:
    for field in ("disabled", "expired"):
        backend = opened(directory.url, **by_mail(attributes={field: "departmentNumber"}))
        assert getattr(verify(backend, "two@example.org"), field)
    assert not verify(opened(directory.url, **by_mail(attributes={"expired": "roomNumber"})), "two@example.org").expired


@pytest.mark.real
@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            {"attributes": {"disabled": "departmentNumbr"}},
            r"attributes\.disabled: .* has no attribute departmentNumbr$",
        ),
        ({"login_attribute": "userPrincipalName"}, "login_attribute: .* has no attribute userPrincipalName$"),
        ({"filter": "(&(mial=*x)(mail={login}))"}, "filter: .* has no attribute mial$"),
        ({"filter": "(mial={login})"}, "filter: the directory's schema has no attribute mial$"),
        ({"group_filter": "(memberr={dn})"}, "group_filter: .* has no attribute memberr$"),
        ({"filter": "(userid={login})"}, "filter: userid is another name of uid, .*: say uid$"),
        ({"attributes": {"expired": "accountLocked"}}, r"attributes\.expired: accountLocked is .* say mailLocked$"),
        ({"attributes": {"name": "x", "home": "y"}}, "attribute x; .* no attribute y$"),
    ],
)
def test_the_probe_holds_the_names_to_the_schema(
    directory: Slapd, opened: Open, keys: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(Fault, match=f"^{directory.url}: .*{complaint}"):
        opened(directory.url, **by_mail(**keys)).probe()


@pytest.mark.real
def test_names_that_the_schema_has(directory: Slapd, opened: Open) -> None:
    fields = {"disabled": "MAILLOCKED", "home": "homeDirectory", "name": "creatorsName"}
    keys = by_mail(
        attributes=fields,
        filter="(&(objectClass=*)(commonName=*)(2.5.4.4=*)(mail={login}))",
        group_filter="(member={dn})",
    )
    assert directory.url in opened(directory.url, **keys).probe()


@pytest.mark.real
def test_a_schema_that_is_hidden_is_not_complained_about(opened: Open) -> None:
    hidden = 'access to dn.base="" attrs=subschemaSubentry by * none\naccess to dn.base="cn=Subschema" by * none\n'
    with Slapd(tree(person("joe", "s3cret")), options=hidden, database="access to * by * read") as server:
        assert server.url in opened(server.url, **by_mail(attributes={"disabled": "departmentNumbr"})).probe()


@pytest.mark.real
def test_stored_passwords_under_another_name(opened: Open) -> None:
    joe = person("joe", None, mail="joe@example.org", street="{PLAIN}s3cret")
    with Slapd(tree(joe)) as server:
        store = opened(server.url, **by_mail(bind_dn=READER, password_attribute="streetAddress"))
        assert store.lookup(Login.of("joe@example.org")).secrets == ("{PLAIN}s3cret",)
        assert store.sample() == "{PLAIN}s3cret"


# --- without one


def test_a_schema_of_half_a_megabyte_is_read(opened: Open) -> None:
    types = [f"( 1.3.6.1.4.1.99999.{number} NAME 'n{number}' DESC '{'x' * 100}' )" for number in range(4000)]
    types += ["( 0.9.2342.19200300.100.1.3 NAME ( 'mail' 'rfc822Mailbox' ) )", "( x-oid NAME 'objectClass' )"]

    def answer(request: fakeldap.Request) -> bytes:
        found = b""
        if b"subschemaSubentry" in request.data:
            found = fakeldap.entry(request, "", subschemaSubentry="cn=schema")
        elif b"attributeTypes" in request.data:
            found = fakeldap.entry(request, "cn=schema", attributeTypes=types)
        return found + fakeldap.result(request)

    with FakeLdap(answer) as server:
        assert server.url in opened(server.url, **by_mail(attributes={"disabled": "n3999"})).probe()
        with pytest.raises(Fault, match="no attribute n4000"):
            opened(server.url, **by_mail(attributes={"disabled": "n4000"})).probe()


def test_descriptions_of_attributes() -> None:
    schema = names_in(
        [
            "( 2.5.4.9 NAME ( 'street' 'streetAddress' ) DESC 'RFC2256: street' EQUALITY caseIgnoreMatch )",
            "(1.2.840.113556.1.4.149 NAME 'attributeSecurityGUID' SYNTAX '1.3.6' SINGLE-VALUE)",
            "( nsAccountLock-oid NAME 'nsAccountLock' )",
            "( 1.2.3 DESC 'without a name' )",
            "nonsense",
        ]
    )
    assert schema == {
        "street": "street",
        "streetaddress": "street",
        "attributesecurityguid": "attributeSecurityGUID",
        "nsaccountlock": "nsAccountLock",
    }
    assert list(complaints({}, [("login_attribute", "x")], [("filter", "y")])) == []
    assert (
        list(complaints(schema, [("filter", "street;lang-de")], [("filter", "1.2.3"), ("filter", "streetAddress")]))
        == []
    )


def entry(**values: str) -> Entry:
    return Entry(f"uid=joe,{SUFFIX}", {name.replace("_", ";"): (value.encode(),) for name, value in values.items()})


def test_names_of_attributes() -> None:
    assert names_of("UserID") == names_of("uid") == ("uid", "userid")
    assert names_of("mailQuota") == ("mailquota",)


def test_entries_as_they_were_asked_for() -> None:
    assert as_asked(entry(uid="joe", cn="x"), ("userid", "cn")).values["userid"] == (b"joe",)
    # to Active Directory these are two
    both = as_asked(entry(streetaddress="a"), ("street", "streetAddress"))
    assert "street" not in both.values


@pytest.mark.parametrize(
    ("values", "overlooked"),
    [
        ({"mail": "x"}, False),
        ({"mail": "x", "mine": "TRUE"}, False),
        ({"mail": "x", "other": "TRUE"}, True),
        ({"mail_lang-de": "x", "mail": "x"}, False),
        ({"mail": "x", "objectclass": "x"}, False),
        ({"mail": "x", "other": "TRUE", "another": "x"}, False),  # a server that sends all that it has
    ],
)
def test_what_nobody_asked_for_may_be_what_is_missing(values: dict[str, str], overlooked: bool) -> None:
    layout = Layout("mail", False, {"disabled": "mine"})
    if overlooked:
        with pytest.raises(BadEntry, match="asked for mine, the directory sends other"):
            layout.account(entry(**values), Login.of("joe"))
    else:
        assert layout.account(entry(**values), Login.of("joe")).disabled is (values.get("mine") == "TRUE")
    # a missing name is nobody's danger
    assert Layout("mail", False, {"name": "mine"}).account(entry(**values), Login.of("joe"))


def test_the_name_in_the_dn_under_another_name() -> None:
    values = {"uid": (b"abe", b"joe")}
    account = Layout("userid", False, {}).account(Entry(f"uid=joe,{PEOPLE}", values), Login.of("abe"))
    assert (account.login, account.aliases) == ("joe", ("abe",))
