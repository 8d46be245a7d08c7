"""``[submission]`` and ``[relay]`` as they are read, with the faults of what does not go together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..config import Reader
from ..listen import Listen
from ..listeners.submission import SubmissionListen
from ..relay import routes
from ..relay.options import Relay
from .options import Submission

Numbered = tuple[int, SubmissionListen]


def sections(
    reader: Reader, table: dict[str, Any], listeners: Sequence[Listen | None]
) -> tuple[Submission | None, Relay | None]:
    """Both, each None where it is not written, or has faults, which are noted. A submission socket has the first always.

    ``table`` is the whole file, ``listeners`` those of its ``[[listen]]``, None for one with faults.
    """
    found = [(number, listen) for number, listen in enumerate(listeners) if isinstance(listen, SubmissionListen)]
    written = table.get("submission", {} if found else None)
    submission = None if written is None else reader.section(Submission, written, "submission")
    relay = None if "relay" not in table else reader.section(Relay, table["relay"], "relay")
    for path, fault in _faults(found, submission, relay, "relay" in table):
        reader.fault(path, fault)
    return submission, relay


def _faults(
    found: Sequence[Numbered], submission: Submission | None, relay: Relay | None, written: bool
) -> Iterator[tuple[str, str]]:
    if relay is not None:
        for key, fault in routes.faults(relay.route):
            yield f"relay.{key}", fault
    if found and not written:
        yield "relay.route", f"is required: listen[{found[0][0]}] takes mail, and nothing says where it goes"
    if submission is not None:
        yield from _tls_faults(found, submission)


def _tls_faults(found: Iterable[Numbered], submission: Submission) -> Iterator[tuple[str, str]]:
    wanting = [number for number, listen in found if listen.implicit or submission.require_tls]
    if wanting and not submission.tls:
        yield "submission.tls.certificate", f"is required: listen[{wanting[0]}] wants TLS"
    for number, listen in found:
        if "EXTERNAL" in listen.mechanisms and submission.tls.client_ca is None:
            position = listen.mechanisms.index("EXTERNAL")
            yield f"listen[{number}].mechanisms[{position}]", "EXTERNAL needs [submission.tls] client_ca"
