"""Who exists, and all who do: found without a password, listed in pages, and never half a list."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from saslpy.backend import Finder, Listing
from saslpy.guard import BackendFailed, Guarded
from saslpy.health import Health
from saslpy.model import NEVER_HERE, Account, Login
from saslpy_ldap import Config, messages
from saslpy_ldap.answers import BadEntry
from saslpy_ldap.finding import Elsewhere
from saslpy_ldap.pool import NoAnswer
from tests.real import fakeldap
from tests.real.fakeldap import FakeLdap
from tests.real.slapd import SUFFIX, Slapd

from . import ACCESS, GROUPS, PEOPLE, READER, SERVICE, person, searching, tree
from .conftest import Open

pytestmark = pytest.mark.real

MANY = f"ou=many,{SUFFIX}"
ODD = f"ou=odd,{SUFFIX}"
FAR = f"ou=far,{SUFFIX}"
LIMITS = f"""
limits dn.exact="{SERVICE}" size.soft=50 size.hard=50 size.prtotal=unlimited
limits dn.exact="{READER}" size.soft=20 size.hard=20
"""


@pytest.fixture(scope="module")
def directory() -> Iterator[Slapd]:
    entries = tree(
        person("joe", "s3cret", mail=["joe@example.org", "j.doe@example.org"], carLicense=["smtp:sales@example.org"]),
        person("ann", "ann's", mail="Ann@Example.com", departmentNumber="TRUE"),
        person("tom", "tom's", mail="tom@example.org"),
        (f"cn=mail,{GROUPS}", {"objectClass": "groupOfNames", "cn": "mail", "member": [f"uid=joe,{PEOPLE}"]}),
        (MANY, {"objectClass": "organizationalUnit", "ou": "many"}),
        *(
            (f"uid=user{number},{MANY}", person(f"user{number}", None, mail=f"user{number}@example.org")[1])
            for number in range(130)
        ),
        (ODD, {"objectClass": "organizationalUnit", "ou": "odd"}),
        (f"uid=nomail,{ODD}", person("nomail", None)[1]),
        (f"uid=kim,{ODD}", person("kim", None, mail="kim@example.org", employeeNumber="many")[1]),
        (FAR, {"objectClass": "organizationalUnit", "ou": "far"}),
        (
            f"ou=away,{FAR}",
            {"objectClass": ["referral", "extensibleObject"], "ou": "away", "ref": f"ldap://127.0.0.1:1/ou=away,{FAR}"},
        ),
    )
    with Slapd(entries, database=LIMITS + ACCESS) as server:
        yield server


def by_mail(**changes: Any) -> dict[str, Any]:
    return searching(**{"filter": "(&(objectClass=person)(mail={login}))", **changes})


def find(backend: Any, name: str) -> Any:
    assert isinstance(backend, Finder)
    return backend.find(Login.of(name))


def listed(backend: Any) -> dict[str, Account]:
    assert isinstance(backend, Listing)
    accounts = list(backend.accounts())  # type: ignore[arg-type]
    found = {account.login: account for account in accounts}
    assert len(found) == len(accounts)
    assert not any(account.secrets for account in accounts)
    return found


# --- does somebody exist?


def test_found_by_a_search(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(domains=("example.org", "example.com"), attributes={"name": "cn"}))
    assert find(backend, "j.doe@example.org") == Account("j.doe@example.org", name="joe", aliases=("joe@example.org",))
    assert find(backend, "nobody@example.org") is None
    assert find(backend, "*@example.org") is None
    assert find(backend, "joe@example.net") == NEVER_HERE
    assert find(backend, "ｊoe@example.org") == NEVER_HERE


def test_who_is_in_no_group_exists_and_is_disabled(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(group_filter="(&(cn=mail)(member={dn}))", group_base=GROUPS))
    assert not find(backend, "joe@example.org").disabled
    assert find(backend, "tom@example.org").disabled


def test_a_bind_alone_cannot_tell(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, user_dn=f"uid={{local}},{PEOPLE}", domains=("example.org",))
    assert not isinstance(backend, Finder)
    assert not isinstance(backend, Listing)


def test_an_outage_is_not_nobody(directory: Slapd, opened: Open) -> None:
    backend = opened("ldap://127.0.0.1:1", **by_mail())
    with pytest.raises(NoAnswer):
        find(backend, "joe@example.org")
    with pytest.raises(NoAnswer, match=r"127\.0\.0\.1:1: Connection refused"):
        backend.accounts()


def test_further_addresses(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(attributes={"aliases": "carLicense"}))
    assert set(find(backend, "joe@example.org").aliases) == {"joe@example.org", "sales@example.org"}
    assert find(backend, "tom@example.org").aliases == ()


# --- everybody


def test_all(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(attributes={"disabled": "departmentNumber"}))
    accounts = listed(backend)
    assert set(accounts) == {"j.doe@example.org", "Ann@example.com", "tom@example.org"}
    assert [name for name, account in accounts.items() if account.disabled] == ["Ann@example.com"]
    assert accounts["j.doe@example.org"].aliases == ("joe@example.org",)
    backend = opened(directory.url, **by_mail(domains=("example.org",)))
    assert set(listed(backend)) == {"j.doe@example.org", "tom@example.org"}


def test_all_of_a_store_come_without_secrets(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(bind_dn=READER, password_attribute="userPassword"))
    assert len(listed(backend)) == 3


def test_more_than_a_page(directory: Slapd, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service account's size limit is 50, for searches without pages."""
    monkeypatch.setattr(messages, "PAGE_SIZE", 40)
    backend = opened(directory.url, **by_mail(base=MANY))
    assert set(listed(backend)) == {f"user{number}@example.org" for number in range(130)}


