"""Where names stand beside their curves: the nearest place that is free, one label after the other.

Sizes are estimates in px, since text is set by the browser; a label that finds no free place gets
the one that covers least. Lines count as covered, too.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Label", "places_of"]

_CHAR_PX, _LINE_PX = 5.6, 11.0
_MARK_PX = 4.5
_GAP_PX = 7.0
_FAR = 40.0  # px² that a label may cover rather than stand a line further off

Point = tuple[float, float]
_Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Label:
    """A text, and the points of its curve, in their order; it stands beside any of them."""

    text: str
    points: Sequence[Point]


def places_of(labels: Sequence[Label], size: Point) -> list[Point]:
    """The left middle of each label's text.

    Args:
        size: of the axes, in px; no label leaves them.
    """
    taken = [_square(point) for label in labels for point in _along(label.points)]
    places = []
    for label in labels:
        width = _CHAR_PX * len(label.text)
        boxes = [
            (step, _box(point, shift, width, size))
            for point in label.points
            for step, shift in _shifts(width)
        ]
        _, best = min(
            boxes, key=lambda one: sum(_overlap(one[1], other) for other in taken) + _FAR * one[0]
        )
        taken.append(best)
        places.append((best[0], (best[1] + best[3]) / 2))
    return places


def _along(points: Sequence[Point]) -> Iterator[Point]:
    """The points, and those of the lines between them."""
    yield from points
    for (x, y), (to_x, to_y) in itertools.pairwise(points):
        pieces = max(1, int(math.hypot(to_x - x, to_y - y) / (2 * _MARK_PX)))
        for part in range(1, pieces):
            yield x + (to_x - x) * part / pieces, y + (to_y - y) * part / pieces


def _square(point: Point) -> _Box:
    x, y = point
    return (x - _MARK_PX, y - _MARK_PX, x + _MARK_PX, y + _MARK_PX)


def _shifts(width: float) -> list[tuple[int, Point]]:
    """From a point to the left middle of a text beside it, with how many lines it is away."""
    near = [(0, (_GAP_PX, 0.0)), (0, (-_GAP_PX - width, 0.0))]
    for step in range(1, 9):
        for up in (-1, 1):
            near += [
                (step, (x, up * step * _LINE_PX)) for x in (_GAP_PX, -width / 2, -_GAP_PX - width)
            ]
    return near


def _box(point: Point, shift: Point, width: float, size: Point) -> _Box:
    left = min(max(point[0] + shift[0], 0.0), max(0.0, size[0] - width))
    middle = min(max(point[1] + shift[1], _LINE_PX / 2), size[1] - _LINE_PX / 2)
    return (left, middle - _LINE_PX / 2, left + width, middle + _LINE_PX / 2)


def _overlap(one: _Box, other: _Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, along)
