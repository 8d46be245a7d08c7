"""``saslpy check --relay-test``: whether the running daemon can be made to relay a stranger's mail."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from .common import Unusable, print_json, say, table, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..relaytest.attack import Tried
    from ..settings import Settings

SHOWN = {"relayed": "RELAYED"}


def attacked(settings: Settings, number: int | None, as_json: bool) -> int:
    """0 when all was refused, 1 when something was relayed, 75 when something could not be found out."""
    from ..relaytest.attack import NotReached, attack

    try:
        tried = attack(settings, number)
    except NotReached as fault:
        tell(str(fault))
        return Unusable.status
    status = _status(tried)
    if as_json:
        print_json({"ok": status == 0, "tried": [asdict(one) for one in tried]})
    else:
        say(f"{_table(tried)}\n\n{_summary(tried)}")
    return status


def _status(tried: Sequence[Tried]) -> int:
    verdicts = {one.verdict for one in tried}
    return 1 if "relayed" in verdicts else Unusable.status if "unknown" in verdicts else 0


def _table(tried: Sequence[Tried]) -> str:
    rows = [
        [
            f"listen[{one.listen}]",
            "TLS" if one.tls else "",
            one.trick,
            one.answered,
            SHOWN.get(one.verdict, one.verdict),
        ]
        for one in tried
    ]
    return table(rows, ("socket", "", "tried", "answered", "verdict"))


def _summary(tried: Sequence[Tried]) -> str:
    places = dict.fromkeys((one.listen, one.place) for one in tried)
    lines = []
    for listen, place in places:
        verdicts = [one.verdict for one in tried if one.listen == listen]
        counts = [
            f"{count} {word}"
            for word in ("refused", "relayed", "unknown", "skipped")
            if (count := verdicts.count(word))
        ]
        lines.append(f"listen[{listen}] ({place}): {len(verdicts)} tricks: {', '.join(counts)}")
    return "\n".join(lines)