def test_fewer_than_there_are_is_no_list(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(base=MANY, bind_dn=READER))
    with pytest.raises(NoAnswer, match=r"sizeLimitExceeded \(4\); raise the size limit of bind_dn"):
        backend.accounts()


def test_local_parts_are_users_of_each_domain(directory: Slapd, opened: Open) -> None:
    keys = searching(filter="(&(objectClass=person)(uid={local}))", domains=("example.org", "b.example", ""))
    accounts = listed(opened(directory.url, **keys))
    expected = {f"{name}@{domain}" for name in ("joe", "ann", "tom") for domain in ("example.org", "b.example")}
    assert set(accounts) == expected | {"joe", "ann", "tom"}
    keys = searching(filter="(&(uid={local})(|(o={domain})(uid=joe)))", domains=("example.org",))
    assert set(listed(opened(directory.url, **keys))) == {"joe@example.org"}


def test_names_of_another_attribute(directory: Slapd, opened: Open) -> None:
    """Who is found by uid is a user, whatever domain his mail has."""
    keys = searching(filter="(uid={local})", login_attribute="mail", domains=("example.org",))
    assert set(listed(opened(directory.url, **keys))) == {"j.doe@example.org", "Ann@example.com", "tom@example.org"}
    keys = searching(filter="(|(mail={login})(uid={local}))", domains=("example.org",))
    assert "Ann@example.com" in listed(opened(directory.url, **keys))


def test_groups(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(group_filter="(&(cn=mail)(member={dn}))", group_base=GROUPS))
    assert {name for name, account in listed(backend).items() if not account.disabled} == {"j.doe@example.org"}


def test_a_list_filter(directory: Slapd, opened: Open) -> None:
    keys = by_mail(filter="(&(objectClass=person)(mail={login})(!(uid={local})))")
    assert not isinstance(opened(directory.url, **keys), Listing)
    backend = opened(directory.url, **keys, list_filter="(&(objectClass=person)(mail=*)(uid=j*))")
    assert set(listed(backend)) == {"j.doe@example.org"}


def test_one_bad_entry_fails_the_list_and_is_named(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(base=ODD, attributes={"uid": "employeeNumber"}))
    with pytest.raises(BadEntry, match=f"^uid=kim,{ODD}: the value for uid is not a number"):
        backend.accounts()
    backend = opened(directory.url, **by_mail(base=ODD, filter="(|(mail={login})(uid={login}))"))
    with pytest.raises(BadEntry, match=f"^uid=nomail,{ODD}: the entry shows no mail"):
        backend.accounts()


def test_a_part_that_is_elsewhere(directory: Slapd, opened: Open) -> None:
    with pytest.raises(Elsewhere):
        opened(directory.url, **by_mail(base=FAR)).accounts()
    assert listed(opened(directory.url, **by_mail(base=FAR, on_reference="ignore"))) == {}


def test_a_base_that_is_not_there(directory: Slapd, opened: Open) -> None:
    with pytest.raises(NoAnswer, match="noSuchObject"):
        opened(directory.url, **by_mail(base=f"ou=none,{SUFFIX}")).accounts()


def test_the_next_server_is_asked(directory: Slapd, opened: Open) -> None:
    assert len(listed(opened("ldap://127.0.0.1:1", directory.url, **by_mail()))) == 3


def test_a_list_takes_no_connection_of_the_pools(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail(pool_size=1))
    assert backend._directory._searching._slots.acquire(timeout=1)
    assert len(listed(backend)) == 3


async def test_the_guard(directory: Slapd, opened: Open) -> None:
    async with Guarded.around("b", opened(directory.url, **by_mail()), 3.0, Health(None)) as guard:
        assert guard.can_find
        assert guard.can_list
        assert (await guard.find(Login.of("tom@example.org"))) == Account("tom@example.org")
        assert [account.login for account in await guard.accounts()] == [
            "Ann@example.com",
            "j.doe@example.org",
            "tom@example.org",
        ]
    direct = opened(directory.url, user_dn=f"uid={{login}},{PEOPLE}")
    async with Guarded.around("b", direct, 3.0, Health(None)) as guard:
        assert not guard.can_find
        assert not guard.can_list
        with pytest.raises(BackendFailed, match="can only check passwords"):
            await guard.find(Login.of("tom@example.org"))


