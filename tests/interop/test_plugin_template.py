"""The template in contrib for backends of third parties: built, installed and tested as its README says, then served."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from pathlib import Path

import pytest

from saslpy import passwords

from ..real.saslpy import ask, back_within, configured, folder, run, serving

TEMPLATE = Path(__file__).parents[2] / "contrib" / "plugin-template"
PIP = (
    "-m",
    "pip",
    "install",
    "--quiet",
    "--disable-pip-version-check",
    "--no-index",
    "--no-deps",
    "--no-build-isolation",
)

QUICK = '[backend.quick]\ntype = "static"\nusers = { ann = "{PLAIN}secret" }\n'
AUTH = """chain = ["quick"]
min_seconds = 0
[[auth.route]]
domains = ["example.org"]
chain = ["mine"]
"""


def python(*arguments: str, cwd: Path | None = None) -> str:
    """What a Python program prints, which must succeed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(source: Path, target: Path) -> Path:
    """Build a distribution and install it into a folder, without asking any network."""
    python(*PIP, "--target", str(target), str(source))
    return target


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the template."""
    copy = tmp_path_factory.mktemp("template") / "saslpy-example"
    return Path(shutil.copytree(TEMPLATE, copy, ignore=shutil.ignore_patterns("__pycache__", ".*")))


@pytest.fixture(scope="module")
def site(source: Path) -> Path:
    """A folder with the template's distribution installed."""
    return install(source, source.parent / "site")


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every Python that is started finds it beside saslpy."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))))
    return site


@pytest.fixture
def place(installed: Path) -> Iterator[Path]:
    with folder() as path:
        yield path


# --- the distribution


def test_what_is_installed(installed: Path) -> None:
    (info,) = installed.glob("*.dist-info")
    metadata = message_from_string((info / "METADATA").read_text())
    assert metadata["Name"] == "saslpy-example"
    assert any(re.match(r"saslpy\b", needed) for needed in metadata.get_all("Requires-Dist", []))
    assert sorted(path.name for path in installed.iterdir()) == [info.name.replace("-0.1.0.dist-info", ""), info.name]
    program = 'from saslpy import plugins; print(*(plugins.load(n).isolated for n in ("example", "example-web")))'
    assert python("-c", program).split() == ["False", "True"]


def test_its_own_tests_pass(installed: Path, source: Path, tmp_path: Path) -> None:
    """Against what is installed: the package itself is not beside them."""
    shutil.copytree(source / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source / "pyproject.toml", tmp_path)
    told = python("-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", cwd=tmp_path)
    assert re.search(r"^\d\d+ passed in", told, re.MULTILINE), told


MINE = """
from saslpy.testing import OutageContract, StoreContract
from test_users import TestUsers as Theirs

class TestMine(StoreContract, OutageContract):
    right = Theirs.right
    settings = Theirs.settings
    stop = Theirs.stop
    start = Theirs.start
    aliases = Theirs.aliases

del Theirs
"""


