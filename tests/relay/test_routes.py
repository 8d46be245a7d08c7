"""Routes: what may be written, what is refused and how it is told, and which one a domain takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trustme

from saslpy.config import ConfigError, Reader
from saslpy.relay.places import Capture, Place, Server, place_of
from saslpy.relay.routes import Route, Routes, faults


def route(**keys: Any) -> Route:
    return Route(**{"domains": ("*",), "via": "smtp://hop.test", **keys})


def told(folder: Path = Path(), **keys: Any) -> list[str]:
    """The faults of ``[[relay.route]]`` as ``check`` shows them."""
    reader = Reader(folder)
    reader.section(Route, {"domains": ["*"], "via": "smtp://hop.test", **keys}, "relay.route[0]")
    return reader.faults


@pytest.mark.parametrize(
    ("text", "place", "shown"),
    [
        ("smtp://hop.test:587", Server("smtp", "hop.test", 587), "smtp://hop.test:587"),
        ("smtp://hop.test", Server("smtp", "hop.test", 25), "smtp://hop.test:25"),
        ("SMTP://Hop.TEST./", Server("smtp", "hop.test", 25), "smtp://hop.test:25"),
        ("smtps://hop.test", Server("smtp", "hop.test", 465, tls=True), "smtps://hop.test:465"),
        ("smtp://[::1]:2525", Server("smtp", "::1", 2525), "smtp://[::1]:2525"),
        ("smtp://[2001:DB8:0::1]", Server("smtp", "2001:db8::1", 25), "smtp://[2001:db8::1]:25"),
        ("smtp://127.0.0.1", Server("smtp", "127.0.0.1", 25), "smtp://127.0.0.1:25"),
        ("smtp://bücher.example", Server("smtp", "xn--bcher-kva.example", 25), "smtp://xn--bcher-kva.example:25"),
        ("lmtp:hop.test", Server("lmtp", "hop.test", 24), "lmtp:hop.test:24"),
        ("lmtp:localhost:2400", Server("lmtp", "localhost", 2400), "lmtp:localhost:2400"),
        ("lmtp:[::1]:24", Server("lmtp", "::1", 24), "lmtp:[::1]:24"),
        ("lmtp:/run/dovecot/lmtp", Server("lmtp", path=Path("/run/dovecot/lmtp")), "lmtp:/run/dovecot/lmtp"),
        ("lmtp:run/lmtp", Server("lmtp", path=Path("/base/run/lmtp")), "lmtp:/base/run/lmtp"),
        ("capture:mail", Capture(Path("/base/mail")), "capture:/base/mail"),
    ],
)
def test_places(text: str, place: Place, shown: str) -> None:
    assert place_of("via", text, Path("/base")) == place
    assert str(place) == shown


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mx", "needs a queue"),
        ("hop.test", 'expected "smtp://host:port"'),
        ("", 'expected "smtp://host:port"'),
        ("http://hop.test", 'expected "smtp://host:port"'),
        ("relay:[hop.test]:587", 'expected "smtp://host:port"'),
        ("smtp:hop.test", 'expected "smtp://host:port"'),
        ("smtp://hop.test/x", 'expected "smtp://host:port"'),
        ("smtp://", '"host:port"'),
        ("smtp://hop.test:0", "no port 0"),
        ("smtp://hop.test:65536", "no port 65536"),
        ("smtp://hop.test:", '"host:port"'),
        ("smtp://::1:25", "brackets"),
        ("smtp://[::g]", '"host:port"'),
        ("smtp://[::1::]", "no host"),
        ("smtp://hop..test", "no host"),
        ("smtp://1.2.3", "no host"),
        ("smtp://hop test", '"host:port"'),
        ("lmtp:", '"host:port"'),
        ("lmtp://hop.test", "lmtp:host:port"),
        ("lmtp:unix:/run/lmtp", "lmtp:/path"),
        ("lmtp:/run/\0", "path"),
        ("capture:", "path"),
    ],
)
def test_places_that_are_none(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^via\[1\]: ") as caught:
        place_of("via[1]", text)
    assert why in str(caught.value)


def test_a_password_in_a_url_is_not_shown() -> None:
    for text in ("smtp://joe:hush@hop.test", "joe:hush@hop.test"):
        with pytest.raises(ValueError, match="via") as caught:
            place_of("via", text)
        assert "hush" not in str(caught.value)


def test_several_hosts_in_order() -> None:
    found = route(via=("smtp://a.test", "smtp://b.test:587")).places()
    assert [str(place) for place in found] == ["smtp://a.test:25", "smtp://b.test:587"]


@pytest.mark.parametrize(
    ("via", "tls", "protection"),
    [
        ("smtp://hop.test", "", "require"),
        ("smtp://127.0.0.1", "", "opportunistic"),
        ("smtp://localhost", "require", "require"),
        ("smtps://localhost", "", "require"),
        ("lmtp:10.0.0.1:24", "", "require"),
        ("lmtp:10.0.0.1:24", "none", "none"),
        ("lmtp:/run/lmtp", "require", "none"),
    ],
)
def test_how_the_way_is_protected(via: str, tls: Any, protection: str) -> None:
    found = route(via=via, tls=tls)
    (server,) = found.places()
    assert isinstance(server, Server)
    assert found.protection(server) == protection


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        ({"domains": []}, 'domains: names none; "*" is for all'),
        ({"domains": ["a.test", "*.b.test"]}, "domains[1]: '*.b.test': there are no patterns"),
        ({"domains": [".b.test"]}, "domains[0]: '.b.test': there are no patterns"),
        ({"domains": ["a b"]}, "domains[0]: 'a b' is no domain"),
        ({"domains": ["joe@a.test"]}, "domains[0]: 'joe@a.test' is no domain"),
        ({"via": []}, "via: names no place"),
        ({"via": ["smtp://a.test", "mx"]}, "via[1]: delivery by DNS needs a queue"),
        ({"via": ["smtp://a.test", "capture:x"]}, "via: a capture stands alone"),
        ({"login": "joe"}, "password_file: is required"),
        ({"password_file": "password"}, "login: is required"),
        ({"login": "j\roe", "password_file": "password"}, "login: has a control character"),
        ({"login": "joe", "password_file": "nowhere"}, "password_file: "),
        ({"login": "joe", "password_file": "password", "tls": "opportunistic"}, 'tls: "opportunistic" would let'),
        ({"login": "joe", "password_file": "password", "via": "capture:x"}, "login: nobody at capture:x asks"),
        ({"login": "joe", "password_file": "password", "mechanisms": ["plain"]}, "mechanisms[0]: 'plain' is none"),
        ({"via": "smtps://a.test", "tls": "none"}, 'tls: "none" contradicts smtps://'),
        ({"tls": "always"}, "tls: expected one of require, opportunistic, none"),
        ({"ca_file": "password"}, "ca_file: "),
        ({"login_file": "x"}, "login_file: unknown key"),
    ],
)
def test_faults_are_told_by_key(tmp_path: Path, keys: dict[str, Any], fault: str) -> None:
    (tmp_path / "password").write_text("hush\n")
    (found,) = told(tmp_path, **keys)
    assert found.startswith(f"relay.route[0].{fault}")
    assert "hush" not in found


def test_secrets_and_authorities_are_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush\n")
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    reader = Reader(tmp_path)
    table = {
        "domains": ["*"],
        "via": "smtp://hop.test",
        "login": "joe",
        "password_file": "password",
        "ca_file": "ca.pem",
    }
    found = reader.section(Route, table, "relay.route[0]")
    assert found is not None
    assert (found.password, found.ca_pem[:10]) == ("hush", "-----BEGIN")
    assert "hush" not in repr(found)
    with pytest.raises(ConfigError, match="unknown key"):
        reader.section(Route, {**table, "password": "x"}, "relay.route[0]")
        reader.check()


def test_which_route_a_domain_takes() -> None:
    everything, books, one = route(), route(domains=("Bücher.example", "b.test")), route(domains=("[127.0.0.1]",))
    routes = Routes([everything, books, one])
    assert routes.of("xn--bcher-kva.example") is routes.of("b.test") is books
    assert routes.of("[127.0.0.1]") is one
    assert routes.of("sub.b.test") is routes.of("") is everything
    assert Routes([books]).of("c.test") is None


def test_a_domain_has_one_route() -> None:
    both = [route(domains=("a.test", "*")), route(domains=("A.test",)), route()]
    assert list(faults(both)) == [
        ("route[1].domains[0]", "route[0] is for 'a.test' already"),
        ("route[2].domains[0]", "route[0] is for '*' already"),
    ]
