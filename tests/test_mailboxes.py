"""``saslpy check`` tells whose accounts are of no use to Courier's programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from saslpy import Account
from saslpy.accounts import AccountTemplate
from saslpy.chain import Link
from saslpy.guard import Guarded
from saslpy.health import Health
from saslpy.mailboxes import remark

from .fakes import Broken, Users
from .real.saslpy import configured, run

UNSERVED = "cannot be served by Courier's programs; this section may have values for all that lack them"
WHOLE = Account("joe", (), uid=1000, gid=1000, home="/srv/joe")


class Listed(Users):
    async def accounts(self) -> list[Account]:
        return [one for one in self.users.values() if isinstance(one, Account)]


class Unlisted(Broken):
    async def accounts(self) -> list[Account]:
        raise self.make()


@pytest.mark.parametrize(
    ("backend", "template", "told"),
    [
        (Listed({"joe": WHOLE}), {}, ""),
        (Listed({"joe": WHOLE, "ann": Account("ann", uid=5)}), {}, f"1 of 2 users have no gid or home, and {UNSERVED}"),
        (Listed({"ann": Account("ann", uid=5)}), {"gid": 5, "home": "/srv/{local}"}, ""),
        (
            Listed({"a/b": Account("a/b", uid=5)}),
            {"gid": 5, "home": "/srv/{local}"},
            f"1 of 1 users have no home, and {UNSERVED}",
        ),
        (Listed({}), {}, ""),
        (Unlisted(), {}, ""),
        (Users({}), {"uid": 0}, f"users for whom the backend has no gid or home {UNSERVED}"),
        (Users({}), {"uid": 5, "gid": 5, "home": "/srv/{local}"}, ""),
    ],
)
async def test_what_users_lack(nursery: Any, backend: Any, template: dict[str, Any], told: str) -> None:
    link = Link(Guarded("b", backend, 3.0, Health(None), nursery), template=AccountTemplate(**template))
    assert await remark(link) == told


def test_check_tells_it_where_courier_may_ask(place: Path) -> None:
    backends = '[backend.local]\ntype = "static"\nusers = { joe = "{PLAIN}secret" }\n'
    courier = '[[listen]]\nprotocol = "authdaemon"\npath = "authdaemon"\n'

    def warnings(listen: str, more: str = "") -> list[str]:
        done = run("check", "--config", str(configured(place, backends + more, listen=listen)), "--json")
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)["findings"]
        return [one["detail"] for one in found if one["what"] == "backend.local.account"]

    assert warnings("") == []
    assert warnings(courier) == [f"1 of 1 users have no uid or gid or home, and {UNSERVED}"]
    assert warnings(courier, '[backend.local.account]\nuid = 5\ngid = 5\nhome = "/srv/{local}"\n') == []
