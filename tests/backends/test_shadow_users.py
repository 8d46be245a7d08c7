"""Shadow without the system's own files: configuration, who is who, what is handed out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from saslpy import passwords
from saslpy.config import Reader
from saslpy.model import NEVER_HERE, Account, Login
from saslpy.passwords import UnusableSecret
from saslpy_shadow import Config
from saslpy_shadow.entries import ShadowEntry, disguised, expired, secret, shadow_entry

from ..real.shadow import DAY, MD5, SHADOW, store

# --- configuration


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_uid": -1}, "min_uid: must be"),
        ({"min_uid": 2**32}, "min_uid: must be"),
        ({"min_uid": 1, "allow_root": True}, "allow_root: root's uid is below"),
        ({"domains": ("@",)}, r"domains\[0\]: expected a domain"),
    ],
)
def test_faults(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Config(**changes)


def test_the_loader_reads_it_and_names_the_fields() -> None:
    reader = Reader(Path("/etc/saslpy"))
    read = reader.section(Config, {"path": "shadow", "min_uid": 1000}, "backend.system")
    assert read == Config(path=Path("/etc/saslpy/shadow"), min_uid=1000)
    reader.section(Config, {"min_uuid": 1, "path": 1}, "backend.system")
    assert reader.faults == [
        "backend.system.min_uuid: unknown key; did you mean 'min_uid'?",
        "backend.system.path: expected Path, got int",
    ]
    assert Config() == Config(path=Path("/etc/shadow"), passwd=Path("/etc/passwd"), min_uid=0, allow_root=False)


# --- who is who


def test_a_whole_account(tmp_path: Path) -> None:
    account = store(tmp_path, domains=("Example.org",)).lookup(Login.of("joe@example.org"))
    assert account == Account(
        "joe", ("{CRYPT}" + MD5,), uid=1000, gid=100, home="/home/joe", name="Joé Doe", aliases=("joe@example.org",)
    )
    assert MD5 not in repr(account)


def test_names_are_exact(tmp_path: Path) -> None:
    asked = store(tmp_path)
    for name in (
        "Joe",
        "JOE",
        "jo",
        "joe ",
        "joe:",
        f"joe:{MD5}",
        "joe@example.org",
        "nobody",
        "",
        "é",
        "\udcff",
        "\ud800",
    ):
        assert asked.lookup(Login(name, name)) in (None, NEVER_HERE), name
    for name in ("joe\nann", "\njoe", "joe:x:1000", ":", "+", "#"):
        assert asked.lookup(Login(name, name)) in (None, NEVER_HERE), name


def test_a_user_stands_in_both_files(tmp_path: Path) -> None:
    asked = store(tmp_path, SHADOW + f"other:{MD5}:::::::\n")
    assert asked.lookup(Login.of("gone")) is None
    assert asked.lookup(Login.of("other")) is None


@pytest.mark.parametrize(
    ("changes", "known"),
    [
        ({}, ["news", "joe", "ann"]),
        ({"allow_root": True}, ["root", "news", "joe", "ann"]),
        ({"min_uid": 1000}, ["joe", "ann"]),
        ({"min_uid": 1001}, ["ann"]),
    ],
)
def test_which_uids_there_are(tmp_path: Path, changes: dict[str, Any], known: list[str]) -> None:
    asked = store(tmp_path, **changes)
    assert [name for name in ("root", "news", "joe", "ann", "gone") if asked.lookup(Login.of(name))] == known


def test_the_first_of_two_counts(tmp_path: Path) -> None:
    found = store(tmp_path, SHADOW + "joe:$1$other:1::::::\n").lookup(Login.of("joe"))
    assert isinstance(found, Account)
    assert found.secrets == ("{CRYPT}" + MD5,)


def test_names_in_utf8(tmp_path: Path) -> None:
    asked = store(tmp_path, f"jos\u00e9:{MD5}:1::::::\n", "jos\u00e9:x:1000:1::/h:/s\n")
    assert asked.lookup(Login.of("jos\u00e9")) is not None
    assert asked.lookup(Login.of("jose\u0301")) is None


# --- secrets


@pytest.mark.parametrize(
    ("stored", "given"),
    [
        ("", ()),
        ("!", ("{CRYPT}!",)),
        ("!!", ("{CRYPT}!",)),
        ("*", ("{CRYPT}*",)),
        ("!" + MD5, ("{CRYPT}!",)),
        ("*" + MD5, ("{CRYPT}*",)),
        ("x", ("{CRYPT}x",)),
        (MD5, ("{CRYPT}" + MD5,)),
        ("{PLAIN}geheim", ("{CRYPT}{PLAIN}geheim",)),
        ("geheim", ("{CRYPT}geheim",)),
    ],
)
def test_what_is_handed_out(stored: str, given: tuple[str, ...]) -> None:
    assert secret(stored) == given
    if stored != MD5:
        for text in given:
            with pytest.raises(UnusableSecret):
                passwords.parse(text, "PLAIN")
    assert "geheim" not in repr(ShadowEntry("geheim"))


@pytest.mark.parametrize("scheme", ["SHA512-CRYPT", "SHA256-CRYPT", "MD5-CRYPT", "BLF-CRYPT", "DES-CRYPT"])
def test_a_sample_costs_the_same_and_is_nobodys(tmp_path: Path, scheme: str) -> None:
    stored = passwords.make(scheme, "geheim").partition("}")[2]
    sample = store(tmp_path, SHADOW + f"new:{stored}:1::::::\nlast:!:1::::::\nbroken\n").sample()
    assert sample is not None
    assert stored not in sample
    kind, real = passwords.parse(sample), passwords.parse(stored)
    assert (kind.kind, kind.memory_kib) == (real.kind, real.memory_kib)
    assert real.check(b"geheim")
    assert not kind.check(b"geheim")


def test_without_a_password_there_is_no_sample(tmp_path: Path) -> None:
    assert store(tmp_path, "ann:!:1::::::\nbob::1::::::\nroot:*:1::::::\n").sample() is None
    assert disguised("!" + MD5) is None


# --- dates


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("::::::", None),
        (f"{DAY}:0:99999:7:::", None),
        ("0:0:99999:7:::", "must be changed"),
        ("0::::::", "must be changed"),
        (f"{DAY - 30}:0:30:7:::", None),
        (f"{DAY - 31}:0:30:7:::", "the password has expired"),
        (f"{DAY - 40}:0:30:7:10::", "the password has expired"),
        (f"{DAY - 41}:0:30:7:10::", "inactive"),
        (f"{DAY - 31}:0:30:7:0::", "inactive"),
        (f"{DAY - 31}:0:30:7:-1::", "the password has expired"),
        (f"{DAY - 31}:0:-1:7:::", None),
        (f"{DAY - 1}:0:0:7:::", "the password has expired"),
        (f"{DAY}:0:0:7:::", None),
        (f"{DAY + 5}:0:0:7:::", None),
        ("-1:0:0:7:::", None),
        (f"{DAY}:0:99999:7::{DAY + 1}:", None),
        (f"{DAY}:0:99999:7::{DAY}:", "account has expired"),
        (f"{DAY}:0:99999:7::0:", "account has expired"),
        (f"{DAY}:0:99999:7::-1:", None),
        (f"0:0:99999:7::{DAY - 1}:", "account has expired"),
    ],
)
def test_expiry(tmp_path: Path, line: str, why: str | None) -> None:
    found = expired(shadow_entry(f"joe:{MD5}:{line}".encode()), DAY)
    assert (found is None) == (why is None)
    assert (why or "") in (found or "")
    asked = store(tmp_path, f"joe:{MD5}:{line}\n")
    asked._clock = lambda: DAY * 86400 + 43200.0
    account = asked.lookup(Login.of("joe"))
    assert isinstance(account, Account)
    assert account.expired == (why is not None)
