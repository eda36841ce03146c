"""The evaluation against a slow one, and its file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dualtower.errors import ConfigError, DataError
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import evaluation_tables
from dualtower_trainer.data import load_dataset, split
from dualtower_trainer.evaluate import evaluate_methods, is_clearly_better
from dualtower_trainer.evaluate_run import EvaluateConfig, evaluate_run


@pytest.fixture(scope="module")
def result(trained_run: Path) -> dict:
    return evaluate_run(trained_run, EvaluateConfig())


def test_the_towers_beat_what_they_must(result: dict) -> None:
    rows = {row["method"]: row for row in result["warm"]["methods"]}
    assert set(rows) == {"dualtower", "popularity", "tfidf", "itemknn", "ease"}
    assert is_clearly_better(rows["popularity"])
    cold = {row["method"]: row for row in result["cold"]["methods"]}
    assert set(cold) == {"dualtower", "tfidf"}, "methods that cannot rank unseen items have no row"
    chance = result["cold"]["random"]["recall_at_20"]["value"]
    assert 0 < chance <= 1


def test_warm_recall_equals_a_loop_over_users(trained_run: Path, shop: Path, result: dict) -> None:
    trained = load_trained(trained_run)
    parts = split(load_dataset(shop), trained.split)
    recalls = []
    for history, wanted in zip(parts.test.histories, parts.test.warm_targets, strict=True):
        if not len(wanted):
            continue
        scores = trained.embed_histories([history])[0] @ trained.vectors.T
        allowed = [
            row
            for row in range(len(scores))
            if parts.warm[row] and row not in set(history.tolist())
        ]
        best = sorted(allowed, key=lambda row: (-scores[row], row))[:20]
        recalls.append(len(set(best) & set(wanted.tolist())) / min(20, len(wanted)))
    ours = next(row for row in result["warm"]["methods"] if row["method"] == "dualtower")
    assert ours["recall_at_20"]["value"] == pytest.approx(np.mean(recalls))
    assert ours["recall_at_20"]["users"] == len(recalls)


def test_the_random_row_is_the_mean_of_random_lists(trained_run: Path, shop: Path) -> None:
    parts = split(load_dataset(shop), load_trained(trained_run).split)
    random = np.random.default_rng(0)
    means = []
    for _ in range(60):
        noise = {"noise": lambda histories: random.random((len(histories), len(parts.catalogue)))}
        found = evaluate_methods(parts, parts.test, noise)["cold_in_full"]
        means.append(found["methods"][0]["recall_at_20"]["value"])
    expected = found["random"]["recall_at_20"]["value"]
    assert abs(np.mean(means) - expected) < 4 * np.std(means) / np.sqrt(len(means))


def test_it_is_written_and_reused(trained_run: Path, result: dict) -> None:
    stored = json.loads((trained_run / "evaluation.json").read_text())
    assert stored["warm"] == result["warm"]
    again = evaluate_run(trained_run, EvaluateConfig())
    assert again["reused"]
    tables = evaluation_tables(again)
    assert [len(table.rows) for table in tables] == [5, 3, 6]
    assert all(len(row) == len(table.header) for table in tables for row in table.rows)


def test_other_data_are_refused(trained_run: Path, tmp_path: Path, shop: Path) -> None:
    import shutil

    import pyarrow.parquet as pq

    other = tmp_path / "data"
    shutil.copytree(shop, other)
    items = pq.read_table(other / "items.parquet")
    pq.write_table(items.slice(0, len(items) - 1), other / "items.parquet")
    with pytest.raises(DataError, match="has other items than"):
        evaluate_run(trained_run, EvaluateConfig(), other)


def test_too_many_items_leave_the_dense_baselines_out_and_say_so(
    trained_run: Path, result: dict
) -> None:
    small = evaluate_run(trained_run, EvaluateConfig(dense_items=10))
    assert "left out" in small["notes"]["ease"]
    assert [row["method"] for row in small["warm"]["methods"]] == [
        "dualtower",
        "popularity",
        "tfidf",
    ]


def test_an_unknown_baseline_is_named() -> None:
    from dualtower.config import load_section

    with pytest.raises(ConfigError, match="no baseline 'esae'"):
        load_section("evaluate", EvaluateConfig, overrides=['evaluate.baselines=["esae"]'])
