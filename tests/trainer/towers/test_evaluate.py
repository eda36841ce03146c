"""The evaluation of a real run against a slow one, its files, and its command."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dualtower.errors import ConfigError, DataError, UsageError
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import evaluate
from dualtower_trainer.data import load_dataset, split
from dualtower_trainer.evaluate_run import EvaluateConfig, Future, evaluate_run, evaluate_runs
from dualtower_trainer.evaluation_tables import evaluation_tables

QUICK = EvaluateConfig(baselines=("popularity", "tfidf", "itemknn", "ease"), bootstrap_draws=200)


@pytest.fixture(scope="module")
def evaluated_run(trained_run: Path, tmp_path_factory) -> Path:
    """A copy of the run for this file, whose evaluations are written to it."""
    return Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("evaluated") / "run"))


@pytest.fixture(scope="module")
def result(evaluated_run: Path) -> dict:
    return evaluate_run(evaluated_run, QUICK)


def test_the_towers_beat_what_they_must(result: dict) -> None:
    rows = {row["method"]: row for row in result["warm"]["methods"]}
    assert list(rows) == ["dualtower", "popularity", "tfidf", "itemknn", "ease"]
    gain = rows["popularity"]["reference_minus_this_recall_at_20"]
    assert gain["low"] > 0
    assert gain["p"] < 0.05
    cold = {row["method"]: row for row in result["cold"]["methods"]}
    assert set(cold) == {"dualtower", "tfidf"}, "methods that cannot rank unseen items have no row"
    chance = result["cold"]["random"]["recall_at_20"]["value"]
    assert 0 < chance <= 1


def test_warm_recall_equals_a_loop_over_users(
    evaluated_run: Path, shop: Path, result: dict
) -> None:
    trained = load_trained(evaluated_run)
    parts = split(load_dataset(shop), trained.split, refit=True)
    recalls = []
    for history, wanted in zip(parts.test.histories, parts.test.warm_targets, strict=True):
        if not len(wanted):
            continue
        scores = trained.embed_histories([history])[0] @ trained.vectors.T
        allowed = [
            row
            for row in range(len(scores))
            if trained.warm[row] and row not in set(history.tolist())
        ]
        best = sorted(allowed, key=lambda row: (-scores[row], row))[:20]
        recalls.append(len(set(best) & set(wanted.tolist())) / min(20, len(wanted)))
    ours = next(row for row in result["warm"]["methods"] if row["method"] == "dualtower")
    assert ours["recall_at_20"]["value"] == pytest.approx(np.mean(recalls))
    assert ours["recall_at_20"]["users"] == len(recalls)


def test_it_is_written_and_reused(evaluated_run: Path, result: dict) -> None:
    stored = json.loads((evaluated_run / "evaluation.json").read_text())
    assert stored["warm"] == result["warm"]
    again = evaluate_run(evaluated_run, QUICK)
    assert again["reused"]
    tables = evaluation_tables(again)
    assert [len(table.rows) for table in tables][:3] == [5, 3, 6]
    for table in tables:
        assert all(len(row) == len(table.header) for row in table.rows if table.header)


def test_other_data_are_refused(evaluated_run: Path, tmp_path: Path, shop: Path) -> None:
    other = tmp_path / "data"
    shutil.copytree(shop, other)
    items = pq.read_table(other / "items.parquet")
    pq.write_table(items.slice(0, len(items) - 1), other / "items.parquet")
    with pytest.raises(DataError, match="has other items than"):
        evaluate_run(evaluated_run, QUICK, other)


def test_too_many_items_leave_the_dense_baselines_out_and_say_so(evaluated_run: Path) -> None:
    small = evaluate_run(
        evaluated_run, EvaluateConfig(baselines=("popularity", "ease"), dense_items=10)
    )
    assert "left out" in small["notes"]["ease"]
    assert [row["method"] for row in small["warm"]["methods"]] == ["dualtower", "popularity"]


def test_without_the_encoder_of_before_the_runs_own_stands_in_and_it_is_said(own_run: Path) -> None:
    config = EvaluateConfig(baselines=("encoder",), bootstrap_draws=50)
    before = evaluate_run(own_run, config)
    assert "own encoder" not in before["notes"]["encoder"]
    text = (own_run / "config.toml").read_text()
    (own_run / "config.toml").write_text(re.sub(r'(?m)^name = ".*"$', 'name = "gone"', text))
    (own_run / "evaluation.json").unlink()
    after = evaluate_run(own_run, config)
    assert "the run's own encoder" in after["notes"]["encoder"]
    rows = [found["warm"]["methods"][1] for found in (before, after)]
    assert rows[1]["title"] == "encoder, zero-shot"
    assert rows[0]["recall_at_20"] == rows[1]["recall_at_20"], "it was not tuned in this run"


def test_an_unknown_baseline_is_named() -> None:
    from dualtower.config import load_section

    with pytest.raises(ConfigError, match="no baseline 'esae'; did you mean 'ease'"):
        load_section("evaluate", EvaluateConfig, overrides=['evaluate.baselines=["esae"]'])


@pytest.fixture
def later(tmp_path: Path, shop: Path) -> Path:
    """A later log: a known user with old and new items, a new user, and an item nobody knows."""
    taken = pq.read_table(shop / "interactions.parquet")["item_id"].to_pylist()[0]
    path = tmp_path / "later.csv.gz"
    rows = ["user_id,item_id,timestamp", f"u000,{taken},1800000000"]
    rows += [f"u000,i{item:03d},1800000001" for item in range(90)]
    rows += ["somebody,i003,1800000002", "u001,unheard-of,1800000003"]
    path.write_bytes(gzip.compress("\n".join(rows).encode()))
    return path


def test_a_later_log_is_predicted_instead(evaluated_run: Path, later: Path, tmp_path: Path) -> None:
    config = EvaluateConfig(baselines=("popularity",), bootstrap_draws=50)
    found = evaluate_run(evaluated_run, config, future=Future(later))
    assert found["warm"]["users"] == 2
    assert found["later_log"]["new_users"] == 1
    assert found["later_log"]["unusable_rows"] == {"unknown item": 1}
    ours = found["warm"]["methods"][0]
    assert ours["recall_at_20_by_history"]["0"]["users"] == 1
    assert ours["recall_at_20"]["users"] == 2

    chosen = tmp_path / "candidates.txt"
    chosen.write_text("i003\ni004\nstranger\n")
    few = evaluate_run(evaluated_run, config, future=Future(later, chosen))
    assert few["warm"]["candidates"] + few["cold"]["candidates"] == 2
    assert few["candidates"] == {"items": 2, "not_in_run": 1}
    assert not few["reused"]


def test_its_own_test_segment_as_a_later_log_gives_the_same_numbers(
    evaluated_run: Path, shop: Path, tmp_path: Path, result: dict
) -> None:
    parts = split(load_dataset(shop), load_trained(evaluated_run).split, refit=True)
    held, ids = parts.test, parts.catalogue.item_ids
    rows = ["user_id,item_id"]
    for user_id, *targets in zip(held.user_ids, held.warm_targets, held.cold_targets, strict=True):
        rows += [f"{user_id},{ids[row]}" for row in np.concatenate(targets)]
    path = tmp_path / "test.csv"
    path.write_text("\n".join(rows))
    found = evaluate_run(evaluated_run, QUICK, future=Future(path))
    for scope in ("warm", "cold", "cold_in_full"):
        assert found[scope]["users"] == result[scope]["users"]
        for ours, theirs in zip(found[scope]["methods"], result[scope]["methods"], strict=True):
            assert ours["method"] == theirs["method"]
            assert ours["recall_at_20"] == pytest.approx(theirs["recall_at_20"])
            assert ours["ndcg_at_20"] == pytest.approx(theirs["ndcg_at_20"])


def test_a_run_without_a_test_says_what_to_give(own_run: Path, later: Path) -> None:
    facts = json.loads((own_run / "model/model.json").read_text())
    facts["split"].update(test_days=0.0, test_share=0.0, test_start=None)
    (own_run / "model/model.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match=r"--interactions FILE.*split.test_share=0.15"):
        evaluate_run(own_run, QUICK)
    config = EvaluateConfig(baselines=("popularity",), bootstrap_draws=50)
    assert evaluate_run(own_run, config, future=Future(later))["warm"]["users"] >= 1


def test_several_runs_have_means_and_errors_over_runs(evaluated_run: Path, own_run: Path) -> None:
    found = evaluate_runs([evaluated_run, own_run], QUICK)
    ours = found["seeds"]["warm"]["methods"][0]
    one = found["runs"][0]["warm"]["methods"][0]
    assert ours["recall_at_20"]["value"] == pytest.approx(one["recall_at_20"]["value"])
    assert ours["recall_at_20"]["se"] == 0, "two copies of one run do not scatter"
    assert found["seeds"]["runs"] == 2
    assert (own_run / "evaluation.json").exists()
    assert evaluation_tables(found["seeds"])

    facts = json.loads((own_run / "model/model.json").read_text())
    facts["split"]["cold_share"] = 0.4
    (own_run / "model/model.json").write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="other data or another split"):
        evaluate_runs([evaluated_run, own_run], QUICK)


def test_the_command_prints_tables_and_json(evaluated_run: Path) -> None:
    few = ["--set", 'evaluate.baselines=["popularity"]', "--set", "evaluate.bootstrap_draws=50"]
    told = CliRunner().invoke(
        evaluate, ["--run", str(evaluated_run), *few, "--set", "evaluate.exposure_weight=0.01"]
    )
    assert told.exit_code == 0, told.output
    for words in (
        "Warm: the next known items",
        "exposure weight 0.01",
        "95 %",
        "Gini",
        "lost Recall@20",
        "no item has a category",
    ):
        assert words in told.output
    named = ["--set", 'evaluate.baselines=["popularity", "ease", "directau"]', *few[2:]]
    as_json = CliRunner().invoke(evaluate, [str(evaluated_run), *named, "--json"])
    rows = json.loads(as_json.stdout)["warm"]["methods"]
    assert [(row["method"], row.get("stands_for")) for row in rows] == [
        ("dualtower", None),
        ("popularity", None),
        ("ease", "SimReco"),
        ("directau", "NCS"),
    ]
    tables = CliRunner().invoke(evaluate, [str(evaluated_run), *named])
    assert all(word in tables.output for word in ("stands for", "SimReco", "NCS"))


REPORTED = (
    "recall_at_10", "recall_at_20", "ndcg_at_10", "ndcg_at_20", "mrr", "recall_at_20_by_history",
    "coverage_at_20", "gini_at_20", "head_share_of_lists", "cold_share_of_lists",
)  # fmt: skip


def test_every_row_reports_all_that_it_must(own_run: Path, tmp_path: Path, shop: Path) -> None:
    """With categories there is calibration, and each baseline is compared pair by pair."""
    data = tmp_path / "data"
    shutil.copytree(shop, data)
    items = pq.read_table(data / "items.parquet")
    kinds = pa.array([text.split()[1] for text in items["text"].to_pylist()])
    pq.write_table(items.append_column("category", kinds), data / "items.parquet")
    config = dataclasses.replace(QUICK, exposure_weight=0.01)
    found = evaluate_run(own_run, config, data)
    assert "calibration" not in found["notes"]
    for scope in ("warm", "cold", "cold_in_full"):
        for row in found[scope]["methods"]:
            assert {*REPORTED, "calibration_kl"} <= set(row)
            if scope == "warm":
                assert {"recall_at_20_head", "recall_at_20_tail"} <= set(row)
            if row["method"] != "dualtower":
                gain = row["reference_minus_this_recall_at_20"]
                assert {"value", "se", "low", "high", "p"} <= set(gain)
            assert ("variant_of" in row) == (row["method"] == "dualtower_fair")
    ours = found["warm"]["methods"][0]
    assert 0 < ours["calibration_kl"]["value"] < 1
    assert sum(group["users"] for group in ours["recall_at_20_by_history"].values()) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give each RUN once"),
        (["a", "--run", "a"], "give each RUN once"),
        (["a", "--candidates", "c"], "--candidates goes with --interactions"),
    ],
)
def test_wrong_use_is_named(arguments: list[str], message: str) -> None:
    failed = CliRunner().invoke(evaluate, arguments)
    assert isinstance(failed.exception, UsageError)
    assert message in str(failed.exception)
