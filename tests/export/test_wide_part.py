"""The wide part in the exported item towers, against its formula in numpy."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from dualtower_export.fidelity import cosines, taste
from dualtower_trainer.wide import build_wide_vocabulary

HARD_TEXTS = [
    "",
    "zebra quagga",  # letters of words that no item has
    "tea tea tea",
    "milk \0 tea",
    "TEA, milk & 茶",
    "🍵",
    "wine juice " * 40,  # cut in the middle of a text
]


@pytest.fixture(scope="module")
def texts(trained) -> list[str]:
    """Titles, their words the other way round, and what no item is called."""
    titles = [str(text) for text in trained.texts[:30]]
    return [*titles, *(" ".join(reversed(title.split())) for title in titles), *HARD_TEXTS]


@pytest.fixture(scope="module")
def by_formula(trained, texts) -> np.ndarray:
    """float64 [texts, dim]: projection of the centred BERT vector + bag of grams, into the ball."""
    encoder, head = trained.encoder(), trained.item_head
    tokenizer = encoder.tokenizer
    special = (tokenizer.cls_id, tokenizer.sep_id)
    of_catalogue = tokenizer(list(trained.texts))
    vocabulary = build_wide_vocabulary(*of_catalogue, special_ids=special, max_grams=200)
    bag = vocabulary.bag(*tokenizer(texts))
    assert len(vocabulary.pairs)
    assert bag[:, len(vocabulary.pieces) :].nnz > len(vocabulary.pairs)
    dense = encoder.encode(texts).astype(np.float64) - head.get_layer("centre").mean.numpy()
    dense /= np.linalg.norm(dense, axis=1, keepdims=True)
    kernel, bias = head.get_layer("project").get_weights()
    parts = dense @ kernel + bias + bag @ head.get_layer("wide").table.numpy()[1:]
    squares = (parts**2).sum(axis=1, keepdims=True)
    assert squares.max() < 0.999
    return np.concatenate([parts, np.sqrt(1 - squares)], axis=1)


def test_from_texts(served, texts, by_formula) -> None:
    found = served["item_tower"]("serving_default", text=np.array(texts, object))["embedding"]
    np.testing.assert_allclose(found, by_formula, atol=2e-6)


def test_from_tokens_in_any_company(served, trained, texts, by_formula) -> None:
    ids, mask = trained.encoder().tokenizer(texts)
    found = served["item_tower"]("from_tokens", ids=ids, mask=mask)["embedding"]
    np.testing.assert_allclose(found, by_formula, atol=2e-6)
    alone = served["item_tower"]("from_tokens", ids=ids[3:4], mask=mask[3:4])["embedding"]
    np.testing.assert_allclose(alone, by_formula[3:4], atol=2e-6)


def test_an_unknown_text_in_a_history(served, trained, by_formula, texts) -> None:
    """The user tower and the recommender read unknown texts by a tower of their own."""
    unknown = next(place for place, text in enumerate(texts) if text.startswith("TEA,"))
    items, mask = by_formula[None, unknown : unknown + 1], np.ones((1, 1))
    wanted = trained.user_tower({"items": items.astype(np.float32), "mask": mask.astype("f4")})
    history = np.array([[texts[unknown]]], object)
    found = served["user_tower"]("serving_default", history=history)["embedding"]
    np.testing.assert_allclose(found, wanted.numpy(), atol=5e-6)


@pytest.mark.parametrize(
    ("variant", "least"), [("float32", 0.999999), ("float16", 0.9999), ("dynamic_int8", 0.99)]
)
def test_on_a_phone(bundle, trained, texts, by_formula, variant: str, least: float) -> None:
    interpreter = Interpreter(
        model_path=str(bundle.edge_path / f"item_tower.{variant}.tflite"), num_threads=1
    )
    lookups = [op for op in interpreter._get_ops_details() if op["op_name"] == "EMBEDDING_LOOKUP"]
    assert len(lookups) == 2  # word pieces of BERT, and grams
    details = {detail["index"]: detail for detail in interpreter.get_tensor_details()}
    for lookup in lookups:
        table = details[lookup["inputs"][1]]
        if variant == "dynamic_int8":  # a row has a step of its own
            assert table["dtype"] == np.int8
            assert len(table["quantization_parameters"]["scales"]) == table["shape"][0]
    runner, found = interpreter.get_signature_runner(), []
    for text in texts:
        ids, mask = trained.encoder().tokenizer([text])
        short = [(0, 0), (0, trained.max_tokens - ids.shape[1])]
        found.append(runner(ids=np.pad(ids, short), mask=np.pad(mask, short))["embedding"][0])
    assert cosines(taste(by_formula), taste(np.array(found))).min() > least
    if variant == "float32":
        np.testing.assert_allclose(np.array(found), by_formula, atol=5e-6)


def test_a_tower_without_a_wide_part_is_the_projection_alone(new_run, texts) -> None:
    from dualtower_export.item_graph import ItemGraph
    from dualtower_export.serving_form import ServingForm
    from dualtower_trainer.checkpoint import load_trained

    narrow = load_trained(new_run("narrow", wide_grams=0))
    assert narrow.item_head.get_layer("wide").pieces == 0
    graph = ItemGraph(narrow.encoder(), narrow.item_head, ServingForm())
    np.testing.assert_allclose(graph.of_texts(texts), narrow.embed_texts(texts), atol=2e-6)
