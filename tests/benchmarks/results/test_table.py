"""Results as a table of a terminal, and what it is made by."""

from __future__ import annotations

from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.columns import aligned
from dualtower_benchmarks.scenario.groups import groups_by
from dualtower_benchmarks.scenario.subject import what
from dualtower_benchmarks.scenario.table import results_text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    rows = [("what", "n", "load"), ("a longer name", "7", "open"), ("b", "1,234", "")]
    assert aligned(rows, left=(0, 2)) == [
        "what               n  load",
        "a longer name      7  open",
        "b              1,234",
    ]
    assert aligned([("a", "b"), ("cd", "ef")]) == ["a    b", "cd  ef"]


def test_groups_keep_the_order_of_their_first() -> None:
    assert groups_by("abcaBAc", str.lower) == [["a", "a", "A"], ["b", "B"], ["c", "c"]]


def test_a_subject_in_words() -> None:
    row = Case(driver="litert", threads=1, loop="closed").subject
    assert what(row) == "litert item_tower 1 thread"
    assert what({**row, "threads": None, "variant": "int8"}) == "litert item_tower int8"
    served = {**row, "driver": "grpc", "threads": None, "batching": "bundles/b.config"}
    assert what({**served, "flags": "--x=1"}) == "grpc item_tower batching b.config --x=1"


def test_all_points_then_what_is_void_and_absent(results) -> None:
    def doctor(document: dict) -> None:
        document["absent"] *= 2
        document["machine"] |= {"cpu_model": None, "usable_cores": 2}
        document["machine"]["load_average_1_min_before"] = 0.5

    results.change(doctor)
    points = results.document["points"]
    head, *lines = results_text(results.document).splitlines()
    rows = lines[: len(points)]
    end = head.index("rows/s") + len("rows/s")
    assert all(line[end - 1].isdigit() for line in rows)
    for line, point in zip(rows, points, strict=True):
        assert line.startswith(what(point))
        assert f"{point['n']:,}" in line
        shown = sum(point[name] is None for name in ("p50_ms", "p90_ms", "p99_ms", "p99_9_ms"))
        assert line.count("–") == shown
    voids = [point for point in points if point["void"]]
    assert [line.partition(",")[0] for line in lines[len(points) : -3]] == [
        f"void: point {point['point']}" for point in voids
    ]
    assert lines[-3] == "absent: saved_model item_tower, no GPU here"
    assert lines[-2].startswith("unknown CPU, 2 cores, load before 0.5")
    assert lines[-1].startswith("the machine's own pace changed by up to ×1.50: around the cases")
