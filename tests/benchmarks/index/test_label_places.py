"""Names beside curves: inside the axes, beside their own, and over nothing where that can be."""

from __future__ import annotations

import itertools

from dualtower_benchmarks.report.scenario.label_places import Label, places_of

SIZE = (280.0, 300.0)


def box(label: Label, place: tuple[float, float]) -> tuple[float, float, float, float]:
    return (place[0], place[1] - 5.5, place[0] + 5.6 * len(label.text), place[1] + 5.5)


def covers(one, other) -> bool:
    across = min(one[2], other[2]) - max(one[0], other[0])
    along = min(one[3], other[3]) - max(one[1], other[1])
    return across > 1e-6 and along > 1e-6


def test_labels_of_a_crowd_do_not_cover_each_other() -> None:
    labels = [Label(f"engine {n}", [(100.0 + 6 * n, 250.0)]) for n in range(6)]
    boxes = [box(*pair) for pair in zip(labels, places_of(labels, SIZE), strict=True)]
    assert not any(covers(one, other) for one, other in itertools.combinations(boxes, 2))
    for left, bottom, right, top in boxes:
        assert left >= 0
        assert bottom >= 0
        assert right <= SIZE[0]
        assert top <= SIZE[1]


def test_a_label_leaves_lines_free() -> None:
    across = Label("across", [(20.0, 150.0), (260.0, 150.0)])
    up = Label("up", [(150.0, 20.0), (150.0, 280.0)])
    for label, place in zip((across, up), places_of([across, up], SIZE), strict=True):
        mine = box(label, place)
        for line in ((20.0, 149.0, 260.0, 151.0), (149.0, 20.0, 151.0, 280.0)):
            assert not covers(mine, line)


def test_a_lone_label_stands_right_of_its_point() -> None:
    (place,) = places_of([Label("alone", [(50.0, 60.0)])], SIZE)
    assert place == (57.0, 60.0)
