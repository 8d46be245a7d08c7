"""From TOML to frozen dataclasses, with every fault told by its path.

A dataclass declares a section: field name = key, annotation = type, default = default, and a ``ValueError`` from
``__post_init__`` is a rule across fields (a message that begins with ``field:`` names the field). Nested dataclasses,
tuples of them and dicts of them are sections within sections; ``Path`` fields are taken relative to the folder of the
configuration file. Everything else is converted by msgspec.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


class ConfigError(ValueError):
    """The configuration has faults: ``faults`` holds one line for each, every line with its path."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class Reader:
    """Turns tables into dataclasses and gathers the faults instead of stopping at the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[str] = []

    def fault(self, path: str, message: str) -> None:
        """Note a fault at a path such as ``listen[1].protocol``."""
        self.faults.append(f"{path}: {message}" if path else message)

    def check(self) -> None:
        """Raise ``ConfigError`` if there are faults."""
        if self.faults:
            raise ConfigError(self.faults)

    def section(self, kind: type[T], table: object, path: str) -> T | None:
        """A dataclass from a table; None when it has faults, which are noted."""
        if not isinstance(table, dict):
            self.fault(path, f"expected a table, got {_kind_of(table)}")
            return None
        before = len(self.faults)
        values = {
            name: self._field(hint, table[name], _join(path, name)) for name, hint in self._known(kind, table, path)
        }
        if len(self.faults) > before:
            return None
        return self._built(kind, values, path)

    def _known(self, kind: type[Any], table: Mapping[str, object], path: str) -> Iterator[tuple[str, Any]]:
        """The keys of the table that the dataclass has, with their types; other keys and missing ones are faults."""
        hints = hints_of(kind)
        for key in table:
            if key in hints:
                yield key, hints[key]
            else:
                self.fault(_join(path, key), f"unknown key{guess(key, hints)}")
        for field in dataclasses.fields(kind):
            required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            if required and field.init and field.name not in table:
                self.fault(_join(path, field.name), "is required")

    def _built(self, kind: type[T], values: dict[str, Any], path: str) -> T | None:
        try:
            return kind(**values)
        except ValueError as error:
            named = re.match(r"([a-z_][a-z0-9_]*(?:[.\[][^:]*)?): (.*)", str(error), re.DOTALL)
            if named and re.split(r"[.\[]", named[1])[0] in hints_of(kind):
                self.fault(_join(path, named[1]), named[2])
            else:
                self.fault(path, str(error))
            return None

    def _field(self, hint: Any, value: object, path: str) -> Any:
        special = self._nested(hint, value, path)
        return special() if special else self._plain(hint, value, path)

    def _nested(self, hint: Any, value: object, path: str) -> Callable[[], Any] | None:
        """How to read a hint that msgspec would not read our way, None for the others."""
        for option in _options(hint):
            if option is Path and isinstance(value, str):
                return lambda: self._path(value, path)
            if dataclasses.is_dataclass(option) and isinstance(option, type):
                return lambda option=option: self.section(option, value, path)  # type: ignore[misc]
            inside = _inside(option)
            if inside is not None and isinstance(value, list):
                return lambda inside=inside: tuple(  # type: ignore[misc]
                    self._field(inside, item, f"{path}[{number}]") for number, item in enumerate(value)
                )
        return None

    def _path(self, value: str, path: str) -> Path:
        if not value or "\0" in value:
            self.fault(path, "expected a path, got an empty one")
        try:
            return self.folder / Path(value).expanduser()
        except RuntimeError:
            self.fault(path, f"{value.partition('/')[0]} is nobody's home")
            return self.folder

    def _plain(self, hint: Any, value: object, path: str) -> Any:
        try:
            return msgspec.convert(value, hint)
        except msgspec.ValidationError as error:
            self.fault(*_told(str(error), hint, value, path))
        except TypeError:
            self.fault(path, f"cannot be read from TOML (its type is {hint})")
        return None


def _options(hint: Any) -> tuple[Any, ...]:
    """The members of a union, or the hint alone."""
    return (
        typing.get_args(hint)
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
        else (hint,)
    )


def _inside(hint: Any) -> Any:
    """The item type of ``tuple[X, ...]`` where X is a section or a path."""
    if typing.get_origin(hint) is tuple and len(args := typing.get_args(hint)) == 2 and args[1] is Ellipsis:
        item = args[0]
        if item is Path or dataclasses.is_dataclass(item):
            return item
    return None


def _told(message: str, hint: Any, value: object, path: str) -> tuple[str, str]:
    """A message of msgspec with our path, and with the choices where there are some."""
    text, _, inner = message.partition(" - at `$")
    path += inner.rstrip("`")
    choices = [
        arg
        for option in _options(hint)
        if typing.get_origin(option) is typing.Literal
        for arg in typing.get_args(option)
        if arg != ""  # "nothing is said": allowed, and no choice to name
    ]
    if choices:
        near = difflib.get_close_matches(value, [str(c) for c in choices], 1) if isinstance(value, str) else []
        hint_text = f"; did you mean {near[0]!r}?" if near else ""
        return path, f"expected one of {', '.join(map(str, choices))}, got {value!r}{hint_text}"
    return path, (text[:1].lower() + text[1:]).replace("`", "")


def hints_of(kind: type[Any]) -> dict[str, Any]:
    """The fields of a dataclass that a table may set, with their types."""
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def check_number(key: str, value: float, least: float, most: float, *, above: bool = False) -> None:
    """Raise ``ValueError`` unless a number is in its range, which infinity and NaN never are.

    With ``above``, ``least`` itself is too little.
    """
    if above and not least < value <= most:
        raise ValueError(f"{key}: must be above {least} and at most {most}")
    if not least <= value <= most:
        raise ValueError(f"{key}: must be from {least} to {most}")


def guess(key: str, known: Mapping[str, object] | list[str]) -> str:
    """``; did you mean 'hosts'?``, or what there is, or nothing."""
    near = difflib.get_close_matches(key, list(known), 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; known are {', '.join(known)}" if 0 < len(known) <= 12 else ""


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _kind_of(value: object) -> str:
    return {list: "an array", str: "a string", bool: "a boolean"}.get(type(value), type(value).__name__)
