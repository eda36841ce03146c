"""Gates say no to what is wrong: doctored answers, foreign weights, signatures that drifted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from dualtower_export.description import check_describe
from dualtower_export.gate import Gate, failures
from dualtower_export.gate_files import check_signatures
from dualtower_export.gate_parity import check_item_tower, check_user_tower, user_histories
from dualtower_export.gate_retrieval import check_recommender, list_errors
from dualtower_export.plan import plan_export
from dualtower_export.reference import Reference

IDS = np.array(["a", "b", "c", "d"], object)
SCORES = np.array([0.5, 0.9, -np.inf, 0.5])


def _list(items: list[str], said: list[float]) -> tuple[float, bool, str]:
    return list_errors(items, np.array(said, np.float32), SCORES, IDS)


def test_the_right_list_passes() -> None:
    error, same, complaint = _list(["b", "a", "d"], [0.9, 0.5, 0.5])
    assert (same, complaint) == (True, "")
    assert error < 1e-6


def test_a_tie_the_other_way_round_is_no_error_and_not_equal() -> None:
    assert _list(["b", "d", "a"], [0.9, 0.5, 0.5])[1:] == (False, "")


@pytest.mark.parametrize(
    ("items", "said", "complaint"),
    [
        (["b", "a"], [0.9, 0.4], "scores differ"),
        (["a", "b"], [0.5, 0.9], "scores differ"),  # out of order
        (["a", "d"], [0.5, 0.5], "scores differ"),  # the best is missing
        (["b", "c"], [0.9, 0.5], "blocked, excluded or in the history"),
        (["b", "b"], [0.9, 0.9], "twice"),
        (["b", ""], [0.9, -np.inf], "1 items where 2 remain"),
        (["", "b"], [-np.inf, 0.9], "1 items where 2 remain"),
        (["b", "a", "d", ""], [0.9, 0.5, 0.5, 0.0], "other than -inf"),
    ],
)
def test_a_wrong_list_is_found(items: list[str], said: list[float], complaint: str) -> None:
    assert complaint in _list(items, said)[2]


def test_a_recommender_of_another_training_is_found(
    served, plan, new_run: Callable[..., Path]
) -> None:
    other = plan_export(new_run("other", seed=1), plan.config)
    towers = Reference(other.trained, other.encoder, other.index)
    texts, ids = user_histories(
        [np.array([1, 2, 3]), np.array([4])], plan.trained.item_ids, plan.trained.texts
    )
    tokenizer, config = plan.encoder.tokenizer, plan.config
    gates = [
        *check_recommender(served["recommender"], towers, plan, texts, ids),
        *check_item_tower(served["item_tower"], towers, tokenizer, texts[0][:2], config),
        *check_user_tower(served["user_tower"], towers, tokenizer, texts, ids, config),
        check_describe(served["item_tower"], other.describe("item_tower")),
    ]
    assert len(gates) == 8
    assert [gate.name for gate in gates if gate.passed] == []
    assert "fingerprint is" in gates[-1].detail


def test_the_trainers_own_towers_pass(served, plan, reference) -> None:
    trained = plan.trained
    texts, ids = user_histories(
        [np.array([1, 2, 3]), np.array([4])], trained.item_ids, trained.texts
    )
    tokenizer, config = plan.encoder.tokenizer, plan.config
    gates = [
        *check_recommender(served["recommender"], reference, plan, texts, ids),
        *check_item_tower(served["item_tower"], reference, tokenizer, texts[0][:2], config),
        *check_user_tower(served["user_tower"], reference, tokenizer, texts, ids, config),
    ]
    assert failures(gates) == []


def test_a_signature_that_drifted_is_found(tmp_path: Path) -> None:
    module = tf.Module()
    module.serving_default = tf.function(
        lambda txt: {"embedding": tf.zeros([tf.shape(txt)[0], 32], tf.float64)},
        input_signature=[tf.TensorSpec([None], tf.string, "txt")],
        autograph=False,
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.serving_default)
    gate = check_signatures("item_tower", tmp_path / "1", dim=32, k_max=20)
    assert not gate.passed
    for said in (
        "describe is missing",
        "from_tokens is missing",
        "serving_default.inputs.text is missing",
        "serving_default.inputs.txt is not in the contract",
        "serving_default.outputs.embedding is ('float64', [None, 32])",
    ):
        assert said in gate.detail


def test_failures_are_lines() -> None:
    gates = [Gate("a", True, 1.0, 1.0, "fine"), Gate("b", False, 0.0, 1.0, "too low")]
    assert failures(gates) == ["b: too low"]
