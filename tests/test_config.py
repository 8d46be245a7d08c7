"""Faults of a configuration: each one is told with its path and what to do, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from saslpy.config import ConfigError
from saslpy.settings import load

GOOD = """
[auth]
chain = ["local"]
[backend.local]
type = "static"
users = { "joe@example.org" = "{PLAIN}secret" }
[[listen]]
protocol = "saslauthd"
path = "mux"
"""


def faults(folder: Path, text: str) -> list[str]:
    path = folder / "saslpy.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(path)
    return error.value.faults


def test_a_good_one(tmp_path: Path) -> None:
    path = tmp_path / "saslpy.toml"
    path.write_text(GOOD)
    settings = load(path)
    assert settings.auth.chain == ("local",)
    assert settings.listen[0].path == tmp_path / "mux"
    assert settings.listen[0].read_timeout == 10.0
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("chain", "chian", "auth.chian: unknown key; did you mean 'chain'?"),
        ("[auth]", "[auht]", "auht: unknown section; did you mean 'auth'?"),
        ('["local"]', '"local"', "auth.chain: expected array, got str"),
        ('["local"]', "[1]", "auth.chain[0]: expected str, got int"),
        ('["local"]', "[]", "auth.chain: names no backend"),
        ('["local"]', '["locla"]', "auth.chain[0]: there is no [backend.locla]; did you mean 'local'?"),
        ('["local"]', '["local", "local"]', "auth.chain[1]: 'local' is asked twice"),
        ('"static"', '"sttic"', "backend.local.type: no backend type 'sttic'; did you mean 'static'?"),
        ('type = "static"', "", "backend.local.type: is required"),
        ("users =", "usres =", "backend.local.usres: unknown key; did you mean 'users'?"),
        ('path = "mux"', "", "listen[0]: needs either a path (unix socket) or an address (host:port)"),
        ('path = "mux"', 'path = ""', "listen[0].path: expected a path, got an empty one"),
        ('path = "mux"', f'path = "{"x" * 120}"', "a unix socket's path has 107 at most"),
        ('path = "mux"', 'path = "mux"\nmode = "0999"', 'listen[0].mode: expected octal digits such as "0660"'),
        ('path = "mux"', 'path = "mux"\nmode = 660', "listen[0].mode: expected str, got int"),
        ('path = "mux"', 'address = "192.0.2.1:999"', "listen[0].address: passwords would cross the network"),
        ('path = "mux"', 'address = "localhost"', 'listen[0].address: expected "host:port"'),
        ('path = "mux"', 'address = "localhost:99"', "listen[0].address: 'localhost' is no IP address"),
        ("saslauthd", "saslautd", "listen[0].protocol: expected one of saslauthd, got 'saslautd'; did you mean"),
        ("[[listen]]", "[listen]", "listen: expected [[listen]]"),
        ('"joe@example.org"', '"joe @example.org"', "backend.local.users.'joe @example.org': a blank"),
        ("[auth]", "[auth]\ndeadline = 0", "auth.deadline: must be above 0"),
        ("[auth]", '[auth]\nrealm_join = "joint"', "auth.realm_join: expected one of join, ignore, require, got"),
        ("[auth]", "[auth]\ndeadline = true", "auth.deadline: expected float, got bool"),
        ("[backend.local]", '[backend.local]\naccount.home = "/srv/{user}"', "account.home: a template may hold"),
        ("[backend.local]", "[backend.local]\naccount.hom = 1", "backend.local.account.hom: unknown key; did you mean"),
        ("[auth]", '[auth]\nroute = [{ chain = ["local"] }]', "auth.route[0]: needs domains, services or both"),
        ("[auth]", '[auth]\npasswords.forbid = ["PLAIN", "CRYPT"]', "auth.passwords.forbid[1]: 'CRYPT' is no scheme"),
        ("[auth]", "[auth", "line 2"),
        (GOOD, "", "listen: there is none"),
    ],
)
def test_a_fault_has_its_path(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in GOOD
    told = faults(tmp_path, GOOD.replace(old, new, 1))
    assert any(expected in fault for fault in told), told


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("chain", "chian").replace("users =", "usres =").replace("protocol", "protocoll")
    told = faults(tmp_path, text)
    assert [fault.partition(":")[0] for fault in told] == [
        "auth.chian",
        "backend.local.usres",
        "backend.local.users",
        "listen[0].protocoll",
        "listen[0].protocol",
    ]


def test_two_listeners_on_one_path(tmp_path: Path) -> None:
    text = GOOD + '[[listen]]\nprotocol = "saslauthd"\npath = "./sub/../mux"\n'
    assert faults(tmp_path, text) == [f"listen[1].path: listen[0] listens there already ({tmp_path}/sub/../mux)"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; `saslpy init`"):
        load(tmp_path / "nothing.toml")


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = GOOD.replace('"static"', '"mysql"')
    assert "pip install 'saslpy[mysql]'" in faults(tmp_path, text)[0]


def test_a_scheme_is_forbidden_under_any_of_its_names(tmp_path: Path) -> None:
    path = tmp_path / "saslpy.toml"
    path.write_text(GOOD.replace("[auth]", '[auth]\npasswords.forbid = ["cleartext", "SHA1"]'))
    assert load(path).auth.passwords.forbidden == {"PLAIN", "SHA"}
