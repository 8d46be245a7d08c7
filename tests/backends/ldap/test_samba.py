"""A real domain controller: Samba. It takes ten seconds, so it runs in the longer campaign: ``SASLPY_LONG=1``, as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from saslpy.model import Account, Login, Reason, Refusal
from saslpy_ldap.answers import Fault
from saslpy_ldap.pool import NoAnswer
from tests.real.samba import ADMIN_PASSWORD, BASE, REALM, Samba

from .conftest import Open

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not os.environ.get("SASLPY_LONG"), reason="only in the longer campaign: SASLPY_LONG=1"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a domain controller needs root"),
]

PASSWORD = "Passw0rd.of.joe"
SEARCH = {
    "bind_dn": f"Administrator@{REALM}",
    "bind_password": ADMIN_PASSWORD,
    "base": BASE,
    "filter": "(&(objectClass=user)(sAMAccountName={local})(!(objectClass=computer)))",
    "login_attribute": "mail",
    "domains": ("example.org", "example.net", ""),
}
DOMAINS = ("example.org", "")


@pytest.fixture(scope="module")
def controller() -> Iterator[Samba]:
    with Samba() as samba:
        for name in ("joe", "disabled", "expired", "must", "locked", "josé"):
            samba.tool("user", "create", name, PASSWORD, f"--mail-address={name}@example.org", "--uid-number=1000")
        samba.tool("user", "disable", "disabled")
        samba.tool("user", "setexpiry", "expired", "--days=-1")
        samba.tool("user", "setpassword", "must", f"--newpassword={PASSWORD}2", "--must-change-at-next-login")
        samba.tool("domain", "passwordsettings", "set", "--account-lockout-threshold=3")
        samba.tool("group", "add", "mail users")
        samba.tool("group", "addmembers", "mail users", "joe")
        yield samba


def reason(backend: Any, login: str, password: str = PASSWORD) -> Reason | None:
    answer = backend.verify(Login.of(login), password)
    return answer.reason if isinstance(answer, Refusal) else None


@pytest.mark.parametrize("user_dn", [f"{{local}}@{REALM}", "CORP\\{local}", f"cn={{local}},CN=Users,{BASE}"])
def test_bind_alone(controller: Samba, opened: Open, user_dn: str) -> None:
    backend = opened(controller.url, user_dn=user_dn, domains=DOMAINS)
    assert backend.verify(Login.of("joe@example.org"), PASSWORD) == Account("joe@example.org")
    assert reason(backend, "joe", PASSWORD + "x") is Reason.WRONG_PASSWORD
    assert reason(backend, "joe", "") is Reason.EMPTY_PASSWORD
    assert reason(backend, "nobody") is Reason.WRONG_PASSWORD
    assert reason(backend, "disabled") is Reason.DISABLED
    assert reason(backend, "expired") is Reason.EXPIRED
    assert reason(backend, "must", PASSWORD + "2") is Reason.EXPIRED
    assert reason(backend, "josé") is None
    for odd in ("*", "joe*", "CORP\\joe", f"joe@{REALM}@x", "jo,e", "", "(joe)", "../joe", "ｊｏｅ"):
        assert isinstance(backend.verify(Login.of(odd), PASSWORD), Refusal)
    assert controller.url in backend.probe()


def test_locked(controller: Samba, opened: Open) -> None:
    backend = opened(controller.url, user_dn=f"{{local}}@{REALM}", domains=DOMAINS)
    assert [reason(backend, "locked", "x") for _ in range(5)][-1] is Reason.DISABLED
    assert reason(backend, "locked") is Reason.DISABLED


def test_search_then_bind(controller: Samba, opened: Open) -> None:
    backend = opened(controller.url, attributes={"uid": "uidNumber"}, **SEARCH)
    for spelling in ("joe@example.org", "JOE@example.net", "joe"):
        assert backend.verify(Login.of(spelling), PASSWORD) == Account("joe@example.org", uid=1000)
    # to the directory's matching an accent is nothing, to a person's name it is
    assert backend.verify(Login.of("josé"), PASSWORD) == Account("josé@example.org", uid=1000)
    assert reason(backend, "nobody") is Reason.UNKNOWN_USER  # though it refers to its zones and configuration
    assert reason(backend, "disabled") is Reason.DISABLED
    assert reason(backend, "joe", "x") is Reason.WRONG_PASSWORD
    groups = {"group_filter": "(&(objectClass=group)(cn=mail users)(member={dn}))"}
    grouped = opened(controller.url, **groups, **SEARCH)
    assert reason(grouped, "joe") is None
    assert reason(grouped, "josé") is Reason.SERVICE_DENIED
    nested = SEARCH | {
        "filter": f"(&(sAMAccountName={{local}})(memberOf:1.2.840.113556.1.4.1941:=cn=mail users,cn=Users,{BASE}))"
    }
    assert reason(opened(controller.url, **nested), "joe") is None
    assert reason(opened(controller.url, **nested), "josé") is Reason.UNKNOWN_USER
    assert controller.url in backend.probe()


def test_the_probe_reads_the_schema(controller: Samba, opened: Open) -> None:
    with pytest.raises(Fault, match=r"attributes\.disabled: the directory's schema has no attribute departmentNumbr"):
        opened(controller.url, attributes={"disabled": "departmentNumbr"}, **SEARCH).probe()


def test_tls(controller: Samba, opened: Open) -> None:
    # its certificate is for its own name, which leads nowhere here: it must not be trusted for an address
    for url, starttls in ((controller.url.replace("ldap:", "ldaps:"), None), (controller.url, True)):
        backend = opened(url, starttls=starttls, ca_file=controller.ca, user_dn=f"{{local}}@{REALM}", domains=DOMAINS)
        with pytest.raises(NoAnswer, match="certificate is not trusted"):
            backend.verify(Login.of("joe"), PASSWORD)


def test_all_users(controller: Samba, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages; the referrals to zones of the DNS, which a search of the domain's root brings, are no users."""
    monkeypatch.setattr("saslpy_ldap.messages.PAGE_SIZE", 2)
    backend = opened(controller.url, **SEARCH, list_filter="(&(objectClass=user)(mail=*))")
    expected = {f"{name}@example.org" for name in ("joe", "disabled", "expired", "must", "locked", "josé")}
    assert {account.login for account in backend.accounts()} == expected
    assert backend.find(Login.of("joe")).login == "joe@example.org"
    assert backend.find(Login.of("tom")) is None
    backend = opened(controller.url, **SEARCH | {"login_attribute": "", "domains": ("example.org",)})
    assert "joe@example.org" in {account.login for account in backend.accounts()}
