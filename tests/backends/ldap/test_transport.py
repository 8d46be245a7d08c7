"""Connections: TLS, servers that are gone, hang, talk nonsense or come back."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from saslpy.model import Account, Login, Reason, Refusal
from saslpy_ldap.answers import Fault
from saslpy_ldap.pool import NoAnswer
from tests.real import fakeldap
from tests.real.fakeldap import FakeLdap
from tests.real.slapd import Slapd

from . import PEOPLE, SERVICE, USERS, person, searching, tree
from .conftest import Open

pytestmark = pytest.mark.real

JOE = Login.of("joe@example.org")
PASSWORD = USERS[JOE.name]
DIRECT: dict[str, Any] = {"user_dn": f"uid={{login}},{PEOPLE}"}
SEARCH: dict[str, Any] = searching()


class Authority:
    """A private authority, in a file, and what it has signed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.file = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.file))

    def certificate(self, *names: str) -> tuple[Path, Path]:
        """A chain and its key, in files."""
        signed = self._authority.issue_cert(*names)
        chain, key = (self._folder / f"{names[0]}.{kind}" for kind in ("pem", "key"))
        signed.private_key_pem.write_to_path(str(key))
        chain.write_bytes(b"".join(part.bytes() for part in signed.cert_chain_pems))
        return chain, key


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def entries() -> Any:
    return tree(*(person(*user) for user in USERS.items()))


@pytest.fixture(scope="module")
def running(entries: Any, authority: Authority) -> Iterator[Slapd]:
    # to OpenLDAP's library, "localhost" is this machine's own name
    tls = authority.certificate("localhost", "127.0.0.1", socket.getfqdn(), socket.gethostname())
    with Slapd(entries, tls=tls, options="idletimeout 1") as server:
        yield server


@pytest.fixture
def server(running: Slapd) -> Iterator[Slapd]:
    """A server that runs at the beginning of each test."""
    if not running.running:
        running.start()
    yield running
    if running.running:
        running.resume()


@pytest.fixture(scope="module")
def another(entries: Any) -> Iterator[Slapd]:
    with Slapd(entries) as server:
        yield server


@pytest.fixture
def second(another: Slapd) -> Slapd:
    """Another one with the same users, which stays as it is."""
    if not another.running:
        another.start()
    return another


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        yield f"ldap://127.0.0.1:{listener.getsockname()[1]}"


def accepts(backend: Any, login: Login = JOE, password: str = PASSWORD) -> float:
    """That it is a yes; the seconds that it took."""
    began = time.monotonic()
    answer = backend.verify(login, password)
    assert isinstance(answer, Account), answer
    return time.monotonic() - began


def fails(backend: Any, seconds: float = 3.0) -> str:
    """That it could not be found out, in time; the message."""
    began = time.monotonic()
    with pytest.raises(Fault) as fault:
        backend.verify(JOE, PASSWORD)
    assert time.monotonic() - began < seconds
    assert PASSWORD not in str(fault.value)
    return str(fault.value)


# --- TLS


def test_ldaps_with_the_right_authority(server: Slapd, authority: Authority, opened: Open) -> None:
    for url in (server.ldaps, f"ldaps://127.0.0.1:{server.tls_port}"):
        for keys in (DIRECT, SEARCH):
            backend = opened(url, ca_file=authority.file, **keys)
            accepts(backend)
            accepts(backend)
            assert backend.probe().startswith(url)


def test_starttls(server: Slapd, authority: Authority, opened: Open) -> None:
    backend = opened(f"ldap://localhost:{server.port}", starttls=True, ca_file=authority.file, **SEARCH)
    accepts(backend)
    assert backend.probe().startswith(f"ldap://localhost:{server.port} (StartTLS)")
    assert len(re.findall(r"TLS established", server.said())) >= 2


@pytest.mark.parametrize("way", ["ldaps", "starttls"])
@pytest.mark.parametrize("keys", [DIRECT, SEARCH], ids=["direct", "search"])
def test_a_certificate_of_somebody_else(
    server: Slapd, opened: Open, tmp_path: Path, way: str, keys: dict[str, Any]
) -> None:
    other = Authority(tmp_path)
    before = server.said()
    for extra in ({"ca_file": other.file}, {}):
        if way == "ldaps":
            backend = opened(server.ldaps, **extra, **keys)
        else:
            backend = opened(f"ldap://localhost:{server.port}", starttls=True, **extra, **keys)
        assert "localhost" in fails(backend)
        with pytest.raises(NoAnswer):
            backend.probe()
    # nobody has told it a name or a password
    assert "BIND" not in server.said().removeprefix(before)