# --- odd servers


def test_a_server_without_pages(opened: Open) -> None:
    """It sends everything at once, and no control."""

    def answer(request: fakeldap.Request) -> bytes:
        if request.kind == fakeldap.BIND:
            return fakeldap.result(request)
        names = [f"user{number}" for number in range(300)]
        entries = [fakeldap.entry(request, f"uid={name}", uid=name) for name in names]
        return b"".join(entries) + fakeldap.result(request)

    with FakeLdap(answer) as server:
        assert len(listed(opened(server.url, **searching()))) == 300


@pytest.mark.parametrize("control", [b"", b"\x30\x00", b"\x04\x02ab", b"\x30\x05\x02\x01\x00\x02\x00"])
def test_a_control_that_makes_no_sense(opened: Open, control: bytes) -> None:
    def answer(request: fakeldap.Request) -> bytes:
        if request.kind == fakeldap.BIND:
            return fakeldap.result(request)
        value = fakeldap.ber(0x30, fakeldap.ber(0x04, messages.PAGED.encode()), fakeldap.ber(0x04, control))
        done = fakeldap.ber(fakeldap.SEARCH_DONE, fakeldap.ber(0x0A, b"\0"), fakeldap.ber(0x04), fakeldap.ber(0x04))
        return fakeldap.message(request.number, done, fakeldap.ber(0xA0, value))

    with FakeLdap(answer) as server, pytest.raises(NoAnswer, match=r"not LDAP|python-ldap"):
        opened(server.url, **searching()).accounts()


def test_a_server_that_hangs_while_it_lists(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saslpy_ldap.listing.PATIENCE", 0.2)

    def answer(request: fakeldap.Request) -> bytes | None:
        return fakeldap.result(request) if request.kind == fakeldap.BIND else None

    with FakeLdap(answer) as server:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match="no answer in time"):
            opened(server.url, **searching()).accounts()
        assert time.monotonic() - began < 2


# --- rules


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({}, "(&(objectClass=person)(uid=*))"),
        ({"filter": "(|(mail={login})(alias={login}))"}, "(|(mail=*)(alias=*))"),
        ({"filter": "(uid={local})", "domains": ("x",)}, "(uid=*)"),
        ({"filter": "(&(uid={local})(o={domain}))", "domains": ("x",)}, "(&(uid=*)(o={domain}))"),
        ({"filter": "(mail={local}@{domain})", "login_attribute": "mail"}, "(mail=*)"),
        ({"filter": "(mail={local}@{domain})"}, None),
        ({"filter": "(uid={login}x)", "login_attribute": "uid"}, None),
        ({"filter": "(uid>={login})", "login_attribute": "uid"}, None),
        ({"filter": "(&(uid={login})(!(mail={login})))"}, None),
        ({"filter": "(&(uid={login})(o={domain}))"}, None),
        ({"filter": "(&(uid={local})(o={domain}))"}, None),
        ({"filter": "(uid={login}x)", "login_attribute": "uid", "list_filter": "( uid=*x )"}, "(uid=*x)"),
    ],
)
def test_the_filter_for_everybody(keys: dict[str, Any], text: str | None) -> None:
    config = Config(urls=("ldap://127.0.0.1",), **searching(**keys))
    assert (config.list_template and config.list_template.text) == text


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"list_filter": "(uid={login})"}, r"list_filter: unknown placeholder \{login\}"),
        ({"list_filter": "(uid=*"}, "list_filter: unbalanced"),
        ({"list_filter": "(o={domain})"}, r"list_filter: \{domain\} is for names without one"),
        ({"filter": "(uid={login}x)", "list_filter": "(uid=*)"}, "list_filter: .* say login_attribute, or domains"),
    ],
)
def test_list_filters_that_make_no_sense(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        Config(urls=("ldap://127.0.0.1",), **searching(**keys))


def test_no_list_filter_without_a_search() -> None:
    with pytest.raises(ValueError, match=r"^list_filter: goes with filter"):
        Config(urls=("ldap://127.0.0.1",), user_dn=f"uid={{login}},{PEOPLE}", list_filter="(uid=*)")


def test_what_is_sent_and_read() -> None:
    """RFC 2696, 2: SEQUENCE { size INTEGER, cookie OCTET STRING }."""
    assert messages.page_request(b"ab") == b"\x30\x08\x02\x02\x01\xf4\x04\x02ab"
    long = messages.page_request(b"x" * 300)
    assert long[:4] == b"\x30\x82\x01\x34"
    assert messages.page_cookie(long) == b"x" * 300
    assert messages.page_cookie(b"\x30\x05\x02\x01\x00\x04\x00") == b""
