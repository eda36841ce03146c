"""The numbers of a data report against slow oracles, and what of a leak it shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower.errors import UsageError
from dualtower_trainer.data import Dataset, SplitConfig, data_report, describe, split
from dualtower_trainer.data.histograms import octaves, weeks
from dualtower_trainer.data.splitting import cold_fraction
from dualtower_trainer.data.text_lengths import cached_vocabulary, text_lengths

Make = Callable[..., Dataset]
T0_S = 1_480_550_400
DAY_S = 86_400


@given(st.lists(st.integers(0, 1 << 40), min_size=1))
def test_octaves(counts: list[int]) -> None:
    found = octaves(np.array(counts, np.int64))
    assert sum(found.values()) == len(counts)
    for label, count in found.items():
        low, _, high = label.partition("-")
        inside = [n for n in counts if int(low) <= n <= int(high or low)]
        assert count == len(inside)
    ends = list(found.values())
    assert ends[0] > 0 < ends[-1]


@given(st.lists(st.integers(0, 4_102_444_799), min_size=1, max_size=30))
def test_weeks(times_s: list[int]) -> None:
    def monday(time_s: int) -> str:
        day = datetime.fromtimestamp(time_s, timezone.utc)
        return (day - timedelta(days=day.weekday())).strftime("%Y-%m-%d")

    found = weeks(np.array(times_s, np.int64))
    assert {week: n for week, n in found.items() if n} == Counter(map(monday, times_s))
    days = [datetime.strptime(week, "%Y-%m-%d") for week in found]
    assert {b - a for a, b in zip(days, days[1:])} <= {timedelta(weeks=1)}  # noqa: B905, RUF007


def test_no_counts_and_no_times() -> None:
    assert octaves(np.zeros(0, np.int64)) == weeks(np.zeros(0, np.int64)) == {}


def test_text_lengths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["Red cups", "", "unheard red"]
    lengths, unit = text_lengths(texts, None)
    assert (lengths.tolist(), unit) == ([2, 0, 2], "words")
    folder = tmp_path / "encoders" / "minilm"
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nred\ncup\n##s\n")
    lengths, unit = text_lengths(texts, folder)
    assert lengths.tolist() == [5, 2, 4]
    assert unit == "word pieces of minilm, [CLS] and [SEP] included"
    monkeypatch.setenv("DUALTOWER_CACHE", str(tmp_path))
    assert cached_vocabulary() == folder / "vocab.txt"
    monkeypatch.setenv("DUALTOWER_CACHE", str(tmp_path / "empty"))
    assert cached_vocabulary() is None
    with pytest.raises(UsageError, match=r"has no vocab\.txt"):
        text_lengths(texts, tmp_path)


def _rows() -> list[tuple[str, str, int]]:
    return [(f"u{n % 7}", f"i{(n * n) % 13}", T0_S + n * DAY_S // 2) for n in range(120)]


def test_the_shape_of_a_log(make_dataset: Make) -> None:
    rows, items = _rows(), [f"i{n}" for n in range(20)]
    facts = describe(make_dataset(rows, items))
    pairs = {(user, item) for user, item, _ in rows}
    users_per_item = np.array([len({u for u, i in pairs if i == item}) for item in items])
    spread = np.abs(users_per_item[:, None] - users_per_item[None]).mean()
    assert facts["popularity_gini"] == pytest.approx(spread / (2 * users_per_item.mean()))
    assert facts["sparsity"] == pytest.approx(1 - len(pairs) / (7 * 20))
    assert sum(facts["histograms"]["users_by_interactions"].values()) == 7
    assert facts["histograms"]["items_by_interactions"]["0"] == (users_per_item == 0).sum()
    assert sum(facts["histograms"]["interactions_by_week"].values()) == 120


def test_texts_that_are_shared_across_the_line_are_named_but_no_fault(
    make_dataset: Make,
) -> None:
    config = SplitConfig(cold_share=0.4)
    items = [f"i{n}" for n in range(13)]
    cold = [item for item in items if cold_fraction(item, config.cold_salt) < 0.4]
    assert 0 < len(cold) < 13
    dataset = make_dataset(_rows(), items)
    dataset.catalogue.texts[:] = ["the same text"] * 13
    facts = describe(dataset, config)
    found = {check["promise"]: check for check in facts["leakage"]}
    twins = found.pop("no cold item has the text of a warm one")
    assert (twins["violations"], twins["passed"], twins["binding"]) == (len(cold), False, False)
    assert all(check["passed"] and check["binding"] for check in found.values())
    assert facts["shared_texts"] == 1
    assert facts["most_shared_texts"] == {"the same text": 13}


def test_the_report_of_a_training(make_dataset: Make) -> None:
    dataset = make_dataset(_rows(), [f"i{n}" for n in range(13)])
    parts = split(dataset, SplitConfig(test_days=10, cold_share=0.2))
    report = data_report(dataset, parts)
    assert report.items() >= parts.report.items()
    assert report["log"]["interactions"] == 120
    assert report["leakage"]["no cold item in train"] == 0
    assert set(report["leakage"].values()) == {0}
