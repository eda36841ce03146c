"""Scenario files with mistakes: each is named with its place, and with what was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower.bundle import Bundle
from dualtower.errors import ConfigError, UsageError
from dualtower_benchmarks.scenario.all_variants import of_bundle
from dualtower_benchmarks.scenario.corners import corners
from dualtower_benchmarks.scenario.scenario import read_scenario


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def test_sweeps_are_products_without_doubles(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        [[sweep]]
        loop = "closed"
        batch_rows = [1, 4]
        concurrency = [1, 2]
        [[sweep]]
        loop = "closed"
        batch_rows = 4
        concurrency = [2, 8]
        """,
    )
    found = [(case.batch_rows, case.concurrency) for case in read_scenario(path).cases]
    assert found == [(1, 1), (1, 2), (4, 1), (4, 2), (4, 8)]
    changed = read_scenario(path, overrides=["sweep.batch_rows=2", "scenario.repeats=3"])
    assert {case.batch_rows for case in changed.cases} == {2}
    assert changed.settings.repeats == 3


def test_corners_are_ends_of_numbers_and_whole_lists_of_words() -> None:
    sweep = {"batch_rows": [4, 64, 1], "driver": ["grpc", "rest", "litert"], "xla": [True, False]}
    found = corners({**sweep, "measured_s": [8.0, 0.6], "warmup_s": 2, "threads": 3})
    assert found == {
        "batch_rows": [1, 64], "driver": ["grpc", "rest", "litert"], "xla": [True, False],
        "threads": 3, "measured_s": 0.3, "warmup_s": 0.15,
    }  # fmt: skip
    assert corners({})["measured_s"] == 0.5


def test_all_variants_are_those_that_ship(tmp_path: Path) -> None:
    entries = [
        {"tower": "item_tower", "variant": "float32", "file": "a", "verdict": "ship"},
        {"tower": "item_tower", "variant": "int8", "file": "b", "verdict": "do not ship"},
        {"tower": "item_tower", "variant": "any", "file": "c", "item_tokens": 0},
        {"tower": "user_tower", "variant": "float16", "file": "d"},
    ]
    bundle = Bundle(tmp_path, {"variants": entries})
    text = """
        [[sweep]]
        driver = "litert"
        loop = "closed"
        model = ["item_tower", "user_tower", "recommender"]
        variant = ["all", "float32"]
        """
    found = of_bundle(read_scenario(written(tmp_path, text)), bundle)
    assert [(case.model, case.variant) for case in found.cases] == [
        ("item_tower", "float32"), ("user_tower", "float16"), ("user_tower", "float32"),
        ("recommender", "all"), ("recommender", "float32"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="one of litert"):
        read_scenario(written(tmp_path, text.replace('"litert"', '"grpc"')))


CLOSED = '[[sweep]]\nloop = "closed"\n'
FIRST, SECOND = r"\[\[sweep\]\] 1 .*", r"\[\[sweep\]\] 2 .*"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CLOSED + 'batch_row = 1', "'batch_row' in " + FIRST + "'batch_rows'"),
        ('[scenario]\nrepeat = 2\n' + CLOSED, r"'repeat' in \[scenario\].*'repeats'"),
        ('[scenarios]\n' + CLOSED, "'scenarios'"),
        ('[sweep]\nloop = "closed"', r"written as \[\[sweep\]\]"),
        (CLOSED + 'batch_rows = []', FIRST + r"batch_rows is an empty list"),
        (CLOSED + '[[sweep]]\nloop = "open"', SECOND + r"one of rate_qps"),
        (CLOSED + 'rate_qps = 5', FIRST + r"a closed loop has no rate"),
        (CLOSED + 'device = "TPU"', FIRST + r"device is CPU or GPU"),
        (CLOSED + 'precision = "int8"', FIRST + r"precision is one of"),
        (CLOSED + 'batch_rows = "many"', FIRST + r"batch_rows must be int"),
        (CLOSED + 'batch_rows = 0', FIRST + r"at least 1, got 0"),
        ("[scenario]\nrepeats = 2", "nothing to measure"),
        ("[[sweep", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        read_scenario(written(tmp_path, text))


def test_a_wrong_override_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, CLOSED + "")
    with pytest.raises(ConfigError, match=r"'measured' .*'measured_s'"):
        read_scenario(path, overrides=["sweep.measured=1"])
    with pytest.raises(ConfigError, match="--set takes"):
        read_scenario(path, overrides=["case.measured_s=1"])


def test_a_scenario_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no scenario 'server-quik'; there are .*server-quick"):
        read_scenario("server-quik")
    with pytest.raises(UsageError, match="cannot read"):
        read_scenario(tmp_path / "nowhere.toml")
