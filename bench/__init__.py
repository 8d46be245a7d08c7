"""The side-by-side benchmark: saslpy and its peers on one machine, over one store, in one run.

``python -m bench --help`` tells how to run it, ``README.md`` how to read it. The way through the code: ``__main__`` (the
options) → ``scenarios`` (what is measured) → ``rounds`` (A B A B …) → ``peers`` (the daemons) and ``tools`` (the load
generator in C); ``figures`` are the start-up times and memory, ``report`` is the table.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
"""Git-ignored: compiled tools, cached hashes, and a JSON file for each run."""

PASSWORD = "right-password"
"""Of every user of the bench."""