@pytest.mark.parametrize("scheme", ["ldaps", "ldap"])
def test_a_certificate_for_another_name(entries: Any, authority: Authority, opened: Open, scheme: str) -> None:
    with Slapd(entries, tls=authority.certificate("ldap.example.net")) as server:
        port = server.tls_port if scheme == "ldaps" else server.port
        starttls = None if scheme == "ldaps" else True
        fails(opened(f"{scheme}://localhost:{port}", starttls=starttls, ca_file=authority.file, **DIRECT))
        assert "BIND" not in server.said()


def test_a_server_without_tls(second: Slapd, authority: Authority, opened: Open) -> None:
    before = second.said()
    fails(opened(f"ldaps://localhost:{second.port}", ca_file=authority.file, **DIRECT))
    text = fails(opened(f"ldap://localhost:{second.port}", starttls=True, ca_file=authority.file, **DIRECT))
    assert "StartTLS" in text
    assert "BIND" not in second.said().removeprefix(before)


@pytest.mark.parametrize("way", ["ldaps", "starttls"])
def test_tls_with_a_silent_server(silent: str, authority: Authority, opened: Open, way: str) -> None:
    url = silent.replace("ldap:", "ldaps:") if way == "ldaps" else silent
    starttls = True if way == "starttls" else None
    fails(opened(url, starttls=starttls, ca_file=authority.file, query_timeout=0.3, **DIRECT), 1.0)


def test_what_stands_behind_the_answer_to_starttls_is_not_read(authority: Authority, opened: Open) -> None:
    def answer(request: fakeldap.Request) -> bytes:
        assert request.kind == fakeldap.EXTENDED
        second = fakeldap.Request(2, fakeldap.BIND, b"")
        return fakeldap.result(request) + fakeldap.result(second)

    with FakeLdap(answer) as server:
        fails(opened(server.url, starttls=True, ca_file=authority.file, **DIRECT))
        assert set(server.kinds()) == {fakeldap.EXTENDED}


def test_unix_socket(server: Slapd, opened: Open) -> None:
    backend = opened(server.ipc, **SEARCH)
    accepts(backend)
    assert "/s by " in backend.probe()


# --- servers that are gone


def closed_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"ldap://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("keys", [DIRECT, SEARCH], ids=["direct", "search"])
def test_a_dead_server_costs_nothing(second: Slapd, opened: Open, keys: dict[str, Any]) -> None:
    dead = closed_url()
    backend = opened(dead, "ldap://no-such-host.invalid", second.url, **keys)
    assert max(accepts(backend) for _ in range(2)) < 0.9
    assert "but not " in backend.probe()
    assert "refused" in fails(opened(dead, **keys)).lower() or "contact" in fails(opened(dead, **keys))


@pytest.mark.parametrize("keys", [DIRECT, SEARCH], ids=["direct", "search"])
def test_a_silent_server_costs_its_timeout_once(silent: str, second: Slapd, opened: Open, keys: dict[str, Any]) -> None:
    backend = opened(silent, second.url, query_timeout=0.5, **keys)
    assert 0.4 < accepts(backend) < 1.2
    assert max(accepts(backend) for _ in range(10)) < 0.4


def test_a_server_that_begins_to_hang(server: Slapd, second: Slapd, opened: Open) -> None:
    backend = opened(server.url, second.url, query_timeout=0.5, **SEARCH)
    accepts(backend)
    server.pause()
    assert accepts(backend, Login.of("ann@example.org"), USERS["ann@example.org"]) < 1.2
    assert max(accepts(backend) for _ in range(5)) < 0.4
    server.resume()
    second_only = opened(server.url, **SEARCH)
    accepts(second_only)


def test_all_hang_and_one_comes_back(server: Slapd, silent: str, opened: Open) -> None:
    backend = opened(silent, server.url, query_timeout=0.3, **SEARCH)
    accepts(backend)
    server.pause()
    assert "; " in fails(backend, 1.5)
    server.resume()
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        try:
            accepts(backend)
        except Fault:
            continue
        break
    else:
        pytest.fail("not back after 3 s")


