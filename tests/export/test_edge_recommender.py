"""The on-device recommender, against brute force in numpy over the same vectors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from dualtower_export.edge_pair import towers_fingerprint
from dualtower_export.edge_recommender import FORMS, CatalogueTable, convert_recommender
from dualtower_trainer.data import Catalogue

K = 20


@pytest.fixture(scope="module")
def contents(trained) -> dict[tuple[str, str], bytes]:
    """Both forms in both formats."""
    return {
        (form, variant): convert_recommender(trained, form, variant, K)
        for form in FORMS
        for variant in ("int8", "float16")
    }


@pytest.fixture(scope="module")
def histories(trained) -> list[np.ndarray]:
    random = np.random.default_rng(2)
    limit = trained.config.history_items
    drawn = [random.permutation(len(trained.vectors))[: random.integers(1, limit)]
             for _ in range(30)]  # fmt: skip
    return [*drawn, np.array([], np.int64)]


def _request(history: np.ndarray, width: int) -> dict[str, np.ndarray]:
    rows, mask = np.zeros((1, width), np.int32), np.zeros((1, width), np.float32)
    rows[0, : len(history)], mask[0, : len(history)] = history, 1
    return {"history": rows, "mask": mask}


def _answers(contents, form: str, variant: str, trained, histories) -> list[dict]:
    width = trained.config.history_items
    interpreter = Interpreter(model_content=contents[form, variant])
    found = []
    for history in histories:
        request = _request(history, width)
        if form == "recommender":
            found.append(interpreter.get_signature_runner()(**request))
            continue
        items = interpreter.get_signature_runner("vectors")(history=request["history"])["items"]
        items = items * request["mask"][..., None]
        user = trained.user_tower({"items": items, "mask": request["mask"]}).numpy()
        found.append(interpreter.get_signature_runner("rank")(embedding=user, **request))
    return found


@pytest.mark.parametrize(("variant", "error"), [("int8", 0.02), ("float16", 2e-3)])
@pytest.mark.parametrize("form", FORMS)
def test_lists_are_those_of_brute_force(
    contents, trained, histories, form: str, variant: str, error: float
) -> None:
    users = trained.embed_histories(histories)
    answers = _answers(contents, form, variant, trained, histories)
    kept = []
    for history, user, answer in zip(histories, users, answers, strict=True):
        scores = trained.vectors @ user
        rows, said = answer["rows"][0], answer["scores"][0]
        assert rows.shape == (K,)
        assert not set(rows) & {*history, *np.flatnonzero(trained.blocked)}
        np.testing.assert_allclose(said, scores[rows], atol=error)
        assert (np.diff(said) <= 0).all()
        scores[[*history, *np.flatnonzero(trained.blocked)]] = -np.inf
        kept.append(len({*rows[:10]} & {*np.argsort(-scores, kind="stable")[:10]}) / 10)
    assert np.mean(kept) >= (0.95 if variant == "int8" else 0.98)


def test_one_table_serves_lookup_and_ranking_with_a_step_for_each_row(contents, trained) -> None:
    items, dim = trained.vectors.shape
    for form in FORMS:
        interpreter = Interpreter(model_content=contents[form, "int8"])
        tables = [d for d in interpreter.get_tensor_details()
                  if list(d["shape"]) == [items, dim - 2] and d["dtype"] == np.int8]  # fmt: skip
        assert len(tables) == 1
        assert len(tables[0]["quantization_parameters"]["scales"]) == items
        names = {op["op_name"] for op in interpreter._get_ops_details()}
        assert not [name for name in names if "Flex" in name or name == "CUSTOM"]


def test_weight_and_rest_come_back_but_for_fixed_point(contents, trained) -> None:
    history = np.arange(trained.config.history_items)
    for variant in ("int8", "float16"):
        lookup = Interpreter(model_content=contents["catalogue", variant]).get_signature_runner(
            "vectors"
        )
        found = lookup(history=history[None].astype(np.int32))["items"][0]
        np.testing.assert_allclose(found[:, -2:], trained.vectors[history, -2:], atol=2.0**-15)


def test_of_equal_scores_the_lower_row_comes_first_and_the_tail_is_empty() -> None:
    vectors = np.zeros((6, 4), np.float32)
    vectors[:, 0] = [0.5, 0.25, 0.5, 0.25, 0.5, 0.25]
    vectors[:, 3] = np.sqrt(1 - vectors[:, 0] ** 2)
    table = CatalogueTable(vectors, np.array([False] * 5 + [True]), 6)
    user = np.array([[1, 0, 0, 0]], np.float32)
    history, mask = np.array([[2, 0, 0]], np.int32), np.array([[1, 0, 0]], np.float32)
    answer = table.rank(user, history, mask)
    assert answer["rows"].numpy().tolist() == [[0, 4, 1, 3, -1, -1]]
    np.testing.assert_allclose(
        answer["scores"].numpy(), [[0.5, 0.5, 0.25, 0.25, -np.inf, -np.inf]], atol=1e-6
    )


def test_everything_taken_leaves_nothing(trained) -> None:
    few = _with_items(trained, trained.vectors[:5], blocked=[3, 4])
    content = convert_recommender(few, "recommender", "int8", 5)
    runner = Interpreter(model_content=content).get_signature_runner()
    answer = runner(**_request(np.array([0, 1, 2]), trained.config.history_items))
    assert answer["rows"].tolist() == [[-1] * 5]
    assert np.isneginf(answer["scores"]).all()


def test_the_pair_is_named_by_its_towers_and_not_by_its_catalogue(trained, new_run) -> None:
    from dualtower_trainer.checkpoint import load_trained

    encoder = trained.encoder()
    same = towers_fingerprint(_with_items(trained, trained.vectors[:9]), encoder)
    assert same == towers_fingerprint(trained, encoder)
    other = load_trained(new_run("other", seed=4))
    assert towers_fingerprint(other, other.encoder()) != same


def test_a_catalogue_too_large_for_a_phone_gets_none(trained, tmp_path: Path, capsys) -> None:
    from dualtower_export import ExportConfig
    from dualtower_export.edge_cards import Identity
    from dualtower_export.edge_jobs import conversion_forks
    from dualtower_export.edge_recommenders import convert_recommenders
    from dualtower_export.gate_data import load_gate_data

    config = ExportConfig(edge_most_items=59)
    identity = Identity.of(trained, trained.encoder(), config, "f" * 64)
    data = load_gate_data(trained, config, None)
    with conversion_forks(tmp_path) as forks:
        found = convert_recommenders(
            trained, data, config, identity, edge=tmp_path, scratch=tmp_path, forks=forks
        )
    assert found == []
    assert "60 items are more than export.edge_most_items, 59" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("items", [10_000, 100_000])
def test_a_catalogue_of(trained, items: int) -> None:
    """Every item is somebody's neighbour here, so the int8 list is compared by its scores."""
    random = np.random.default_rng(items)
    vectors = trained.vectors[random.integers(len(trained.vectors), size=items)].copy()
    vectors[:, :-2] += random.normal(0, 0.05, vectors[:, :-2].shape)
    vectors[:, :-2] *= 0.7
    vectors[:, -1] = np.sqrt(1 - np.minimum(0.99, (vectors[:, :-1] ** 2).sum(axis=1)))
    large = _with_items(trained, vectors.astype(np.float32), blocked=range(0, items, 100))
    content = convert_recommender(large, "recommender", "int8", 100)
    assert len(content) < items * (32 + 4 + 4 + 8 + 4) + 60_000
    runner = Interpreter(model_content=content).get_signature_runner()
    history = np.array([7, items - 1, items // 2])
    answer = runner(**_request(history, trained.config.history_items))
    scores = large.vectors @ large.embed_histories([history])[0]
    scores[history] = scores[::100] = -np.inf
    rows = answer["rows"][0]
    assert len(set(rows)) == 100
    best = np.sort(scores)[::-1][:100]
    np.testing.assert_allclose(scores[rows], best, atol=0.03)


def _with_items(trained, vectors: np.ndarray, blocked=()):
    """The same towers over other items."""
    count = len(vectors)
    catalogue = Catalogue(
        item_ids=np.array([f"new-{row}" for row in range(count)], object),
        texts=np.array([f"text {row}" for row in range(count)], object),
        categories=None,
        blocked=np.isin(np.arange(count), list(blocked)),
    )
    return replace(trained, vectors=vectors, catalogue=catalogue, path=Path("elsewhere"))
