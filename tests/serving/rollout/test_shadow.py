"""Requests, drift and gates of a shadow run, against independent oracles."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from tensorflow_serving.apis import prediction_log_pb2

from dualtower.errors import DataError, UsageError
from dualtower_serving.rollout.shadow.drift import neighbour_overlap, rank_agreement
from dualtower_serving.rollout.shadow.replay import Replay, Side
from dualtower_serving.rollout.shadow.report import Limits, judge
from dualtower_serving.rollout.shadow.requests import Request, carried, recorded, sample


def _vectors(seed: int, texts: int = 30, dim: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(texts, dim))


def _rotated(vectors: np.ndarray, seed: int = 3) -> np.ndarray:
    dim = vectors.shape[1]
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
    return vectors @ rotation


@pytest.mark.parametrize("dim", [2, 6, 40])
def test_rank_agreement_is_spearmans_of_all_cosines(dim: int) -> None:
    old = _vectors(1)
    new = np.hstack([old[:, : min(dim, 3)], _vectors(2, dim=dim)])
    new[5] = new[4]  # ties
    expected = spearmanr(pdist(old, "cosine").round(9), pdist(new, "cosine").round(9)).statistic
    assert rank_agreement(old, new) == pytest.approx(expected, abs=1e-9)


def test_rotations_and_scales_are_no_drift_though_every_cosine_to_itself_is() -> None:
    old = _vectors(1)
    new = -3 * _rotated(old)
    cosines = (old * new).sum(1) / np.linalg.norm(old, axis=1) / np.linalg.norm(new, axis=1)
    assert cosines.mean() < 0.5
    assert rank_agreement(old, new) == pytest.approx(1)
    assert neighbour_overlap(old, new) == 1


def test_two_random_spaces_have_little_in_common() -> None:
    assert abs(rank_agreement(_vectors(1, 200), _vectors(2, 200))) < 0.05
    assert neighbour_overlap(_vectors(1, 200), _vectors(2, 200)) < 0.12  # 10 of 199 by chance: 0.05


def test_neighbours_are_counted_one_by_one() -> None:
    old = np.array([[np.cos(a), np.sin(a)] for a in (0, 0.1, 0.2, 2.0, 2.1, 2.2, 4.0)])
    new = old[[0, 1, 2, 3, 4, 6, 5]]  # the last two have changed places
    assert neighbour_overlap(old, old) == 1
    near_old = [[1, 2], [0, 2], [1, 0], [4, 5], [3, 5], [4, 3], [5, 4]]
    near_new = [[1, 2], [0, 2], [1, 0], [4, 6], [3, 6], [6, 4], [4, 3]]
    shared = [len(set(a) & set(b)) / 2 for a, b in zip(near_old, near_new, strict=True)]
    assert neighbour_overlap(old, new) == pytest.approx(np.mean(shared), abs=0.08)


def test_a_space_that_has_collapsed_agrees_with_nothing() -> None:
    assert np.isnan(rank_agreement(_vectors(1), np.ones((30, 6))))
    assert np.isnan(rank_agreement(_vectors(1)[:2], _vectors(2)[:2]))
    assert np.isnan(neighbour_overlap(_vectors(1)[:3], _vectors(2)[:3]))
    with pytest.raises(ValueError, match="30 and 29 vectors"):
        rank_agreement(_vectors(1), _vectors(2)[:29])


def _side(version: int, ms: float, lists, vectors=None, errors=None) -> Side:
    vectors = _vectors(1, 4) if vectors is None else vectors
    return Side(
        version, [ms] * len(lists), dict(enumerate(lists)), errors or {},
        dict(enumerate(vectors)), {f"t{n}": one for n, one in enumerate(vectors)},
    )  # fmt: skip


def test_each_gate_fails_for_its_own_reason() -> None:
    lists = [("a", "b"), ("c", "d"), ("e", "f"), ()]
    old = _side(1, 10.0, lists)
    good = judge(Replay(old, _side(2, 11.0, lists), 4, 4), Limits())
    assert good.failures == []
    assert {one.name: one.value for one in good.figures}["overlap@10"] == 1
    bad = {
        "latency p50, new / old": _side(2, 16.0, lists),
        "error rate": _side(2, 10.0, lists, errors={"ServerFailure": 1}),
        "overlap@10": _side(2, 10.0, [("x", "y"), ("z",), ("q",), ("r",)]),
        "items, rank agreement": _side(2, 10.0, lists, np.ones((4, 6))),
    }
    for name, side in bad.items():
        report = judge(Replay(old, side, 4, 4), Limits())
        assert name in {one.name for one in report.failures}
        assert not report.as_json()["passed"]
    nobody = judge(Replay(old, Side(2, errors={"ServerFailure": 8}), 4, 4), Limits())
    assert {"error rate", "overlap@10", "latency p50, new / old"} <= {
        one.name for one in nobody.failures
    }


def test_half_of_the_longer_list() -> None:
    report = judge(
        Replay(_side(1, 1, [("a", "b", "c", "d")]), _side(2, 1, [("b", "x", "a")]), 1, 0), Limits()
    )
    figures = {one.name: one for one in report.figures}
    assert figures["overlap@10"].value == 0.5
    assert figures["items, rank agreement"].limit is None, "nothing was asked of it"


def test_recorded_requests(tmp_path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(
        '{"history": ["a", "b"], "exclude": ["i1"]}\n\n["ü"]\n{"item_ids": []}\n', encoding="utf-8"
    )
    assert recorded(file) == [
        Request(("a", "b"), (), ("i1",)), Request(("ü",)), Request((), ()),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 of .* is no request"),
        ("3", "neither an object nor a list"),
        ('{"histori": []}', "unknown key 'histori'"),
        ('{"history": [], "item_ids": []}', "and not both"),
        ('{"exclude": []}', "and not both"),
        ('{"history": "ab"}', "'history' is no list of strings"),
        ("[1]", "no list of strings"),
    ],
)
def test_a_line_that_is_no_request_is_named(tmp_path, line: str, said: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(f"[]\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=said):
        recorded(file)


def test_files_without_requests(tmp_path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        recorded(tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(DataError, match="holds no request"):
        recorded(tmp_path / "empty")


def test_the_warm_up_file_of_a_bundle_gives_histories(tmp_path) -> None:
    """Written by TensorFlow's own writer and messages."""
    path = tmp_path / "assets.extra" / "tf_serving_warmup_requests"
    assert carried(tmp_path) == []
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for alias, rows in (
            ("history", [["a", "b", ""], ["ü", "", ""], ["", "", ""]]),
            ("item_ids", [["i1", "i2"]]),
            ("of", [""]),
            ("history", [["a", "b"]]),
        ):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.inputs[alias].CopyFrom(tf.make_tensor_proto(rows))
            writer.write(log.SerializeToString())
    assert carried(tmp_path) == [
        Request(("a", "b")), Request(("ü",)), Request(), Request((), ("i1", "i2")),
    ]  # fmt: skip
    whole = path.read_bytes()
    for broken in (whole[:-1], whole[:10], b"\xff" * 40):
        path.write_bytes(broken)
        with pytest.raises(DataError, match="--requests FILE"):
            carried(tmp_path)


def test_a_sample_is_the_same_for_a_seed_and_repeats_where_it_must() -> None:
    some = [Request((str(n),)) for n in range(10)]
    assert sample(some, 4, 1) == sample(some, 4, 1) != sample(some, 4, 2)
    assert len(set(sample(some, 4, 1))) == 4
    many = sample(some, 25, 1)
    assert len(many) == 25
    assert set(many) == set(some)
    assert sample([], 5, 1) == []