@pytest.mark.parametrize("keys", [DIRECT, SEARCH], ids=["direct", "search"])
def test_kept_connections_that_the_server_has_closed_cost_nobody_a_failure(
    server: Slapd, opened: Open, keys: dict[str, Any]
) -> None:
    backend = opened(server.url, **keys)
    many_at_once(backend, 8)
    server.kill()
    server.start()
    many_at_once(backend, 8)
    server.kill()
    fails(backend, 1.0)
    server.start()
    accepts(backend)


def test_idle_connections_that_the_server_has_closed(server: Slapd, opened: Open) -> None:
    backends = [opened(server.url, remember_seconds=0.0, **SEARCH), opened(server.url, **DIRECT)]
    for backend in backends:
        many_at_once(backend, 4)
    began = len(server.said())
    deadline = time.monotonic() + 8
    while server.said()[began:].count("closed (idletimeout)") < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    for backend in backends:
        many_at_once(backend, 4)


def many_at_once(backend: Any, number: int) -> None:
    """So many logins at a time, right, wrong and unknown ones; each must get its own answer."""
    barrier = threading.Barrier(number)

    def one(index: int) -> str:
        login = list(USERS)[index % len(USERS)]
        barrier.wait(5)
        right = backend.verify(Login.of(login), USERS[login])
        wrong = backend.verify(Login.of(login), USERS[login] + "x")
        nobody = backend.verify(Login.of("no-" + login), USERS[login])
        assert isinstance(wrong, Refusal)
        assert isinstance(nobody, Refusal)
        assert right == Account(login)
        return login

    with ThreadPoolExecutor(number) as threads:
        assert len(list(threads.map(one, range(number)))) == number


@pytest.mark.parametrize("keys", [DIRECT, SEARCH], ids=["direct", "search"])
def test_twenty_at_once_share_a_small_pool(second: Slapd, opened: Open, keys: dict[str, Any]) -> None:
    before = second.said().count("ACCEPT")
    backend = opened(second.url, pool_size=3, **keys)
    many_at_once(backend, 20)
    assert second.said().count("ACCEPT") - before <= (3 if keys is DIRECT else 6)


def test_close_ends_the_connections(server: Slapd, opened: Open) -> None:
    backend = opened(server.url, **SEARCH)
    accepts(backend)
    idle = [
        kept for pool in (backend._directory._searching, backend._directory._binding) for kept in pool._idle.values()
    ]
    assert [len(kept) for kept in idle] == [1, 1]
    backend._directory.close()
    assert not any(backend._directory._binding._idle.values())
    accepts(backend)
    assert not any(backend._directory._binding._idle.values())


# --- servers that talk nonsense


def half(request: fakeldap.Request) -> bytes:
    return fakeldap.result(request, 49, "x" * 200)[:20]


def foreign(request: fakeldap.Request) -> bytes:
    return fakeldap.result(fakeldap.Request(request.number + 1, request.kind, b""))


def of_tags(request: fakeldap.Request, code: int, digits: bytes = b"\0", text: int = 0x04) -> bytes:
    """A success, but for its tags."""
    parts = fakeldap.ber(code, digits), fakeldap.ber(0x04), fakeldap.ber(text)
    return fakeldap.message(request.number, fakeldap.ber(fakeldap.BIND_RESPONSE, *parts))


NONSENSE: dict[str, Callable[[fakeldap.Request], bytes]] = {
    "http": lambda request: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "zeros": lambda request: bytes(64),
    "a huge length": lambda request: b"\x30\x84\x7f\xff\xff\xff",
    "another number": foreign,
    "another kind": lambda request: fakeldap.message(
        request.number, fakeldap.ber(0x6B, fakeldap.ber(0x0A, b"\0"), fakeldap.ber(4), fakeldap.ber(4))
    ),
    "an empty operation": lambda request: fakeldap.message(request.number, fakeldap.ber(fakeldap.BIND_RESPONSE)),
    "half an answer": half,
    "good-bye": lambda request: fakeldap.good_bye(),
    "the end": lambda request: b"",
    "FALSE for a result": lambda request: of_tags(request, 0x01),
    "a number for a result": lambda request: of_tags(request, 0x02),
    "a huge result": lambda request: of_tags(request, 0x0A, b"\x7f" * 5000),
    "a long zero": lambda request: of_tags(request, 0x0A, bytes(9)),
    "no text": lambda request: of_tags(request, 0x0A, text=0x30),
}


@pytest.mark.parametrize("kind", NONSENSE)
def test_nonsense_is_no_answer(opened: Open, kind: str) -> None:
    with FakeLdap(NONSENSE[kind]) as server:
        fails(opened(server.url, query_timeout=0.2, **DIRECT), 1.0)


