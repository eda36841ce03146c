"""What became worse is found, what did not is not, and what cannot be compared is not compared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower_benchmarks.compare.comparison import compare as compare_sides
from dualtower_benchmarks.compare.holm import holm
from dualtower_benchmarks.compare.side import read_side
from dualtower_benchmarks.compare.text import comparison_text
from dualtower_benchmarks.pace.summary import pace_of


@pytest.fixture
def verdicts(compare):
    """The exit code and the JSON of a comparison."""

    def of(a, b, *options: str) -> tuple[int, dict[str, Any]]:
        answer = compare(a, b, "--json", *options)
        return answer.code, answer.found

    return of


def test_nothing_changed(write, verdicts) -> None:
    code, found = verdicts(write("a", seed=1), write("b", seed=2))
    assert code == 0
    assert found["verdicts"] == {
        "worse": 0, "better": 0, "within noise": 3, "noise not known": 0,
        "not comparable": 0,
    }  # fmt: skip
    assert found["tests"] == 5  # three of p99, two of rows_per_s
    for point in found["points"]:
        for effect in point["effects"]:
            assert effect["low"] <= effect["change"] <= effect["high"]
            assert effect["noise"] >= 1.0


def test_one_point_twice_as_slow_is_worse_and_the_others_are_not(write, verdicts) -> None:
    code, found = verdicts(write("a", seed=1), write("b", seed=2, slower=(1.0, 2.0, 1.0)))
    assert code == 1
    assert [point["verdict"] for point in found["points"]] == [
        "within noise", "worse", "within noise",
    ]  # fmt: skip
    p99, rate = found["points"][1]["effects"]
    assert p99["change"] == pytest.approx(2.0, rel=0.2)
    assert p99["low"] > 1.5
    assert rate["measure"] == "rows_per_s"
    assert rate["change"] == pytest.approx(0.5, rel=0.1)
    assert (p99["verdict"], rate["verdict"]) == ("worse", "worse")


def with_pace(file, slower: float = 1.0):
    """The file with a pace: around each of its points the same, `slower` times the usual."""

    def edit(document: dict[str, Any]) -> None:
        takes = [
            {"key": row["key"], "repeat": row["repeat"], "at_s": float(place),
             "compute_ms": 40.0 * slower, "copy_ms": 10.0}
            for place, row in enumerate(document["points"])
        ]  # fmt: skip
        document["pace"] = pace_of(takes)

    return file.change(edit)


@pytest.mark.parametrize(
    ("machine", "code", "verdict"),
    [(1.0, 1, "worse"), (1.3, 1, "worse"), (2.6, 0, "within noise"), (None, 1, "worse")],
)
def test_what_the_machine_itself_lost_is_no_regression(
    write, verdicts, machine: float | None, code: int, verdict: str
) -> None:
    a = with_pace(write("a", seed=1))
    b = write("b", seed=2, slower=2.0)
    b = b if machine is None else with_pace(b, machine)
    found_code, found = verdicts(a, b)
    assert (found_code, {point["verdict"] for point in found["points"]}) == (code, {verdict})
    for point in found["points"]:
        said = [note for note in point["notes"] if "the machine itself" in note]
        assert len(said) == (machine not in (None, 1.0)), point["notes"]
        for effect in point["effects"]:
            assert effect["margin"] >= (machine or 1.0)
    # the other way round it is no improvement either
    _, back = verdicts(b, a)
    expected = {"worse": "better"}.get(verdict, verdict)
    assert {point["verdict"] for point in back["points"]} == {expected}


def test_a_faster_machine_hides_no_failures(write, verdicts) -> None:
    a = with_pace(write("a", seed=1), 3.0)
    code, found = verdicts(a, with_pace(write("b", seed=2, failing=0.05)))
    assert code == 1
    assert found["verdicts"]["worse"] == 3


def test_all_faster_is_better(write, verdicts) -> None:
    code, found = verdicts(write("a", seed=1, slower=2.0), write("b", seed=2))
    assert code == 0
    assert found["verdicts"]["better"] == 3


def test_a_difference_below_the_threshold_is_none(write, verdicts) -> None:
    a, b = write("a", seed=1, spread=0.0), write("b", seed=2, slower=1.3, spread=0.0)
    assert verdicts(a, b, "--percentile", "p50")[0] == 1
    assert verdicts(a, b, "--percentile", "p50", "--threshold", "0.5")[0] == 0


def test_a_difference_within_the_noise_of_repeats_is_none(write, verdicts) -> None:
    a = write("a", seed=1, spread=0.5, repeats=3)
    b = write("b", seed=2, spread=0.5, repeats=3, slower=1.3)
    code, found = verdicts(a, b, "--percentile", "p50")
    assert code == 0
    assert found["verdicts"]["within noise"] == 3
    assert min(one["noise"] for point in found["points"] for one in point["effects"]) > 1.3


def test_one_repeat_has_no_noise_and_says_so(write, verdicts, compare) -> None:
    a, b = write("a", seed=1, repeats=1), write("b", seed=2, repeats=1, slower=2.0)
    code, found = verdicts(a, b)
    assert code == 1
    assert "noise is not known" in found["warnings"][0]
    assert found["points"][0]["effects"][0]["noise"] is None
    assert "unknown" in compare(a, b).out


def test_failures_are_worse_even_if_what_is_answered_is_not_slower(write, verdicts) -> None:
    code, found = verdicts(write("a", seed=1), write("b", seed=2, failing=0.05))
    assert code == 1
    assert found["verdicts"]["worse"] == 3
    failed = found["points"][0]["effects"][-1]
    assert failed["measure"] == "failed_share"
    assert failed["change"] == pytest.approx(0.05, abs=0.02)


def test_too_few_samples_for_a_percentile_fall_back_and_say_so(write, verdicts) -> None:
    a, b = write("a", seed=1), write("b", seed=2)
    _, found = verdicts(a, b, "--percentile", "p99.9")
    point = found["points"][2]
    assert [one["measure"] for one in point["effects"]] == ["p99_ms"]
    assert point["notes"] == ["too few samples for p99.9, p99 instead"]


def test_machines_that_differ_are_not_compared_unless_asked(write, verdicts, compare) -> None:
    a = write("a", seed=1)
    b = write("b", seed=2).change(
        lambda d: d["machine"].update(cpu_model="Another CPU", usable_cores=4)
    )
    result = compare(a, b)
    assert result.code == 2
    assert "MACHINES DIFFER: cpu model: Some CPU → Another CPU" in result.out
    assert "MACHINES DIFFER: usable cores: 8 → 4" in result.out
    assert "3 of 3" not in result.out
    code, found = verdicts(a, b, "--across", "machine")
    assert code == 0
    assert found["verdicts"]["within noise"] == 3
    assert [one["fact"] for one in found["machine_differences"]] == ["cpu_model", "usable_cores"]


def test_software_that_differs_is_told_and_compared(write, compare) -> None:
    b = write("b", seed=2).change(
        lambda d: d["machine"].update(package_versions={"tensorflow": "2.22.0"})
    )
    result = compare(write("a", seed=1), b)
    assert result.code == 0
    assert "software: tensorflow: 2.21.0 → 2.22.0" in result.out


def test_another_bundle_is_not_compared_unless_asked(write, compare) -> None:
    a = write("a", seed=1)
    b = write("b", seed=2).change(lambda d: d["bundle"].update(fingerprint="f" * 64))
    result = compare(a, b)
    assert result.code == 2
    assert "other bundle: 0123456789ab → ffffffffffff" in result.out
    assert compare(a, b, "--across", "bundle").code == 0


def test_two_devices_mixed_up_are_not_compared(write, verdicts) -> None:
    """B ran on a GPU where A ran on the CPU: a hundred times faster, and no finding."""
    a = write("a", seed=1)
    b = write("b", seed=2, slower=(0.01, 1.0, 1.0))

    def mixed_up(document: dict[str, Any]) -> None:
        for row in document["points"]:
            if row["key"] == document["points"][0]["key"]:
                row["device_found"] = "GPU"

    code, found = verdicts(a, b.change(mixed_up))
    assert code == 0
    first = found["points"][0]
    assert (first["verdict"], first["effects"]) == ("not comparable", [])
    assert first["reasons"] == ["other device: CPU → GPU"]
    assert found["verdicts"]["within noise"] == 2


def test_a_void_point_is_not_compared(write, verdicts) -> None:
    a = write("a", seed=1)

    def void(document: dict[str, Any]) -> None:
        for row in document["points"]:
            if row["loop"] == "open":
                row["void"] = "the generator's p99 lag was 9 ms"

    code, found = verdicts(a, write("b", seed=2).change(void))
    assert code == 0
    assert found["points"][2]["verdict"] == "not comparable"
    assert found["points"][2]["reasons"] == ["void in B: the generator's p99 lag was 9 ms"]


def test_points_of_one_file_alone_are_named(write, verdicts, compare) -> None:
    a = write("a", seed=1)
    b = write("b", seed=2, without=1)
    code, found = verdicts(a, b)
    assert code == 0
    assert found["only_a"] == [a.document["points"][0]["key"]]
    assert found["only_b"] == []
    assert "only in A: SavedModel item_tower, batch 1, closed, 1 client" in compare(a, b).out


def test_markdown_is_a_table_with_the_regression_on_top(write, compare) -> None:
    result = compare(write("a", seed=1), write("b", seed=2, slower=(1.0, 2.0, 1.0)), "--markdown")
    assert result.code == 1
    lines = result.out.splitlines()
    assert lines[0] == "### drawn: 1 worse"
    table = [line for line in lines if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1
    assert table[2].startswith("| **worse** | SavedModel item_tower | 16 | closed, 1 client | p99")
    assert "<details><summary>within noise (3)</summary>" in result.out


def test_within_noise_is_grey_on_a_terminal(write) -> None:
    a, b = write("a", seed=1), write("b", seed=2, slower=(1.0, 2.0, 1.0))
    text = comparison_text(compare_sides(read_side(a.path), read_side(b.path)))
    grey, red = "\x1b[90m", "\x1b[31m"
    rows = [line for line in text.splitlines() if "item_tower" in line]
    assert [line[:5] for line in rows] == [red, red, grey, grey, grey]


def test_false_alarms_are_rare(write, verdicts) -> None:
    """Eight pairs without a change, no threshold, and a noise that nobody knows."""
    alarms = 0
    for seed in range(8):
        a, b = (write(name, seed=10 * seed + n, repeats=1, spread=0.0, without=2)
                for n, name in enumerate("ab"))  # fmt: skip
        alarms += verdicts(a, b, "--threshold", "0")[0]
    assert alarms <= 1


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_is_its_definition(p: list[float]) -> None:
    """Step down: the k-th smallest is rejected while each up to it is within level / (m − k)."""
    adjusted = holm(p)
    for level in (0.01, 0.05, 0.3):
        rejected, order = set(), sorted(range(len(p)), key=lambda i: p[i])
        for place, index in enumerate(order):
            if (len(p) - place) * p[index] > level:
                break
            rejected.add(index)
        assert {i for i, value in enumerate(adjusted) if value <= level} == rejected
