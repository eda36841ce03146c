"""Whether a setting is better than the present one, beyond what repeats of the same differ by.

The rank test of Mann and Whitney (1947) at its extreme: every repeat of the one above every repeat
of the other, which has a chance of 1 in C(2n, n) where both are the same, and is asked for at a
level that holds for all settings that were tried in the last round together (Bonferroni). It takes
no shape of the noise for granted. And what is better by less than the search can tell apart is not
better.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualtower_benchmarks.numerals import number

__all__ = ["Decision", "decide", "fewest_repeats"]


@dataclass(frozen=True)
class Decision:
    """What is picked, and why.

    Args:
        picked: name of the setting.
        changed: whether it is another one than the present.
        words: a sentence.
    """

    picked: str
    changed: bool
    words: str


def fewest_repeats(challengers: int, *, confidence: float = 0.95) -> int:
    """Repeats with which a setting can be found better at all."""
    repeats = 1
    while challengers / math.comb(2 * repeats, repeats) > 1.0 - confidence:
        repeats += 1
    return repeats


def decide(
    present: str,
    limits_qps: Mapping[str, Sequence[float | None]],
    *,
    resolution: float,
    confidence: float = 0.95,
    generator_bound: bool = False,
) -> Decision:
    """Picks the best setting of the last round, or keeps the present one.

    Args:
        present: its name in `limits_qps`.
        limits_qps: the repeats of each; None where no rate held.
        resolution: of the search, a share.
        generator_bound: whether the generator, not the server, ended a search of the present
            setting, whose true limit may then be any higher one. Of another setting it does no
            harm: what it reached is still above.
    """
    found = {name: [limit or 0.0 for limit in limits] for name, limits in limits_qps.items()}
    own = found.pop(present)
    stays, own_words = "the present setting stays", _words(own)
    if not found or not max(max(limits) for limits in found.values()):
        return Decision(
            present, False, f"the present setting stays: nothing else held, {own_words}"
        )
    best = max(found, key=lambda name: statistics.median_low(found[name]))
    limits = found[best]
    compared = f"{best} {_words(limits)} against the present {own_words} in {len(own)} repeats"
    chance = len(found) / math.comb(len(limits) + len(own), len(own))
    if chance > 1.0 - confidence:
        return Decision(present, False, f"{stays}: too few repeats; {compared}")
    if generator_bound:
        why = "the generator, not the server, ended a search of the present one"
        return Decision(present, False, f"{stays}: {compared}, but {why}")
    apart = min(limits) > max(own)
    wide = statistics.median_low(limits) > statistics.median_low(own) * (1.0 + resolution)
    if apart and wide:
        return Decision(best, True, f"{compared}: every repeat above every one of the present's")
    why = (
        "less than the search tells apart" if apart else "within what repeats of the same differ by"
    )
    return Decision(present, False, f"{stays}: {compared}, {why}")


def _words(limits: Sequence[float]) -> str:
    low, high = number(min(limits)), number(max(limits))
    return f"{number(statistics.median_low(limits))}/s ({low} to {high})"
