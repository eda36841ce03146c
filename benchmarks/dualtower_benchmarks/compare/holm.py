"""Many comparisons at once: of forty points without a change, two differ at 95 % by chance.

Holm's rule (1979, Scandinavian Journal of Statistics 6, 65–70) holds the chance of a single false
alarm among all of them, whatever their dependence.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["holm"]


def holm(p: Sequence[float]) -> list[float]:
    """Each p adjusted, so that it may be held against the level for all of them together."""
    adjusted, largest = [0.0] * len(p), 0.0
    for done, index in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - done) * p[index]))
        adjusted[index] = largest
    return adjusted