def test_the_contracts_need_no_configuration_of_pytest(installed: Path, source: Path, tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(MINE)
    shutil.copy(source / "tests" / "test_users.py", tmp_path)
    options = ("-q", "--strict-markers", "-p", "no:cacheprovider", "--rootdir", ".", "-c", "/dev/null")
    told = python("-m", "pytest", *options, "test_mine.py", cwd=tmp_path)
    assert re.search(r"^\d\d+ passed in", told, re.MULTILINE), told


def test_a_copy_is_renamed_as_the_readme_says(source: Path, tmp_path: Path) -> None:
    """And has the same type then, until that is renamed as well: the two are told apart."""
    renamed = tmp_path / "saslpy-pets"
    shutil.copytree(source, renamed)
    commands = re.findall(r"^(?:mv|grep) .*", (source / "README.md").read_text(), re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        subprocess.run(["/bin/sh", "-ec", command], cwd=renamed, check=True)
    assert not [path for path in renamed.rglob("*") if path.is_file() and "saslpy_example" in path.read_text()]
    both = install(renamed, tmp_path / "site")
    assert (both / "saslpy_pets" / "users.py").is_file()
    install(source, both)
    with folder() as place, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(both))
        config = configured(place, users_backend(place), 'chain = ["mine"]')
        done = run("check", "--config", str(config))
    said = (
        "backend.mine.type: two packages bring a backend type 'example': saslpy-example and saslpy-pets; uninstall one"
    )
    assert said in done.stderr
    assert done.returncode == 1


# --- in the daemon


def users_backend(place: Path, kind: str = "example", more: str = "") -> str:
    """The store in threads, with joe in it."""
    stored = passwords.make("SHA512-CRYPT", "s3cret joe")
    (place / "users.json").write_text(json.dumps({"users": {"joe@example.org": {"password": stored}}, "aliases": {}}))
    return f'[backend.mine]\ntype = "{kind}"\npath = "users.json"\n{more}\n'


class Service:
    """The template's web application, in a process of its own."""

    def __init__(self, source: Path) -> None:
        self._program = source / "tests" / "service.py"
        self._port = "0"
        self.start()

    @property
    def backend(self) -> str:
        return f'[backend.mine]\ntype = "example-web"\nurl = "{self._url}"\ntoken = "the token"\ntimeout = 1.0\n'

    def start(self) -> None:
        """It answers, on the same port as before."""
        self.process = subprocess.Popen(
            [sys.executable, str(self._program), self._port], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self._url = self.process.stdout.readline().strip()
        self._port = self._url.rpartition(":")[2].partition("/")[0]

    def stop(self) -> None:
        """It is gone."""
        assert self.process.stdout is not None
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@contextmanager
def service(source: Path) -> Iterator[Service]:
    running = Service(source)
    try:
        yield running
    finally:
        running.stop()


def answers(place: Path) -> None:
    """Each kind of login gets its answer."""
    assert ask(place, "joe@example.org", "s3cret joe") == "accept"
    assert ask(place, "joe", "s3cret joe", realm="example.org") == "accept"
    assert ask(place, "joe@example.org", "wrong") == "reject"
    assert ask(place, "nobody@example.org", "s3cret joe") == "reject"
    assert ask(place, "ann", "secret") == "accept"


def defers(place: Path) -> None:
    """Its users hear that nobody can say, and the others are let in."""
    for login, password in (("joe", "s3cret joe"), ("joe", "wrong"), ("nobody", "x")):
        assert ask(place, f"{login}@example.org", password) == "defer"
    assert ask(place, "ann", "secret") == "accept"


def test_the_store_in_threads(place: Path) -> None:
    with serving(configured(place, users_backend(place) + QUICK, AUTH)) as daemon:
        answers(place)
        (place / "users.json").rename(place / "away")
        defers(place)
        (place / "away").rename(place / "users.json")
        back_within(3, place, "joe@example.org", "s3cret joe")
        assert not daemon.children("backend.mine")


def test_the_verifier_in_worker_processes(place: Path, source: Path) -> None:
    with service(source) as web, serving(configured(place, web.backend + QUICK, AUTH)) as daemon:
        answers(place)
        assert len(daemon.children("backend.mine")) == 1
        web.stop()
        defers(place)
        web.start()
        back_within(3, place, "joe@example.org", "s3cret joe")


@pytest.mark.parametrize("kind", ["store", "verifier"])
def test_the_daemon_starts_without_it(place: Path, source: Path, kind: str) -> None:
    with service(source) as web:
        backend = users_backend(place) if kind == "store" else web.backend
        (place / "users.json").unlink(missing_ok=True)
        web.stop()
        with serving(configured(place, backend + QUICK, AUTH)):
            defers(place)
            users_backend(place)
            web.start()
            back_within(3, place, "joe@example.org", "s3cret joe")


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can become somebody else")
@pytest.mark.parametrize("kind", ["store", "verifier"])
def test_it_is_loaded_while_it_can_be_read(place: Path, source: Path, site: Path, kind: str) -> None:
    """Installed where root alone may read, as in a virtual environment below /root; the daemon is nobody."""
    assert site.parent.parent.stat().st_mode & 0o077 == 0
    with service(source) as web:
        backend = users_backend(place) if kind == "store" else web.backend
        config = configured(place, backend + QUICK, AUTH)
        config.write_text(config.read_text().replace('user = "root"', 'user = "nobody"'))
        with serving(config):
            answers(place)


def test_a_reload_takes_it_over(place: Path, source: Path) -> None:
    """A configuration with its Config goes from process to process."""
    with service(source) as web:
        config = configured(place, web.backend + QUICK, AUTH)
        with serving(config) as daemon:
            answers(place)
            text = config.read_text()
            config.write_text(text.replace(web.backend, users_backend(place)))
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("reloaded")
            web.stop()
            back_within(3, place, "joe@example.org", "s3cret joe")
            answers(place)


# --- what hangs


def timed(place: Path, login: str, password: str) -> tuple[str, float]:
    start = time.monotonic()
    return ask(place, login, password), time.monotonic() - start


def many_hang(place: Path, count: int) -> None:
    """So many users of the backend at a time hear of the deadline; meanwhile the others are let in at once."""
    told: list[tuple[str, float]] = []

    def one(number: int) -> None:
        told.append(timed(place, f"user{number}@example.org", "x"))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    others = [timed(place, "ann", "secret") for _ in range(10)]
    for thread in threads:
        thread.join()
    assert {verdict for verdict, _ in others} == {"accept"}
    assert max(seconds for _, seconds in others) < 0.9
    assert {verdict for verdict, _ in told} == {"defer"}
    assert max(seconds for _, seconds in told) < 4


def hang(place: Path) -> None:
    """Who opens the file of users waits for a writer that never comes."""
    (place / "users.json").rename(place / "away")
    os.mkfifo(place / "users.json")


def unhang(place: Path) -> None:
    """The file is back; who waits already goes on waiting."""
    (place / "users.json").rename(place / "fifo")
    (place / "away").rename(place / "users.json")


def test_threads_that_hang(place: Path) -> None:
    with serving(configured(place, users_backend(place, more="timeout = 1.0") + QUICK, AUTH)) as daemon:
        answers(place)
        hang(place)
        verdict, seconds = timed(place, "joe@example.org", "s3cret joe")
        assert verdict == "defer"
        assert 0.9 < seconds < 3
        unhang(place)  # one thread that hangs leaves room for others
        back_within(3, place, "joe@example.org", "s3cret joe")
        hang(place)
        many_hang(place, 20)
        unhang(place)
        defers(place)  # all threads hang, and none of them can be ended, as the template's README says
        (place / "fifo").write_bytes(b"")  # until what they wait for is there
        back_within(3, place, "joe@example.org", "s3cret joe")
        hang(place)
        many_hang(place, 20)
        assert not daemon.children("backend.mine")
        end = time.monotonic()
    assert time.monotonic() - end < 5, "threads that hang hold up the end"


ISOLATED = """
from saslpy import Plugin
from saslpy_example.users import Config, open_users
plugin = Plugin(Config, open_users, isolated=True)
"""


def test_the_same_store_isolated(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to let go of the file: the workers that hang are killed."""
    distribution(place, "isolated", ISOLATED, monkeypatch)
    with serving(configured(place, users_backend(place, "isolated", "timeout = 1.0") + QUICK, AUTH)) as daemon:
        answers(place)
        first = daemon.children("backend.mine")
        hang(place)
        verdict, seconds = timed(place, "joe@example.org", "s3cret joe")
        assert verdict == "defer"
        assert 0.9 < seconds < 3
        many_hang(place, 20)
        assert daemon.lines("killed")
        unhang(place)
        back_within(3, place, "joe@example.org", "s3cret joe")
        assert not set(first) & set(daemon.children("backend.mine"))


def test_a_service_that_hangs(place: Path, source: Path) -> None:
    with service(source) as web, serving(configured(place, web.backend + QUICK, AUTH)) as daemon:
        answers(place)
        first = daemon.children("backend.mine")
        web.process.send_signal(signal.SIGSTOP)  # the kernel still takes the connection
        verdict, seconds = timed(place, "joe@example.org", "s3cret joe")
        assert verdict == "defer"
        assert 0.9 < seconds < 3
        many_hang(place, 20)
        web.process.send_signal(signal.SIGCONT)
        back_within(3, place, "joe@example.org", "s3cret joe")
        assert not set(first) & set(daemon.children("backend.mine"))


# --- what cannot be loaded


def distribution(place: Path, name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more distribution beside the template's, of one module and with one type, both of this name."""
    site = place / "site"
    info = site / f"{name}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"{name}.py").write_text(module)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: saslpy-{name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[saslpy.backends]\n{name} = {name}:plugin\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((os.environ["PYTHONPATH"], str(site))))


PETS = """
from contextlib import contextmanager
from dataclasses import dataclass
from saslpy import Plugin

@dataclass(frozen=True, kw_only=True)
class Config:
    pass

class Pets:
    def lookup(self, login):
        return None

@contextmanager
def open(config):
    yield Pets()

plugin = Plugin(Config, open)
"""
LOADING = "backend.mine.type: the backend type 'pets' (saslpy-pets) cannot be loaded: "
BROKEN = {
    "imports what is missing": (
        "import petsdriver\n" + PETS,
        LOADING + "ModuleNotFoundError: No module named 'petsdriver'",
    ),
    "raises": ("raise RuntimeError('no licence')", LOADING + "RuntimeError: no licence"),
    "is no Python": ("def", LOADING + "SyntaxError: invalid syntax"),
    "has no plugin": ("", LOADING + "AttributeError: module 'pets' has no attribute 'plugin'"),
    "has another plugin": ("plugin = 5", "the entry point 'pets:plugin' of saslpy-pets is not a saslpy.backend.Plugin"),
    "has no driver": (
        PETS.replace("(Config, open)", '(Config, open, extra="dogs", driver="petsdriver")'),
        "backend.mine.type: the driver 'petsdriver' is not installed: pip install",
    ),
}


@pytest.mark.parametrize("kind", list(BROKEN))
def test_a_module_that_cannot_be_loaded(place: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    module, said = BROKEN[kind]
    distribution(place, "pets", module, monkeypatch)
    config = configured(place, '[backend.mine]\ntype = "pets"\n[backend.typo]\ntype = "exmple"\n', 'chain = ["mine"]')
    for command in ("check", "serve"):
        done = run(command, "--config", str(config))
        assert said in done.stderr
        assert "backend.typo.type: no backend type 'exmple'; did you mean 'example'?" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.returncode == 1


def test_a_driver_that_open_misses(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word of ``Plugin`` about it: told with the backend, beside those that work."""
    distribution(place, "pets", PETS.replace("yield", "import petsdriver; yield"), monkeypatch)
    config = configured(place, f'[backend.mine]\ntype = "pets"\n{QUICK}', 'chain = ["mine", "quick"]')
    done = run("check", "--config", str(config))
    assert re.search(r"^backend\.mine +failed +.*No module named 'petsdriver'", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^backend\.quick +ok", done.stdout, re.MULTILINE)
    assert "Traceback" not in done.stdout + done.stderr
    assert done.returncode == 1


def test_check_tells_of_the_templates_own(place: Path) -> None:
    config = configured(place, users_backend(place), 'chain = ["mine"]')
    done = run("check", "--offline", "--config", str(config))
    assert re.search(rf"^backend\.mine +ok +{place}/users\.json: 1 users", done.stdout, re.MULTILINE), done.stdout
    config = configured(
        place, '[backend.mine]\ntype = "example-web"\nurl = "http://example.org/"\ntokn = "x"\n', 'chain = ["mine"]'
    )
    done = run("check", "--config", str(config))
    assert "backend.mine.tokn: unknown key; did you mean 'token'?" in done.stderr
    config.write_text(config.read_text().replace('tokn = "x"', ""))
    assert "backend.mine.url: expected https://HOST/PATH" in run("check", "--config", str(config)).stderr