@pytest.mark.parametrize("what", ["entries", "references"])
def test_an_answer_to_a_search_has_an_end(second: Slapd, opened: Open, what: str) -> None:
    def answer(request: fakeldap.Request) -> bytes:
        if request.kind != fakeldap.SEARCH:
            return fakeldap.result(request)
        if what == "entries":
            return fakeldap.entry(request, f"uid=joe,{PEOPLE}", uid=JOE.name) * 101
        return fakeldap.reference(request, "ldap://192.0.2.7/dc=x") * 101

    with FakeLdap(answer) as server:
        assert f"more than 100 {what}" in fails(opened(server.url, **SEARCH), 1.0)
        accepts(opened(server.url, second.url, **SEARCH))


@pytest.mark.parametrize(("size", "fits"), [(100_000, True), (140_000, False)])
def test_long_answers(opened: Open, size: int, fits: bool) -> None:
    def answer(request: fakeldap.Request) -> bytes:
        found = fakeldap.entry(request, f"uid=joe,{PEOPLE}", uid=JOE.name, cn="x" * size)
        return (found if request.kind == fakeldap.SEARCH else b"") + fakeldap.result(request)

    with FakeLdap(answer) as server:
        backend = opened(server.url, attributes={"name": "cn"}, **SEARCH)
        if fits:
            assert len(backend.verify(JOE, PASSWORD).name) == size
        else:
            assert "bytes" in fails(backend)


def test_closed_connections_leave_nothing_open(second: Slapd, opened: Open) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    backend = opened(second.url, **SEARCH)
    before = descriptors()
    for _ in range(50):
        accepts(backend)
        for server in second.url, closed_url():
            with pytest.raises(Fault):
                opened(server, **searching(bind_password="wrong")).verify(JOE, PASSWORD)
        backend._directory._searching._drop_idle(backend._directory.servers.all[0])
        backend._directory._binding._drop_idle(backend._directory.servers.all[0])
    assert descriptors() <= before


def test_a_server_that_dribbles_is_too_slow_all_the_same(opened: Open) -> None:
    stop = threading.Event()

    def dribble(sock: socket.socket) -> None:
        sock.recv(1000)
        for byte in fakeldap.result(fakeldap.Request(1, fakeldap.BIND, b""), 0, "x" * 100):
            if stop.wait(0.05):
                return
            sock.sendall(bytes((byte,)))

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while not stop.is_set():
                try:
                    sock, _ = listener.accept()
                    with sock:
                        dribble(sock)
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            fails(opened(f"ldap://127.0.0.1:{listener.getsockname()[1]}", query_timeout=0.5, **DIRECT), 1.5)
        finally:
            stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


@pytest.mark.parametrize(("code", "name"), [(51, "busy"), (52, "unavailable"), (1, "operationsError"), (80, "other")])
def test_the_next_server_is_asked_where_one_cannot_say(second: Slapd, opened: Open, code: int, name: str) -> None:
    with FakeLdap(lambda request: fakeldap.result(request, code, "not now")) as server:
        accepts(opened(server.url, second.url, **DIRECT))
        accepts(opened(server.url, second.url, **SEARCH))
        assert f"({code}): not now" in fails(opened(server.url, **DIRECT))


def test_a_server_that_refuses_our_own_account(second: Slapd, opened: Open) -> None:
    with FakeLdap(lambda request: fakeldap.result(request, 49, "no")) as server:
        text = fails(opened(server.url, **SEARCH))
        assert "bind as bind_dn" in text
        accepts(opened(server.url, second.url, **SEARCH))
    assert "bind as bind_dn" in fails(opened(second.url, **searching(bind_password="wrong")))
    with FakeLdap(lambda request: fakeldap.result(request, policy=2)) as server:
        text = fails(opened(server.url, **SEARCH))
        assert "bind as bind_dn: success (0), password policy: the password must be changed first" in text
    with pytest.raises(NoAnswer):
        opened(second.url, **searching(bind_dn=SERVICE + "x")).probe()


def test_a_refusal_is_not_asked_twice(second: Slapd, opened: Open) -> None:
    with FakeLdap(lambda request: fakeldap.result(request, 49)) as server:
        backend = opened(server.url, second.url, **DIRECT)
        assert backend.verify(JOE, PASSWORD) == Refusal(Reason.WRONG_PASSWORD)
        assert server.kinds() == [fakeldap.BIND]
