"""Who is found, under which name, with what; and who is not."""

from __future__ import annotations

import socket
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest

from saslpy.backend import BadRecord
from saslpy.model import NEVER_HERE, Account, Login, Reason, Refusal
from saslpy_ldap.answers import BadEntry, Fault
from saslpy_ldap.finding import Ambiguous, Elsewhere
from saslpy_ldap.pool import NoAnswer
from tests.real import fakeldap
from tests.real.fakeldap import FakeLdap
from tests.real.slapd import SUFFIX, Slapd

from . import ACCESS, GROUPS, PEOPLE, READER, person, searching, tree
from .conftest import Open

pytestmark = pytest.mark.real

UNKNOWN = Refusal(Reason.UNKNOWN_USER)
WRONG = Refusal(Reason.WRONG_PASSWORD)
LONG = "ж" * 2000

EVERYTHING: dict[str, Any] = {
    "objectClass": ["inetOrgPerson", "posixAccount"],
    "uidNumber": "1000",
    "gidNumber": "8",
    "homeDirectory": "/home/joe",
    "displayName": "Jöe",
    "description": ["a=1", "b=2,c=3"],
    "carLicense": ["192.0.2.0/24", "::1/128"],
    "employeeNumber": "10000000",
    "departmentNumber": "FALSE",
    "roomNumber": "TRUE",
    "destinationIndicator": "/var/mail/joe",
}
FIELDS = {
    "uid": "uidNumber",
    "gid": "GIDnumber",
    "home": "homeDirectory",
    "maildir": "destinationIndicator",
    "quota": "employeeNumber",
    "name": "displayName",
    "options": "description",
    "disabled": "departmentNumber",
    "expired": "roomNumber",
    "allow_nets": "carLicense",
}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[socket.socket]:
    """Where the referrals of the directory lead: nobody may come there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@pytest.fixture(scope="module")
def directory(elsewhere: socket.socket) -> Iterator[Slapd]:
    nfc = unicodedata.normalize("NFC", "renée")
    away = f"ldap://127.0.0.1:{elsewhere.getsockname()[1]}"
    entries = tree(
        person("joe", "s3cret", mail="Joe@Example.org", **EVERYTHING),
        person("ann", "ann's", mail=["ann@example.org", "a.smith@example.org"]),
        person("twin1", "one", mail="twin@example.org"),
        person("twin2", "two", mail="twin@example.org"),
        person("renee", "rr", mail="renee@example.org", givenName=nfc, initials="  renée  x "),
        person("long", LONG, mail="long@example.org"),
        person("none", None, mail="none@example.org"),
        person("nomail", "nm"),
        person("bad", "bb", mail="bad@example.org", departmentNumber="perhaps", employeeNumber="many"),
        person("a,ou=admins", "comma", mail="comma@example.org"),
        (f"ou=elsewhere,{SUFFIX}", {"objectClass": "organizationalUnit", "ou": "elsewhere"}),
        (
            f"ou=far,ou=elsewhere,{SUFFIX}",
            {
                "objectClass": ["referral", "extensibleObject"],
                "ou": "far",
                "ref": f"{away}/ou=far,ou=elsewhere,{SUFFIX}",
            },
        ),
        (
            f"uid=kim,ou=elsewhere,{SUFFIX}",
            {**person("kim", "kk", mail="kim@example.org")[1]},
        ),
        (
            f"cn=mail,{GROUPS}",
            {
                "objectClass": "groupOfNames",
                "cn": "mail",
                "member": [f"uid=joe,{PEOPLE}", f"uid=a\\,ou\\=admins,{PEOPLE}"],
            },
        ),
    )
    with Slapd(entries, database=ACCESS, options="sizelimit size.soft=100 size.hard=100") as server:
        yield server


def by_mail(**changes: Any) -> dict[str, Any]:
    return searching(**{"filter": "(&(objectClass=person)(mail={login}))", **changes})


def verify(backend: Any, login: str, password: str) -> Account | Refusal:
    answer = backend.verify(Login.of(login), password)
    assert isinstance(answer, Account | Refusal)
    return answer


def account(backend: Any, login: str, password: str) -> Account:
    answer = verify(backend, login, password)
    assert isinstance(answer, Account), answer
    return answer


# --- what is found


def test_everything_that_an_entry_says(directory: Slapd, opened: Open) -> None:
    found = account(opened(directory.url, attributes=FIELDS, **by_mail()), "joe@example.org", "s3cret")
    assert found == Account(
        "Joe@example.org",
        uid=1000,
        gid=8,
        home="/home/joe",
        maildir="/var/mail/joe",
        quota="10000000S",
        name="Jöe",
        options={"a": "1", "b": "2", "c": "3"},
        expired=True,
        allow_nets=("192.0.2.0/24", "::1/128"),
    )


def test_values_that_make_no_sense(directory: Slapd, opened: Open) -> None:
    for field, attribute in (("disabled", "departmentNumber"), ("uid", "employeeNumber")):
        backend = opened(directory.url, attributes={field: attribute}, **by_mail())
        with pytest.raises(BadEntry) as fault:
            verify(backend, "bad@example.org", "bb")
        assert "perhaps" not in str(fault.value)
        assert "many" not in str(fault.value)
        assert isinstance(fault.value, BadRecord)


def test_one_user_has_one_name(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail())
    for spelling in ("joe@example.org", "JOE@example.org", "Joe@example.org"):
        assert account(backend, spelling, "s3cret").login == "Joe@example.org"
    for spelling in ("ann@example.org", "A.Smith@example.org"):
        found = account(backend, spelling, "ann's")
        assert (found.login, found.aliases) == ("a.smith@example.org", ("ann@example.org",))
    both = opened(directory.url, **by_mail(filter="(|(mail={login})(uid={login}))"))
    assert account(both, "joe", "s3cret").login == "Joe@example.org"
    with pytest.raises(BadEntry, match="shows no mail"):
        verify(both, "nomail", "nm")
    by_uid = opened(directory.url, **by_mail(login_attribute="uid"))
    assert account(by_uid, "A.Smith@example.org", "ann's").login == "ann"
    local = opened(directory.url, **by_mail(filter="(uid={local})", domains=("Example.ORG", "")))
    assert account(local, "JOE@example.org", "s3cret").login == "joe@example.org"
    assert account(local, "joe", "s3cret").login == "joe"
    assert verify(local, "joe@example.net", "s3cret") == NEVER_HERE


def test_spellings_that_the_directory_alone_takes_for_one(directory: Slapd, opened: Open) -> None:
    by_uid = opened(directory.url, **by_mail(filter="(uid={login})"))
    for spelling in ("ｊｏｅ", "joe ", " joe", "jo\u00ade"):
        # the naming policy refuses some of these before
        answer = verify(by_uid, spelling, "s3cret")
        assert answer in (UNKNOWN, NEVER_HERE) or (isinstance(answer, Account) and answer.login == "joe")
    assert verify(by_uid, "ｊｏｅ", "s3cret") == NEVER_HERE
    by_name = opened(directory.url, **by_mail(filter="(givenName={login})"))
    assert account(by_name, unicodedata.normalize("NFC", "renée"), "rr").login == unicodedata.normalize("NFC", "renée")
    by_initials = opened(directory.url, **by_mail(filter="(initials={login})"))
    assert account(by_initials, "renée x", "rr").login == "renée  x"


def test_several_entries_are_no_answer(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, **by_mail())
    for password in ("one", "two", "three"):
        with pytest.raises(Ambiguous) as fault:
            verify(backend, "twin@example.org", password)
        # one login's trouble: the directory does not count as down for it
        assert isinstance(fault.value, BadRecord)
    with pytest.raises(Ambiguous):
        verify(opened(directory.url, **by_mail(filter="(|(mail={login})(objectClass=person))")), "joe@example.org", "x")


def test_scope_and_base(directory: Slapd, opened: Open) -> None:
    assert verify(opened(directory.url, **by_mail(scope="one", base=SUFFIX)), "joe@example.org", "s3cret") == UNKNOWN
    assert account(opened(directory.url, **by_mail(scope="one")), "joe@example.org", "s3cret")
    only = opened(directory.url, **by_mail(scope="base", base=f"uid=joe,{PEOPLE}"))
    assert account(only, "joe@example.org", "s3cret")
    with pytest.raises(NoAnswer, match=r"noSuchObject \(32\)"):
        verify(opened(directory.url, **by_mail(base=f"ou=nowhere,{SUFFIX}")), "joe@example.org", "s3cret")


def test_anonymous_search(directory: Slapd, opened: Open) -> None:
    keys = by_mail(bind_dn="", bind_password="")
    with pytest.raises(NoAnswer, match="noSuchObject"):
        verify(opened(directory.url, **keys), "joe@example.org", "s3cret")  # by its access rules
    with Slapd(tree(person("joe", "s3cret", mail="joe@example.org"))) as open_to_all:
        assert account(opened(open_to_all.url, **keys), "joe@example.org", "s3cret")
        assert 'BIND dn=""' not in open_to_all.said()


# --- injection


INJECTIONS = (
    "*",
    "*)(uid=*",
    "joe)(|(uid=*",
    "*)(objectClass=*))(&(uid=*",
    "joe\\",
    "\\2a",
    "joe)(&)",
    "(uid=joe)",
    "j*e",
    "a,ou=admins",
    "joe,ou=people",
    f"joe,{PEOPLE}",
    "joe+cn=joe",
    "#04036a6f65",
    "joe;",
    '"joe"',
    "<joe>",
    "joe=",
    "joe\u0000",
    "\ufffd",
    "\udcff",
    "{local}",
    "{domain}",
    "{dn}",
    "x" * 1000,
)


@pytest.mark.parametrize("name", INJECTIONS)
def test_injection(directory: Slapd, opened: Open, name: str) -> None:
    search = opened(directory.url, **searching())
    direct = opened(directory.url, user_dn=f"uid={{login}},{PEOPLE}")
    local = opened(directory.url, user_dn=f"uid={{local}},{SUFFIX}", domains=("",))
    for backend in (search, direct, local):
        for password in ("s3cret", "x"):
            assert isinstance(verify(backend, name, password), Refusal)
    if name == "a,ou=admins":
        assert account(search, name, "comma").login == name
        assert account(direct, name, "comma").login == name


def test_a_group_filter_takes_a_dn_with_odd_characters(directory: Slapd, opened: Open) -> None:
    keys = by_mail(group_filter="(&(objectClass=groupOfNames)(member={dn}))", group_base=GROUPS)
    assert account(opened(directory.url, **keys), "comma@example.org", "comma")


# --- passwords


def test_passwords_of_all_kinds(directory: Slapd, opened: Open) -> None:
    backend = opened(directory.url, remember_seconds=0.0, **by_mail())
    assert account(backend, "long@example.org", LONG)  # 4000 bytes
    for wrong in (LONG[:-1], LONG + "x", "x" * 60_000, "\udcff", "\u00ad", "s\u00ad3cret", " ", "*"):
        assert verify(backend, "long@example.org", wrong) == WRONG
        assert verify(backend, "joe@example.org", wrong) == WRONG
    assert verify(backend, "none@example.org", "x") == WRONG
    for login, password in (("joe@example.org", "s3cret\0"), ("joe@example.org", "\ud800")):
        assert verify(backend, login, password) == Refusal(Reason.MALFORMED, asked=False)
    for login in ("joe@example.org\0", "", "@example.org", "\udcff"):
        assert verify(backend, login, "s3cret") == NEVER_HERE
    assert verify(backend, "joe@example.org", "") == Refusal(Reason.EMPTY_PASSWORD, asked=False)


# --- groups


def test_groups(directory: Slapd, opened: Open) -> None:
    keys = by_mail(group_filter="(&(objectClass=groupOfNames)(member={dn}))", group_base=GROUPS)
    backend = opened(directory.url, **keys)
    assert account(backend, "joe@example.org", "s3cret")
    no_member = verify(backend, "ann@example.org", "ann's")
    assert isinstance(no_member, Refusal)
    assert no_member.reason is Reason.SERVICE_DENIED
    assert verify(backend, "ann@example.org", "ann's") == no_member  # remembered
    assert verify(backend, "ann@example.org", "x") == WRONG
    store = opened(directory.url, password_attribute="userPassword", **keys | {"bind_dn": READER})
    assert store.lookup(Login.of("ann@example.org")).disabled
    assert not store.lookup(Login.of("joe@example.org")).disabled


# --- stored passwords


def test_a_store_has_no_verify_and_others_no_lookup(directory: Slapd, opened: Open) -> None:
    store = opened(directory.url, password_attribute="userPassword", **by_mail(bind_dn=READER))
    assert not hasattr(store, "verify")
    assert not hasattr(opened(directory.url, **by_mail()), "lookup")


def test_stored_passwords(directory: Slapd, opened: Open) -> None:
    store = opened(directory.url, password_attribute="userPassword", **by_mail(bind_dn=READER))
    found = store.lookup(Login.of("JOE@example.org"))
    assert found.login == "Joe@example.org"
    assert found.secrets[0].startswith("{SSHA}")
    assert store.lookup(Login.of("nobody@example.org")) is None
    assert store.lookup(Login.of("")) == NEVER_HERE
    assert store.sample()
    assert "can be read" in store.probe()
    with pytest.raises(BadEntry, match="shows no userPassword"):
        store.lookup(Login.of("none@example.org"))


def test_stored_passwords_that_may_not_be_read_are_no_wrong_password(directory: Slapd, opened: Open) -> None:
    blind = opened(directory.url, password_attribute="userPassword", **by_mail())
    with pytest.raises(BadEntry, match="may not read it"):
        blind.lookup(Login.of("joe@example.org"))
    with pytest.raises(Fault, match="may bind_dn read it"):
        blind.probe()


# --- referrals


def nobody_came(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except BlockingIOError:
        return True
    return False


def test_references_are_not_followed(directory: Slapd, opened: Open, elsewhere: socket.socket) -> None:
    base = f"ou=elsewhere,{SUFFIX}"
    backend = opened(directory.url, **by_mail(base=base))
    assert account(backend, "kim@example.org", "kk")
    with pytest.raises(Elsewhere) as fault:
        verify(backend, "nobody@example.org", "x")
    assert isinstance(fault.value, BadRecord)
    assert (
        verify(opened(directory.url, on_reference="ignore", **by_mail(base=base)), "nobody@example.org", "x") == UNKNOWN
    )
    with pytest.raises(NoAnswer, match=r"referral \(10\)"):
        verify(opened(directory.url, **by_mail(base=f"ou=far,{base}")), "joe@example.org", "s3cret")
    assert nobody_came(elsewhere)


def test_a_referral_is_no_answer_to_a_bind(opened: Open, elsewhere: socket.socket) -> None:
    url = f"ldap://127.0.0.1:{elsewhere.getsockname()[1]}/"
    with FakeLdap(lambda request: fakeldap.result(request, 10, "over there", referral=url)) as server:
        with pytest.raises(NoAnswer, match=r"referral \(10\)"):
            verify(opened(server.url, user_dn=f"uid={{login}},{PEOPLE}"), "joe", "s3cret")
        with pytest.raises(NoAnswer):
            verify(opened(server.url, **by_mail()), "joe@example.org", "s3cret")
    assert nobody_came(elsewhere)


def test_references_to_where_active_directory_has_no_users(opened: Open) -> None:
    def answer(request: fakeldap.Request) -> bytes:
        zones = b"".join(
            fakeldap.reference(request, f"ldap://{name.partition('=')[2]}.example.org/{name},DC=example,DC=org")
            for name in ("DC=ForestDnsZones", "DC=DomainDnsZones", "CN=Configuration")
        )
        return (zones if request.kind == fakeldap.SEARCH else b"") + fakeldap.result(request)

    with FakeLdap(answer) as server:
        assert verify(opened(server.url, **by_mail()), "nobody@example.org", "x") == UNKNOWN


def test_an_entry_without_a_name_is_never_bound_as(opened: Open) -> None:
    def answer(request: fakeldap.Request) -> bytes:
        found = fakeldap.entry(request, "", mail="joe@example.org") if request.kind == fakeldap.SEARCH else b""
        return found + fakeldap.result(request)

    with FakeLdap(answer) as server:
        with pytest.raises(BadEntry, match="empty name"):
            verify(opened(server.url, **by_mail()), "joe@example.org", "s3cret")
        assert server.kinds().count(fakeldap.BIND) == 1  # ours


# --- what is remembered


def searches(server: Slapd) -> int:
    return server.said().count("SRCH base=")


def test_a_remembered_entry_saves_the_search(opened: Open) -> None:
    with Slapd(tree(person("joe", "s3cret", mail="joe@example.org"))) as server:
        backend = opened(server.url, **by_mail())
        for _ in range(5):
            account(backend, "joe@example.org", "s3cret")
        assert searches(server) == 1
        # a no is looked into, and counts as one attempt all the same
        before = server.said().count("BIND dn=")
        assert verify(backend, "joe@example.org", "x") == WRONG
        assert (searches(server), server.said().count("err=49")) == (2, 1)
        assert server.said().count(" BIND dn=") <= before + 2
        account(opened(server.url, remember_seconds=0.0, **by_mail()), "joe@example.org", "s3cret")
        assert searches(server) == 3


def test_a_remembered_entry_that_has_moved_or_gone(opened: Open) -> None:
    joe = f"uid=joe,{PEOPLE}"
    with Slapd(tree(person("joe", "s3cret", mail="joe@example.org"))) as server:
        backend = opened(server.url, **by_mail())
        account(backend, "joe@example.org", "s3cret")
        server.modify(f"dn: {joe}\nchangetype: modrdn\nnewrdn: uid=joseph\ndeleteoldrdn: 1\n")
        account(backend, "joe@example.org", "s3cret")
        server.modify(f"dn: uid=joseph,{PEOPLE}\nchangetype: delete\n")
        assert verify(backend, "joe@example.org", "s3cret") == UNKNOWN


CHANGES = {
    "the group": f"dn: cn=mail,{GROUPS}\nchangetype: modify\ndelete: member\nmember: uid=joe,{PEOPLE}\n",
    "the filter": f"dn: uid=joe,{PEOPLE}\nchangetype: modify\nadd: employeeType\nemployeeType: blocked\n",
    "the flag": f"dn: uid=joe,{PEOPLE}\nchangetype: modify\nreplace: roomNumber\nroomNumber: TRUE\n",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_counts_in_time_under_constant_logins(opened: Open, change: str) -> None:
    members = {"objectClass": "groupOfNames", "cn": "mail", "member": [f"uid=joe,{PEOPLE}", f"uid=ann,{PEOPLE}"]}
    joe = person("joe", "s3cret", mail="joe@example.org", roomNumber="FALSE")
    keys = by_mail(
        filter="(&(mail={login})(!(employeeType=blocked)))",
        group_filter="(member={dn})",
        group_base=GROUPS,
        attributes={"disabled": "roomNumber"},
        remember_seconds=30.0,
    )
    with Slapd(tree(joe, (f"cn=mail,{GROUPS}", members))) as server:
        backend = opened(server.url, **keys)
        for now in range(0, 40, 5):
            backend._remembered._clock = lambda now=now: now
            answer = verify(backend, "joe@example.org", "s3cret")
            kept_out = isinstance(answer, Refusal) or answer.disabled
            assert kept_out == (now >= 30)
            if now == 0:
                server.modify(CHANGES[change])


def test_what_is_remembered_is_as_old_as_its_search(opened: Open) -> None:
    times = iter((100.0, 105.0))
    now = next(times)

    def answer(request: fakeldap.Request) -> bytes:
        nonlocal now
        if request.kind != fakeldap.SEARCH:
            return fakeldap.result(request)
        now = next(times, now)
        return fakeldap.entry(request, f"uid=joe,{PEOPLE}", mail="joe@example.org") + fakeldap.result(request)

    with FakeLdap(answer) as server:
        backend = opened(server.url, remember_seconds=30.0, **by_mail())
        backend._remembered._clock = lambda: now
        for now_and_then, count in ((None, 1), (129.0, 1), (130.0, 2)):
            now = now_and_then or now
            account(backend, "joe@example.org", "s3cret")
            assert server.kinds().count(fakeldap.SEARCH) == count
