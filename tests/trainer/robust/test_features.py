"""Vectors of another modality: read, fused with the texts, and worth it for unseen items."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError
from dualtower_trainer.closed_form import TextFeatures
from dualtower_trainer.closed_form.choose import Choice
from dualtower_trainer.closed_form.text_map import fit_text_map
from dualtower_trainer.data import Catalogue, Dataset, Split, import_files, load_dataset, split
from dualtower_trainer.data.feature_vectors import parse_features
from dualtower_trainer.initialise import rescale_text, shrink_towers
from dualtower_trainer.item_texts import ItemTexts, centred_unit
from dualtower_trainer.learner import Learner
from dualtower_trainer.learner_setup import closed_form_of, make_learner, make_sampler
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.stored_catalogue import catalogue_table, read_catalogue
from dualtower_trainer.towers import build_item_head, fit_into_ball, shape_of

CHOICE = Choice(30.0, 0.0, 0.0)


@pytest.mark.parametrize(
    "text", ["[0.5, 2, -3e-2]", "0.5 2 -3e-2", "0.5,2,-3e-2", " [0.5 2 -0.03]"]
)
def test_a_vector_may_be_written_in_several_ways(text: str) -> None:
    np.testing.assert_allclose(parse_features(text), [0.5, 2, -0.03], rtol=1e-6)


@pytest.mark.parametrize("text", ["", "[]", "red", "1 2 x", "nan 1", "1 inf", "1e39", "[[1, 2]]"])
def test_what_is_no_vector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"vector|float"):
        parse_features(text)


def write_log_file(folder: Path) -> Path:
    path = folder / "log.csv"
    path.write_text("user_id,item_id,timestamp\nu,a,1700000000\nu,b,1700000001\nv,c,1700000002\n")
    return path


def test_import_keeps_vectors_and_quarantines_those_of_another_length(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text(
        'item_id,text,features\na,tea,"[1, 2]"\nb,rye,\nc,wine,"[3, 4]"\n'
        'd,beer,"[1, 2, 3]"\ne,milk,white\n'
    )
    report = import_files(write_log_file(tmp_path), items, tmp_path / "data")
    assert report["items_file"]["quarantined"] == {
        "features of another length than those before": 1,
        "features are no list of finite numbers": 1,
    }
    features = load_dataset(tmp_path / "data").catalogue.features
    assert features is not None
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, [[1, 2], [0, 0], [3, 4]])


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.list_(pa.float64(), 2)])
def test_import_reads_lists_of_parquet_and_jsonl(kind: pa.DataType, tmp_path: Path) -> None:
    vectors = [[1.5, -2.0], None, [1e-3, 4.0]]
    table = {"item_id": ["a", "b", "c"], "text": ["tea", "rye", "wine"]}
    pq.write_table(
        pa.table({**table, "features": pa.array(vectors, kind)}), tmp_path / "items.parquet"
    )
    rows = [
        {"item_id": i, "text": t, "features": v}
        for i, t, v in zip(table["item_id"], table["text"], vectors, strict=True)
    ]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    log = write_log_file(tmp_path)
    for name in ("items.parquet", "items.jsonl"):
        import_files(log, tmp_path / name, tmp_path / "data", overwrite=True)
        features = load_dataset(tmp_path / "data").catalogue.features
        np.testing.assert_allclose(features, [[1.5, -2], [0, 0], [1e-3, 4]], rtol=1e-6)


def test_without_vectors_there_is_no_column(tmp_path: Path) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,text,features\na,tea,\nb,rye,\nc,wine,\n")
    import_files(write_log_file(tmp_path), items, tmp_path / "data")
    assert "features" not in pq.read_schema(tmp_path / "data" / "items.parquet").names
    assert load_dataset(tmp_path / "data").catalogue.features is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_run_keeps_vectors_as_they_came(kept: bool, tmp_path: Path) -> None:
    names = np.array(["a", "b", "c"], object)
    features = np.array([[1.5, -2], [0, 0], [1e-3, 4]], np.float32) if kept else None
    catalogue = Catalogue(names, names, None, np.array([False, True, False]), features)
    pq.write_table(catalogue_table(catalogue, np.ones(3, bool)), tmp_path / "catalogue.parquet")
    found = read_catalogue(pq.read_table(tmp_path / "catalogue.parquet"))
    np.testing.assert_array_equal(found.item_ids, names)
    np.testing.assert_array_equal(found.blocked, [False, True, False])
    if not kept:
        assert found.features is None
    else:
        assert found.features.dtype == np.float32
        np.testing.assert_array_equal(found.features, features)


@pytest.mark.parametrize(
    ("vectors", "kind", "problem"),
    [
        ([[1.0], [1.0, 2.0], None], pa.list_(pa.float32()), "from 1 to 2 numbers"),
        ([[], [], None], pa.list_(pa.float32()), "from 0 to 0 numbers"),
        ([[1.0], [float("nan")], None], pa.list_(pa.float32()), "must hold finite numbers"),
        ([[1.0], [None], None], pa.list_(pa.float32()), "must hold finite numbers"),
        (["a", "b", "c"], pa.string(), "is string, it must be lists of float32"),
    ],
)
def test_a_damaged_column_is_refused(
    vectors: list, kind: pa.DataType, problem: str, tmp_path: Path
) -> None:
    items = tmp_path / "items.csv"
    items.write_text("item_id,text\na,tea\nb,rye\nc,wine\n")
    import_files(write_log_file(tmp_path), items, tmp_path / "data")
    path = tmp_path / "data" / "items.parquet"
    pq.write_table(pq.read_table(path).append_column("features", pa.array(vectors, kind)), path)
    with pytest.raises(DataError, match=problem):
        load_dataset(tmp_path / "data")


def test_the_kernel_and_the_map_are_those_of_all_features_side_by_side(
    numbered_texts: Callable[..., ItemTexts],
) -> None:
    random = np.random.default_rng(0)
    modal = random.normal(size=(30, 5)).astype(np.float32)
    modal[7] = 0
    texts = replace(numbered_texts(30), modal=modal)
    features = texts.features(texts.mean(np.arange(30)), 0.5, 0.7)
    assert not features.modal[7].any()
    lengths = np.linalg.norm(np.delete(features.modal, 7, axis=0), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-5)
    side_by_side = np.concatenate(
        [features.bag.toarray(), 0.5 * features.dense, 0.7 * features.modal], axis=1
    ).astype(np.float64)
    rows = np.arange(20)
    np.testing.assert_allclose(
        features.kernel(rows, np.arange(30)), side_by_side[rows] @ side_by_side.T, atol=1e-6
    )
    targets = random.normal(size=(20, 3))
    popularity = random.integers(1, 50, 20).astype(float)
    found = fit_text_map(
        features, rows, targets, popularity, ridge=2.0, centred=np.zeros(3, bool)
    ).apply(features)
    # the primal normal equations
    x, weights = side_by_side[rows], np.sqrt(popularity)[:, None]
    system = x.T @ (weights * x) + 2.0 * np.eye(x.shape[1])
    expected = side_by_side @ np.linalg.solve(system, x.T @ (weights * targets))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_without_vectors_the_head_has_no_such_input(
    numbered_texts: Callable[..., ItemTexts],
    small_config: RunConfig,
    tastes_of_three_kinds: Dataset,
) -> None:
    texts = numbered_texts(90)
    parts = split(tastes_of_three_kinds, small_config.split)
    learner = make_learner(parts, texts, small_config)
    assert set(learner.item_head.input) == {"pooled", "ids", "mask", "id_vector"}
    assert shape_of(learner.item_head).features == 0
    assert isinstance(texts.features(texts.mean(parts.warm), 0.5), TextFeatures)
    assert texts.features(texts.mean(parts.warm), 0.5).modal is None


def cold_split(dataset: Dataset, config: RunConfig) -> tuple[Split, RunConfig]:
    config = replace(config, split=replace(config.split, cold_share=0.3))
    return split(dataset, config.split), config


def informative(noise: float = 0.3) -> np.ndarray:
    """float32 [90, 12]: the kind of each item along an axis, under noise."""
    random = np.random.default_rng(2)
    modal = random.normal(0, noise, (90, 12)) + 3.0
    modal[np.arange(90), np.arange(90) // 30] += 1
    return modal.astype(np.float32)


def unseen_recall(learner: Learner, parts: Split, dataset: Dataset) -> float:
    """Recall@10 of the unseen items that each person took, among unseen items."""
    vectors = fit_into_ball(learner.parts())
    log, cold = dataset.interactions, parts.cold
    found, wanted = 0, 0
    for user in range(120):
        mine = np.unique(log.items[log.users == user])
        history = vectors[mine[~cold[mine]]][None, :16]
        mask = np.ones(history.shape[:2], np.float32)
        person = learner.user_tower({"items": history, "mask": mask}).numpy()[0]
        scores = np.where(cold, vectors @ person, -np.inf)
        found += np.isin(np.argsort(-scores)[:10], mine).sum()
        wanted += min(10, cold[mine].sum())
    return found / wanted


def learners(
    dataset: Dataset, texts: ItemTexts, config: RunConfig, steps: int
) -> tuple[Learner, Split]:
    parts, config = cold_split(dataset, config)
    learner = make_learner(parts, texts, config)
    learner.start_from(closed_form_of(parts, texts, config, CHOICE), prior=0.01)
    sampler = make_sampler(parts, config)
    for step in range(steps):
        learner.step(sampler.batch(seed=0, step=step), step)
    return learner, parts


@pytest.mark.parametrize("steps", [0, 15])
def test_unseen_items_are_found_by_their_vectors(
    steps: int,
    tastes_of_three_kinds: Dataset,
    numbered_texts: Callable[..., ItemTexts],
    small_config: RunConfig,
) -> None:
    config = replace(small_config, train=replace(small_config.train, id_dropout=0.7))
    blind, parts = learners(tastes_of_three_kinds, numbered_texts(90), config, steps)
    seeing, _ = learners(
        tastes_of_three_kinds, replace(numbered_texts(90), modal=informative()), config, steps
    )
    without = unseen_recall(blind, parts, tastes_of_three_kinds)
    with_vectors = unseen_recall(seeing, parts, tastes_of_three_kinds)
    assert with_vectors > without + 0.2, (without, with_vectors)


def test_vectors_are_trained_from_a_random_start_too(
    tastes_of_three_kinds: Dataset,
    numbered_texts: Callable[..., ItemTexts],
    small_config: RunConfig,
) -> None:
    parts, config = cold_split(tastes_of_three_kinds, small_config)
    config = replace(config, train=replace(config.train, id_dropout=1.0, initial="random"))
    texts = replace(numbered_texts(90), modal=informative())
    learner = make_learner(parts, texts, config)
    learner.start_at_random(parts.warm)
    kernel = learner.item_head.get_layer("project_features").kernel
    before = kernel.numpy()
    sampler = make_sampler(parts, config)
    for step in range(5):
        learner.step(sampler.batch(seed=0, step=step), step)
    assert np.abs(kernel.numpy() - before).max() > 1e-3
    np.testing.assert_allclose(
        learner.item_head.get_layer("features_centre").mean, texts.modal_mean
    )


def test_the_head_gives_what_training_reads_and_zeros_are_no_vector(
    tastes_of_three_kinds: Dataset,
    numbered_texts: Callable[..., ItemTexts],
    small_config: RunConfig,
) -> None:
    modal = informative()
    modal[::4] = 0
    texts = replace(numbered_texts(90), modal=modal)
    learner, _ = learners(tastes_of_three_kinds, texts, small_config, 0)
    rescale_text(learner.item_head, 1.3)
    shrink_towers(learner.item_head, learner.user_tower, learner.parts())
    nothing = np.zeros((90, 1), np.int32)
    inputs = {
        "pooled": texts.encodings, "ids": nothing, "mask": nothing, "features": modal,
        "id_vector": np.zeros((90, small_config.model.dim - 1), np.float32),
    }  # fmt: skip
    found = learner.item_head(inputs).numpy()
    np.testing.assert_allclose(found, fit_into_ball(learner.text_parts()), atol=1e-5)
    lacking = learner.item_head({**inputs, "features": np.zeros_like(modal)}).numpy()
    np.testing.assert_allclose(lacking[::4], found[::4], atol=1e-6)
    assert np.abs(lacking - found)[1::4].max() > 1e-3
    again = build_item_head(small_config.model, shape_of(learner.item_head))
    assert set(again.input) == {*inputs}


def test_centring_leaves_out_items_without_a_vector() -> None:
    vectors = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]], np.float32)
    found = centred_unit(vectors, np.array([2.0, 2.0], np.float32))
    expected = np.array([[-1, -2], [1, 2], [0, 0]]) / np.sqrt(5)
    np.testing.assert_allclose(found, expected, atol=1e-6)
