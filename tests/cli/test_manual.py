"""The manual pages against the code: every command, option and key is there, with its default and its choices."""

from __future__ import annotations

import argparse
import dataclasses
import re
import subprocess
import types
import typing
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from saslpy.backend import GROUP
from saslpy.cli.parser import parser
from saslpy.config import hints_of
from saslpy.listen import Listen
from saslpy.listeners import PROTOCOLS
from saslpy.relay.options import Relay
from saslpy.settings import SECTIONS, BackendOptions, Settings
from saslpy.submission.options import Submission
from saslpy_static import User

from ..real import need

FOLDER = Path(__file__).parents[2] / "contrib" / "man"
COMMANDS = FOLDER / "saslpy.1"
KEYS = FOLDER / "saslpy.toml.5"

KEY = re.compile(r"\.It Ic (\w+) = Ar [a-z]+(?: Pq (.*))?")


def parts(page: Path) -> dict[str, str]:
    """Heading to text, as it is written."""
    pieces = re.split(r"^\.S[hs] (.*)\n", page.read_text(), flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def commands(
    command: argparse.ArgumentParser, name: tuple[str, ...] = ()
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, by its words: "user add"."""
    groups = [action for action in command._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield " ".join(name), command
    for group in groups:
        for word, inner in group.choices.items():
            yield from commands(inner, (*name, word))


@pytest.mark.parametrize(("name", "command"), list(commands(parser())))
def test_every_command_with_its_options(name: str, command: argparse.ArgumentParser) -> None:
    described, own = parts(COMMANDS)["DESCRIPTION"], parts(COMMANDS)[name]
    known: set[str] = set()
    for action in command._actions:
        if action.option_strings:
            option = action.option_strings[-1]
            everywhere = option in ("--help", "--config")
            pattern = rf"^\.It (?:Fl h , )?Fl {option.removeprefix('-')}(?: Ar [a-z]+)?$"
            assert re.search(pattern, described if everywhere else own, re.MULTILINE), option
            known.add(option)
        else:
            assert action.metavar
            assert f".It Ar {str(action.metavar).lower()}\n" in own
        for choice in action.choices or ():
            assert f".Li {choice}" in own, choice
    assert {f"-{option}" for option in re.findall(r"^\.It Fl (\S+)", own, re.MULTILINE)} <= known


def sections() -> Iterator[tuple[str, type[Any]]]:
    """Heading and dataclass of every part of the configuration, those of all installed backends too."""
    # those that are not loaded where a file has none
    hints = typing.get_type_hints(Settings, localns={"Submission": Submission, "Relay": Relay})
    for name in SECTIONS:
        if name == "backend":
            yield from nested("[backend.NAME]", BackendOptions)
        else:
            yield from headed(name, hints[name])
    for listen in dict.fromkeys(PROTOCOLS.values()):
        protocols = '" or "'.join(name for name, kind in PROTOCOLS.items() if kind is listen)
        yield from nested(f'[[listen]] with protocol = "{protocols}"', listen)
    for point in entry_points(group=GROUP):
        yield from nested(f'[backend.NAME] with type = "{point.name}"', point.load().config)
    yield '[backend.NAME.users.LOGIN] with type = "static"', User


def headed(path: str, hint: Any) -> Iterator[tuple[str, type[Any]]]:
    if isinstance(hint, types.UnionType):  # a section that may be missing
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) is tuple:
        yield from nested(f"[[{path}]]", typing.get_args(hint)[0])
    else:
        yield from nested(f"[{path}]", hint)


def nested(heading: str, kind: type[Any]) -> Iterator[tuple[str, type[Any]]]:
    yield heading, kind
    path, _, rest = heading.strip("[").partition("]")
    for key, hint in hints_of(kind).items():
        if is_section(hint):
            for inner, inner_kind in headed(f"{path}.{key}", hint):
                yield inner + rest.strip("]"), inner_kind


def is_section(hint: Any) -> bool:
    items = typing.get_args(hint) if typing.get_origin(hint) is tuple else (hint,)
    return any(dataclasses.is_dataclass(item) for item in items)


def own_fields(kind: type[Any]) -> list[dataclasses.Field[Any]]:
    """The fields of a section. Of a listener's those that are not told in [[listen]], or have another default here."""
    fields = list(dataclasses.fields(kind))
    if not issubclass(kind, Listen) or kind is Listen:
        return fields
    told = {field.name: field.default for field in dataclasses.fields(Listen)}
    return [field for field in fields if field.name not in told or field.default != told[field.name]]


def default_of(field: dataclasses.Field[Any]) -> str | None:
    """A default as the page shows it, None for a required key."""
    if field.default_factory is not dataclasses.MISSING:
        return toml(field.default_factory())
    return None if field.default is dataclasses.MISSING else toml(field.default)


def toml(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, str | Path):
        return f'"{value}"'
    return str(value)


def choices_of(hint: Any) -> Iterator[str]:
    if typing.get_origin(hint) is typing.Literal:
        yield from (choice for choice in typing.get_args(hint) if choice)
    else:
        for inner in typing.get_args(hint):
            yield from choices_of(inner)


@pytest.mark.parametrize(("heading", "kind"), list(sections()))
def test_every_key_with_its_default(heading: str, kind: type[Any]) -> None:
    described = parts(KEYS).get(heading)
    assert described is not None, f"saslpy.toml.5 has no part {heading}"
    written = {match[1]: match[2] and match[2].replace(r"\(dq", '"') for match in KEY.finditer(described)}
    hints = hints_of(kind)
    fields = [field for field in own_fields(kind) if field.name in hints and not is_section(hints[field.name])]
    assert written == {field.name: default_of(field) for field in fields}
    for field in fields:
        text = described.partition(f".It Ic {field.name} =")[2].partition("\n.It ")[0]
        for choice in choices_of(hints[field.name]):
            assert re.search(rf"^(?:\.Li )?{choice}\b", text, re.MULTILINE), f"{field.name}: {choice}"


def test_no_part_too_many() -> None:
    known = {heading for heading, _ in sections()}
    assert {heading for heading in parts(KEYS) if heading.startswith("[")} == known


@pytest.mark.real
@pytest.mark.parametrize("page", sorted(FOLDER.iterdir()), ids=lambda page: page.name)
def test_the_pages_are_clean(page: Path) -> None:
    checks = (
        [need("mandoc", package="mandoc"), "-T", "lint", "-W", "warning", str(page)],
        [need("man", package="man-db"), "--warnings", "-E", "UTF-8", "-l", str(page)],
    )
    for command in checks:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
