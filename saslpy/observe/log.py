"""Log lines: ``event`` and fields, as logfmt or JSON. One line an event, stable keys, no secrets.

logfmt: ``time=2026-11-24T05:00:00.123Z level=info event=ready listen=/run/saslauthd/mux``. A value with a blank, a quote,
an ``=`` or anything unprintable is written as a JSON string, so that no value can forge a key or a line. Both forms are
ASCII. A line that would be too long gets shorter values: it is never cut itself, which would leave half a value.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections.abc import Callable
from typing import Any, Literal

from ..texts import first_of
from .sink import MAX_LINE, Sink

Level = Literal["debug", "info", "warning", "error"]
LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_PLAIN = re.compile(r"[!#-<>-\[\]-~]*\Z")  # printable ASCII without blank, quote, = and backslash

PRIORITIES: dict[str, str] = {"debug": "<7>", "info": "<6>", "warning": "<4>", "error": "<3>"}
"""How the journal is told of a line's level (sd-daemon(3)); it takes this off."""

Format = Literal["logfmt", "json"]

SHORTER = (1024, 512, 256, 128, 64, 32, 16)
"""Characters that are left of every longer value, in turn until the line fits. A character may take twelve bytes."""


class Log:
    """Writes events to a sink. ``log.info("ready", listen="/run/saslauthd/mux")``."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        sink: Sink,
        form: Format = "logfmt",
        level: Level = "info",
        audits: bool = True,
        clock: Callable[[], float] = time.time,
        journal: bool = False,
    ) -> None:
        self.sink = sink
        self.form = form
        self._audits = audits
        self._encode = logfmt if form == "logfmt" else json_line
        self._level = LEVELS[level]
        self._clock = clock
        self._marks = PRIORITIES if journal else dict.fromkeys(PRIORITIES, "")

    def debug(self, event: str, /, **fields: Any) -> None:
        """Of interest while something is looked for."""
        self._event("debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Part of ordinary life."""
        self._event("info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Somebody should look at this one day."""
        self._event("warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Something does not work."""
        self._event("error", event, fields)

    def fault(self, error: BaseException, /, **fields: Any) -> None:
        """A fault of ours, told with its place and its type, but without any value: a message could show data."""
        error = first_of(error)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{place.filename.rpartition('/')[2]}:{place.lineno} {place.name}"
        self._event("error", "internal-error", {**fields, "where": where, "detail": type(error).__name__})

    def audit(self, fields: dict[str, Any]) -> None:
        """One login attempt: written whatever the level, unless audit lines are off altogether."""
        if self._audits:
            self._write("info", "login", fields)

    def audit_line(self, text: str) -> None:
        """The same, of one that is logfmt already, plain, and short enough."""
        if self._audits:
            self._tell_of_lost()
            self.sink.write(f"{self._marks['info']}time={timestamp(self._clock())} level=info event=login {text}")

    def _event(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        if LEVELS[level] >= self._level:
            self._write(level, event, fields)

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self._tell_of_lost()
        self.sink.write(self._line(level, event, fields))

    def _tell_of_lost(self) -> None:
        if self.sink.dropped and (lost := self.sink.take_dropped()):
            # if this line is lost too, what it tells is not
            self.sink.write(self._line("error", "log-lines-lost", {"lines": lost}), lost)

    def _line(self, level: str, event: str, fields: dict[str, Any]) -> str:
        mark = self._marks[level]
        whole = {"time": timestamp(self._clock()), "level": level, "event": event, **fields}
        return mark + self._fitting(whole, MAX_LINE - len(mark))

    def _fitting(self, whole: dict[str, Any], room: int) -> str:
        """The fields in one line of fewer characters than there is room for."""
        line = self._encode(whole)
        for most in SHORTER:
            if len(line) < room:
                return line
            line = self._encode({key: _shortened(value, most) for key, value in whole.items()})
        if len(line) < room:
            return line
        return self._encode({key: whole[key] for key in ("time", "level", "event")} | {"detail": "too long"})


def plain(text: str) -> bool:
    """Whether a value needs no quotes in logfmt."""
    return _PLAIN.match(text) is not None


def logfmt(fields: dict[str, Any]) -> str:
    """``key=value key="a value"``; an empty value is ``-``."""
    texts = [value if type(value) is str else _text(value) for value in fields.values()]
    if not _PLAIN.match("".join(texts)):  # one look at all of them: most lines need no quotes
        texts = [text if _PLAIN.match(text) else json.dumps(text) for text in texts]
    return " ".join([f"{key}={text or '-'}" for key, text in zip(fields, texts, strict=True)])


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def _shortened(value: Any, most: int) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = str(value)
    return text if len(text) <= most else text[:most] + "..."


def json_line(fields: dict[str, Any]) -> str:
    """One JSON object; floats with one decimal."""
    return json.dumps({key: round(v, 1) if isinstance(v, float) else v for key, v in fields.items()}, default=str)


_second: tuple[int, str] = (0, "")


def timestamp(now: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    global _second  # noqa: PLW0603 (strftime of the second is kept: it is half the cost of a line)
    whole = int(now)
    if _second[0] != whole:
        _second = (whole, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)))
    return f"{_second[1]}.{int((now - whole) * 1000):03d}Z"


class Bridge(logging.Handler):
    """Lines of libraries that use the standard ``logging``, as events of ours."""

    def __init__(self, log: Log) -> None:
        super().__init__(level=logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """A library's record. Its message is the library's: no traceback, whose lines could show data."""
        level: Level = "error" if record.levelno >= logging.ERROR else "warning"
        getattr(self._log, level)("library", logger=record.name, message=record.getMessage())
