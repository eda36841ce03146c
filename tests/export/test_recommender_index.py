"""The recommender with each kind of index, written as a SavedModel, loaded and asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_export.config import ExportConfig
from dualtower_export.gate_files import check_ops
from dualtower_export.gate_parity import user_histories
from dualtower_export.gate_recall import Listed, recall_gate, recall_of_list, rule_error
from dualtower_export.gate_retrieval import check_recommender
from dualtower_export.models_writer import build_models
from dualtower_export.saved_model import write_saved_model
from dualtower_export.search_index import check_index
from dualtower_export.serving_session import open_model

IDS = np.array(list("abcdef"), object)
SCORES = np.array([0.5, 0.9, -np.inf, 0.5, 0.2, 0.1])


def _with(plan, **settings):
    return replace(plan, config=replace(plan.config, **settings))


@pytest.mark.slow
def test_each_kind_is_served_as_brute_force_demands(plan, reference, tmp_path: Path) -> None:
    histories = [np.array([1, 2, 3]), np.array([4]), np.arange(20, 40), np.array([7, 8])]
    texts, ids = user_histories(histories, plan.trained.item_ids, plan.trained.texts)
    for number, settings in enumerate(
        [
            {"index_dtype": "int8"},
            {"index": "ivf", "ivf_lists": 8, "ivf_probes": 8},
            {"index": "ivf", "ivf_lists": 20, "ivf_probes": 1, "index_dtype": "float16"},
        ]
    ):
        asked = _with(plan, ivf_recall=1.0, **settings)
        *_, recommender = build_models(asked)
        folder = tmp_path / str(number)
        write_saved_model(recommender, folder)
        assert check_ops("recommender", folder).passed
        with open_model(folder) as model:
            gates = list(check_recommender(model, reference, asked, texts, ids))
            request = np.array(
                [[*map(str, plan.trained.item_ids[:5]), "nobody knows this"]], object
            )
            others = np.array([[*map(str, plan.trained.item_ids[5:]), "nor this", ""]], object)
            nothing = model("from_item_ids", item_ids=request, exclude=others)
            assert set(nothing["item_ids"][0]) == {b""}
            assert np.isneginf(nothing["scores"]).all()
        refused = number == 2  # one list of twenty
        assert [gate.passed for gate in gates] == [not refused] * 2, gates
        if refused:
            for gate in gates:
                assert gate.value is not None
                assert 0 < gate.value < 1
                assert "recall@20" in gate.detail
                assert "set export.ivf_probes=" in gate.detail
            advised = int(gates[1].detail.split("ivf_probes=")[1].split()[0])
            assert advised > 1
            assert "lists), a lower export.ivf_recall, or export.index=exact" in gates[1].detail


@pytest.mark.parametrize(
    ("found", "said", "recall", "complaint"),
    [
        (["b", "a", "d"], [0.9, 0.5, 0.5], 1.0, ""),
        (["b", "a", "e"], [0.9, 0.5, 0.2], 2 / 3, ""),
        (["b", "d", "e", "f", ""], [0.9, 0.5, 0.2, 0.1, -np.inf], 0.8, "4 items where 5 remain"),
        (["b", "c", "a"], [0.9, 0.5, 0.5], 2 / 3, "c is blocked"),
        (["b", "b", "a"], [0.9, 0.9, 0.5], 1.0, "twice"),
    ],
)
def test_lists_of_an_inverted_file(found, said, recall: float, complaint: str) -> None:
    one = Listed(None, found, np.array(said, np.float32), SCORES)
    assert recall_of_list(one, IDS) == pytest.approx(recall)
    assert complaint in rule_error(one, IDS)[1]
    assert bool(complaint) == bool(rule_error(one, IDS)[1])


def test_an_equally_good_item_counts_as_found() -> None:
    assert recall_of_list(Listed(None, ["b", "d"], np.zeros(2), SCORES), IDS) == 1.0
    nothing = Listed(None, ["", ""], np.full(2, -np.inf), np.full(6, -np.inf))
    assert recall_of_list(nothing, IDS) == 1.0
    assert nothing.best.tolist() == []
    assert Listed(None, [""] * 4, np.zeros(4), SCORES).best.tolist() == [1, 0, 3, 4]


@pytest.mark.parametrize(
    ("said", "complaint"),
    [([0.9, 0.4, 0.2], "scores differ by 1.0e-01"), ([0.5, 0.9, 0.2], "scores do not fall")],
)
def test_a_recall_gate_refuses_wrong_scores(plan, said, complaint: str) -> None:
    found = ["b", "a", "e"] if said[0] == 0.9 else ["a", "b", "e"]
    ids = replace(plan.index, item_ids=IDS)
    listed = iter([Listed(None, found, np.array(said, np.float32), SCORES)])
    gate = recall_gate("retrieval/x", listed, replace(plan, index=ids), 1e-5)
    assert not gate.passed
    assert complaint in gate.detail


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"index": "hnsw"}, "index must be one of exact, ivf, got hnsw"),
        ({"index_dtype": "int4"}, "index_dtype must be one of float32, float16, int8, got int4"),
        ({"index_oversample": 0}, "index_oversample must be at least 1, got 0"),
        ({"ivf_probes": 0}, "ivf_probes must be at least 1, got 0"),
        ({"ivf_lists": -1}, "ivf_lists must not be negative, got -1"),
        ({"ivf_recall": 1.5}, r"ivf_recall must lie in 0..1, got 1\.5"),
    ],
)
def test_settings_that_make_no_sense(settings, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExportConfig(**settings)


def test_too_many_lists_are_refused_before_anything_is_written(trained) -> None:
    config = ExportConfig(index="ivf", ivf_lists=60)
    with pytest.raises(UsageError, match="ivf_lists is 60, but only 58 items can be recommended"):
        check_index(trained.vectors, trained.item_ids, trained.blocked, config)
    check_index(trained.vectors, trained.item_ids, trained.blocked, ExportConfig(ivf_lists=60))
