"""``python -m bench``: run the benchmark, print the tables, keep the JSON."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from . import RESULTS, mail, report, tools
from .figures import FIGURES, figures
from .rounds import Timing, measure
from .scenarios import SCENARIOS
from .stage import SASLPY, Stage

QUICK = Timing(rounds=3, seconds=0.8)
FULL = Timing(rounds=5, seconds=4.0)

EPILOG = """\
what is measured:
  {names}
  {figures}

examples:
  python -m bench --quick                      all of it, in about three minutes
  python -m bench --only mysql-md5             the scenarios whose names begin so
  python -m bench --only ready --only memory   two of the figures
  python -m bench --only mysql-sha512-64 --seconds 10 --rounds 3

saslpy and its peer run at the same time over the same users and take turns (A B A B ...); the medians of the rounds are
shown. "ratio" is saslpy's logins a second by the peer's. "crypt_r/s" is what this machine's libcrypt does with nothing
around it, and "of it" is how much of that saslpy reaches. A goal that is not reached is told as MISSED.
bench/README.md tells how to read the rest.

exit status: 0 all was measured (MISSED goals and peers that are not installed included), 1 something failed to run or
gave a wrong answer, 2 wrong usage.
"""


def main(words: list[str] | None = None) -> int:
    """The command."""
    arguments = _parser().parse_args(words)
    wanted = [scenario for scenario in SCENARIOS if _is_wanted(scenario.name, arguments.only)]
    others = [name for name in FIGURES if _is_wanted(name, arguments.only)]
    mails = [name for name in mail.NAMES if _is_wanted(name, arguments.only)]
    if not wanted and not others and not mails:
        print(f"bench: no scenario or figure begins with {' or '.join(arguments.only)}; see --help", file=sys.stderr)
        return 2
    basis = QUICK if arguments.quick else FULL
    on = report.machine()
    timing = Timing(arguments.rounds or basis.rounds, arguments.seconds or basis.seconds)
    try:
        tools.build()
    except tools.ToolError as fault:
        print(f"bench: {fault}", file=sys.stderr)
        return 1
    with Stage.built(arguments.saslpy) as stage:
        rows = measure(stage, wanted, timing, _tell)
        found = figures(stage, others, timing, _tell)
        mailed = mail.measure(stage, mails, timing, _tell)
    print(report.text(stage, rows, found, mailed))
    _keep(report.as_json(stage, rows, found, mailed, timing, on), arguments.json)
    return 1 if stage.faults else 0


def _parser() -> argparse.ArgumentParser:
    epilog = EPILOG.format(
        names="\n  ".join([*(one.name for one in SCENARIOS), *mail.NAMES]), figures="\n  ".join(FIGURES)
    )
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="saslpy and its peers side by side, on this machine, over the same users, in one run.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK.rounds} rounds of {QUICK.seconds:g} s, not {_full()}"
    )
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="what begins so; may be repeated")
    parser.add_argument("--seconds", type=_positive, help="of each round")
    parser.add_argument("--rounds", type=_count, help="of each scenario")
    parser.add_argument(
        "--saslpy", type=Path, default=SASLPY, metavar="PROGRAM", help="the one to measure [%(default)s]"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to keep all numbers [bench/results/TIME.json]")
    return parser


def _full() -> str:
    return f"{FULL.rounds} of {FULL.seconds:g} s"


def _positive(word: str) -> float:
    value = float(word)
    if not 0.05 <= value <= 600:
        raise argparse.ArgumentTypeError("from 0.05 to 600")
    return value


def _count(word: str) -> int:
    value = int(word)
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError("from 1 to 1000")
    return value


def _is_wanted(name: str, only: list[str]) -> bool:
    return not only or any(name.startswith(prefix) for prefix in only)


def _tell(what: str) -> None:
    """On stderr, so that the tables alone can be piped."""
    print(f"{time.strftime('%H:%M:%S')} {what} ...", file=sys.stderr, flush=True)


def _keep(result: dict[str, object], path: Path | None) -> None:
    path = path or RESULTS / f"{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nall numbers: {path}")


if __name__ == "__main__":
    sys.exit(main())
