"""What a shipped scenario says of itself: the comment that it opens with.

# One sentence: what is measured, and how long it takes.
#
#     dualtower bench run NAME bundle --out NAME.json
#
# What kind of result to expect.
"""

from __future__ import annotations

import itertools

from dualtower_benchmarks.scenario.scenario import scenario_path

__all__ = ["comment_of", "opening_of"]


def comment_of(name: str) -> list[str]:
    """The lines of the comment, without their "# "."""
    lines = scenario_path(name).read_text(encoding="utf-8").splitlines()
    comment = itertools.takewhile(lambda line: line.startswith("#"), lines)
    return [line.removeprefix("#").removeprefix(" ") for line in comment]


def opening_of(name: str) -> str:
    """Its first paragraph as one line."""
    return " ".join(itertools.takewhile(bool, comment_of(name)))
