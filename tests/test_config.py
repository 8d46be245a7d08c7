"""Faults of a configuration: each one is told with its path and what to do, all of them at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from saslpy import checks
from saslpy import settings as settings_module
from saslpy.config import ConfigError
from saslpy.names import NamePolicy
from saslpy.settings import Settings, load

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
        ('path = "mux"', "", "listen[0]: needs one of path (unix socket), address (host:port) and systemd"),
        ('path = "mux"', 'path = ""', "listen[0].path: expected a path, got an empty one"),
        ('path = "mux"', f'path = "{"x" * 120}"', "a unix socket's path has 107 at most"),
        ('path = "mux"', 'path = "mux"\nmode = "0999"', 'listen[0].mode: expected octal digits such as "0660"'),
        ('path = "mux"', 'path = "mux"\nmode = 660', "listen[0].mode: expected str, got int"),
        ('path = "mux"', 'address = "192.0.2.1:999"', "listen[0].address: passwords would cross the network"),
        ('path = "mux"', 'address = "localhost"', 'listen[0].address: expected "host:port"'),
        ('path = "mux"', 'address = "localhost:99"', "listen[0].address: 'localhost' is no IP address"),
        ("saslauthd", "saslautd", "got 'saslautd'; did you mean 'saslauthd'?"),
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
        # what would make everybody's answer no
        ("[auth]", '[auth]\ndefault_domain = "@example.org"', "auth.default_domain: '@example.org' has an @"),
        (
            "[auth]",
            '[auth]\ndefault_domain = "exam ple.org"',
            "auth.default_domain: 'exam ple.org' is no domain: a blank",
        ),
        ("[auth]", '[auth]\ndefault_domain = " example.org"', "auth.default_domain: ' example.org' is no domain"),
        ("[auth]", '[auth]\ndefault_domain = "a\\u0000b"', "auth.default_domain: 'a\\x00b' is no domain: a control"),
        ("[auth]", '[auth]\ndefault_domain = "*"', "auth.default_domain: '*': there are no patterns"),
        *(
            ("[auth]", f'[auth]\nroute = [{{ chain = ["local"], {keys} }}]', f"auth.route[0].{expected}")
            for keys, expected in (
                ('domains = ["a.org", "@b.org"]', "domains[1]: '@b.org' has an @"),
                ('domains = ["a.org "]', "domains[0]: 'a.org ' is no domain: a blank in it"),
                ('domains = ["joe@b.org"]', "domains[0]: 'joe@b.org' has an @"),
                ('domains = ["*.b.org"]', "domains[0]: '*.b.org': there are no patterns"),
                ('services = ["smtp", "imap "]', "services[1]: 'imap ' is no name of a service"),
                ('services = ["smtp imap"]', "services[0]: 'smtp imap' is no name of a service"),
                ('services = ["*"]', "services[0]: '*' is no name of a service"),
            )
        ),
        (
            "[backend.local]",
            '[backend.local]\ndefault_scheme = "SHA521"',
            "default_scheme: 'SHA521' is no scheme; did you",
        ),
        ("[backend.local]", '[backend.local]\ndefault_scheme = ""', "backend.local.default_scheme: '' is no scheme"),
        ("[backend.local]", '[backend.local]\ndefault_scheme = "{SHA512}"', "default_scheme: '{SHA512}' is no scheme"),
        (
            "{PLAIN}secret",
            "secret",
            "backend.local.users.'joe@example.org': no password matches this: CRYPT: not a crypt",
        ),
        # numbers
        *(
            (section, f"{section}\n{key} = {value}", f"{path}.{key}: must be ")
            for section, path, key, values in (
                ("[auth]", "auth", "deadline", ("0", "-1", "inf", "nan", "-inf", "1e99")),
                ("[auth]", "auth", "min_seconds", ("-1", "inf", "nan", "8")),
                ("[auth]", "auth", "max_pending", ("0", "-1", "1000000000000")),
                ("[auth]", "auth", "passwords.processes", ("-1", "100000")),
                ("[auth]", "auth", "passwords.memory_mib", ("-1", "100000000000")),
                ("[backend.local]", "backend.local", "timeout", ("0", "-1", "inf", "nan")),
                ("[[listen]]", "listen[0]", "read_timeout", ("0", "-1", "inf", "nan")),
                ("[[listen]]", "listen[0]", "max_connections", ("0", "-1", "1000000000000")),
                ("[[listen]]", "listen[0]", "max_field", ("255", "-1", "65536")),
            )
            for value in values
        ),
        *(
            ("[auth]", f"[daemon]\ndrain_seconds = {value}\n[auth]", "daemon.drain_seconds: must be from 0 to")
            for value in ("-5", "inf", "nan")
        ),
        ("[auth]", f"[auth]\ndeadline = 1{'0' * 400}", "auth.deadline: number out of range"),
        ("[auth]", f"[auth]\nmax_pending = 1{'0' * 400}", "auth.max_pending: "),
        *(
            ('path = "mux"', f'address = "{address}"', 'listen[0].address: expected "host:port", got ')
            for address in (
                "127.0.0.1:²",
                "127.0.0.1:٣",
                "127.0.0.1:65536",
                "127.0.0.1:-1",
                "127.0.0.1:",
                ":99",
                "127.0.0.1",
            )
        ),
        *(
            ('path = "mux"', f'path = "mux"\nmode = "{mode}"', "listen[0].mode: expected octal digits")
            for mode in ("", "-1", "0o660", "6_60", " 660", "1777", "٠٦٦٠", "rw")
        ),
        ('path = "mux"', 'path = "~nobody-here/mux"', "listen[0].path: ~nobody-here is nobody's home"),
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


def test_two_listeners_on_one_address(tmp_path: Path) -> None:
    text = GOOD.replace('path = "mux"', 'address = "127.0.0.1:999"')
    text += '[[listen]]\nprotocol = "saslauthd"\naddress = "127.0.0.1:00999"\n'
    assert faults(tmp_path, text) == ["listen[1].address: listen[0] listens there already (127.0.0.1:00999)"]


def loaded(folder: Path, text: str) -> Settings:
    path = folder / "saslpy.toml"
    path.write_text(text)
    return load(path)


def test_domains_are_written_as_those_of_logins(tmp_path: Path) -> None:
    route = '{ chain = ["local"], domains = ["Bu\\u0308cher.example", ""], services = [""] }'
    keys = f'default_domain = "Example.ORG"\nroute = [{route}]'
    auth = loaded(tmp_path, GOOD.replace("[auth]", f"[auth]\n{keys}")).auth
    assert auth.default_domain == "example.org"
    assert auth.route[0].domains == ("b\u00fccher.example", "")
    assert NamePolicy().login("joe@B\u00dcCHER.example").domain in auth.route[0].domains


@pytest.mark.parametrize("scheme", ["CRYPT", "crypt", "MD5", "SHA512.HEX", "Cleartext", "ssha", "BCRYPT", "NT"])
def test_default_schemes(tmp_path: Path, scheme: str) -> None:
    text = GOOD.replace("[backend.local]", f'[backend.local]\ndefault_scheme = "{scheme}"')
    assert loaded(tmp_path, text).backends["local"].options.default_scheme == scheme


def test_numbers_at_their_bounds(tmp_path: Path) -> None:
    text = GOOD.replace("[auth]", "[daemon]\ndrain_seconds = 0\n[auth]\ndeadline = 0.01\nmin_seconds = 0")
    text = text.replace("[backend.local]", "[backend.local]\ntimeout = 0.01")
    settings = loaded(tmp_path, text + "max_field = 65535\nmax_connections = 1\nread_timeout = 0.001\n")
    assert (settings.daemon.drain_seconds, settings.auth.deadline) == (0, 0.01)


def test_names_that_others_import_from_settings() -> None:
    for name in settings_module.__all__:
        assert hasattr(settings_module, name)


# --- what is there on this machine


def static(settings: Settings) -> list[tuple[str, str]]:
    return list(checks.faults(settings))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/proc/mux", "no socket can be made in /proc: "),
        ("/proc/a/b/mux", "no socket can be made in /proc: "),
        ("saslpy.toml/mux", "saslpy.toml"),
        ("saslpy.toml", "is there already and is no socket"),
        (".", "is there already and is no socket"),
    ],
)
def test_a_socket_that_could_not_be_made(tmp_path: Path, path: str, message: str) -> None:
    ((where, told),) = static(loaded(tmp_path, GOOD.replace('"mux"', f'"{path}"')))
    assert where == "listen[0].path"
    assert message in told


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (fault,) = static(loaded(tmp_path, GOOD.replace('"mux"', '"/etc/saslpy-mux"')))
    assert fault == ("listen[0].path", "no socket can be made in /etc: Permission denied")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_is_not_theirs(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    settings = loaded(tmp_path, GOOD.replace('"mux"', '"/etc/saslpy-mux"'))
    given = loaded(tmp_path, GOOD.replace('"mux"', '"/tmp/saslpy-mux"\nowner = "root"'))
    assert static(settings) == static(given) == []
    os.seteuid(65534)
    try:
        told = static(settings) + static(given)
    finally:
        os.seteuid(0)
    assert told == [
        ("listen[0].path", "no socket can be made in /etc: Permission denied"),
        ("listen[0].path", "only root may give /tmp/saslpy-mux to this owner or group"),
    ]


def test_a_socket_that_can_be_made(tmp_path: Path) -> None:
    for path in ("mux", "a/b/mux"):
        assert static(loaded(tmp_path, GOOD.replace('"mux"', f'"{path}"'))) == []
    assert [file.name for file in tmp_path.iterdir()] == ["saslpy.toml"]


def test_owners_that_there_are_not(tmp_path: Path) -> None:
    text = GOOD.replace('"mux"', '"/proc/mux"\nowner = "nobody-here"\ngroup = "²"')
    assert static(loaded(tmp_path, text)) == [
        ("listen[0].owner", "there is no user 'nobody-here'"),
        ("listen[0].group", "there is no group '²'"),
    ]


def test_whom_the_daemon_becomes_is_told_by_who_becomes_it(tmp_path: Path) -> None:
    assert static(loaded(tmp_path, '[daemon]\nuser = "nobody-here"\n' + GOOD)) == []


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
