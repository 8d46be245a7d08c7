"""Completion: bash is asked what it offers; the file for zsh is compared with the parser, and zsh takes it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from saslpy.cli.parser import parser
from saslpy.mechanism_names import MECHANISMS
from saslpy.passwords import SCHEMES

from ..real import need
from .test_manual import commands

FOLDER = Path(__file__).parents[2] / "contrib" / "completion"
BASH = FOLDER / "saslpy.bash"
ZSH = FOLDER / "_saslpy"

# what bash does at a TAB behind its arguments: the words are split at blanks and at "="
ASK = r"""
source "$1"
shift
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
compopt() { echo "$2"; }
_saslpy
printf '%s\n' "${COMPREPLY[@]}"
"""
COMMANDS = list(commands(parser()))
TRIED = {name for name in MECHANISMS if not name.endswith("-PLUS")}


def complete(*words: str, folder: Path | None = None) -> set[str]:
    """What bash offers for the last of the words."""
    done = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", BASH, "saslpy", *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "HOME": str(folder)},
    )
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("se", {"serve"}),
        ("", {"serve", "check", "test", "user", "hash", "status", "reload", "init"}),
        ("user ", {"add", "passwd", "delete", "list", "show"}),
        ("user pa", {"passwd"}),
        ("--v", {"--version"}),
        ("serve --c", {"--config"}),
        ("serve ", set()),
        ("--config x se", {"serve"}),
        ("--config = x user d", {"delete"}),
        ("test --mechanism ", TRIED),
        ("test --mechanism = L", {"LOGIN"}),
        ("test --mechanism =", TRIED),
        ("test --realm ", set()),
        ("check --listen ", set()),
        ("test serve ", set()),
        ("hash --scheme SCRAM", {"SCRAM-SHA-256", "SCRAM-SHA-1"}),
        ("init --user roo", {"root"}),
        ("init --submission --smarthost-login joe --sm", {"--smarthost", "--smarthost-login"}),
        ("init --smarthost ", set()),
        ("nonsense --", set()),
    ],
)
def test_bash(line: str, offered: set[str]) -> None:
    assert complete(*line.split(" ")) == offered


@pytest.mark.parametrize(("name", "command"), COMMANDS)
def test_every_option(name: str, command: object) -> None:
    options = {option for option in vars(command)["_option_string_actions"] if option.startswith("--")}
    assert complete(*name.split(), "--") == options
    text = ZSH.read_text()
    for option in options:
        assert re.search(rf"['\"{{,]{option}(?:=?\[|}})", text), option
    assert name.split()[-1] in text


def test_files_folders_and_backends(tmp_path: Path) -> None:
    (tmp_path / "a file.toml").write_text(
        '[auth]\nchain = ["local"]\n[backend.local]\ntype = "sqlite"\n  [backend.virtual.account]\n'
        '[backend.virtual]  # two\n# [backend.old]\n[[listen]]\npath = "[backend.no]"\n'
    )
    assert (
        complete("serve", "--config", "")
        == complete("--config", "=", "x")
        == complete("test", "--via", "")
        == {"default"}
    )
    assert complete("init", "") == {"dirnames"}
    for config in (["--config", "a file.toml"], ["--config", "=", "a file.toml"], ["--config", "~/a file.toml"]):
        assert complete("user", "list", *config, "--backend", "", folder=tmp_path) == {"local", "virtual"}
    assert complete("user", "list", "--config", "missing", "--backend", "", folder=tmp_path) == set()


def test_schemes() -> None:
    assert complete("hash", "--scheme", "") == set(SCHEMES)
    found = re.search(r"scheme:\(([^)]*)\)", ZSH.read_text())
    assert found is not None
    assert found[1].split() == list(SCHEMES)


@pytest.mark.real
def test_zsh_takes_the_file() -> None:
    subprocess.run([need("zsh", package="zsh"), "-f", "-n", ZSH], check=True, timeout=10)
