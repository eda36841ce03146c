"""What the signatures of a bundle answer, against the trainer's towers without a graph."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower_export.gate_retrieval import list_errors
from dualtower_export.warmup import token_rows


def strings(rows: list, columns: int | None = None) -> np.ndarray:
    """A rectangle of strings; shorter rows are filled with "" at the end."""
    width = max([len(row) for row in rows], default=0) if columns is None else columns
    full = [[*row, *[""] * (width - len(row))] for row in rows]
    return np.array(full, object).reshape(len(rows), width)


def near(found: np.ndarray, wanted: np.ndarray) -> None:
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.fixture(scope="session")
def texts(trained) -> list[str]:
    return [str(text) for text in trained.texts]


@pytest.fixture(scope="session")
def ids(trained) -> list[str]:
    return [str(item_id) for item_id in trained.item_ids]


HARD_TEXTS = [
    "",
    " ",
    "[SEP] tea",
    "café\0 TEA",
    "茶米",
    "🍵",
    "x" * 500,
    "tea " * 200,
    "\u202e ab",
]


def test_items_from_texts(served, reference, texts) -> None:
    sample = [*texts[:20], *HARD_TEXTS]
    found = served["item_tower"]("serving_default", text=np.array(sample, object))
    near(found["embedding"], reference.items(sample))
    np.testing.assert_allclose(np.linalg.norm(found["embedding"], axis=1), 1, atol=1e-5)


def test_broken_utf8_is_an_item_too(served, reference) -> None:
    raw = [b"tea \xff\xfe milk", b"\xc3", b"\x00"]
    found = served["item_tower"]("serving_default", text=np.array(raw, object))
    near(found["embedding"], reference.items(raw))


def test_an_item_does_not_depend_on_its_batch(served, texts) -> None:
    model = served["item_tower"]
    together = model("serving_default", text=np.array([*texts[:5], "tea " * 50], object))
    alone = [model("serving_default", text=np.array([text], object)) for text in texts[:5]]
    near(together["embedding"][:5], np.concatenate([one["embedding"] for one in alone]))


def test_the_id_residual_is_not_in_the_item_tower(served, trained, texts) -> None:
    """A text alone differs from its catalogue vector just where training saw the item."""
    found = served["item_tower"]("serving_default", text=np.array(texts, object))["embedding"]
    assert 0 < trained.warm.sum() < len(texts)
    assert ((np.abs(found - trained.vectors).max(axis=1) > 1e-3) == trained.warm).all()


@pytest.mark.parametrize("columns", [0, 1, 5, 12, 30])
def test_items_from_tokens_of_any_width(served, reference, plan, texts, columns: int) -> None:
    ids, mask = plan.encoder.tokenizer(texts[:6])
    if columns < ids.shape[1]:
        ids, mask = ids[:, :columns], mask[:, :columns]
    else:
        short = [(0, 0), (0, columns - ids.shape[1])]
        ids, mask = np.pad(ids, short), np.pad(mask, short)
    found = served["item_tower"]("from_tokens", ids=ids, mask=mask)["embedding"]
    assert found.shape == (6, 32)
    assert np.isfinite(found).all()
    if columns >= 12:
        near(found, reference.items(texts[:6]))


def test_tokens_padded_by_the_server_change_nothing(served, reference, plan, texts) -> None:
    """tensorflow/serving#1279: pads are the first element, [CLS] in ids and 1 in the mask."""
    ids, mask = plan.encoder.tokenizer([texts[2]])
    wide = [(0, 0), (0, 12 - ids.shape[1])]
    ids = np.pad(ids, wide, constant_values=ids[0, 0])
    mask = np.pad(mask, wide, constant_values=mask[0, 0])
    near(
        served["item_tower"]("from_tokens", ids=ids, mask=mask)["embedding"],
        reference.items([texts[2]]),
    )


def test_users_from_texts(served, reference, texts) -> None:
    histories = [
        texts[:3],
        [],
        ["", texts[4], "", "", texts[4], texts[9]],
        ["never seen tea", texts[1], "never seen tea", "another new thing"],
        [texts[7]],  # shares its text with row 3, which stands for it
        texts[20:40],  # more than the tower reads
        [" "],  # blank, yet no pad
    ]
    found = served["user_tower"]("serving_default", history=strings(histories))["embedding"]
    near(found, reference.users_of_texts(histories))


def test_the_first_row_of_a_shared_text_is_read(served, trained, texts) -> None:
    assert texts[3] == texts[7]
    by_text = served["user_tower"]("serving_default", history=strings([[texts[7]]]))["embedding"]
    near(by_text, trained.embed_histories([np.array([3])]))
    assert np.abs(by_text - trained.embed_histories([np.array([7])])).max() > 1e-3


def test_users_from_item_ids(served, reference, ids, trained) -> None:
    histories = [
        ids[:3],
        [],
        ["no such item", ids[5], ids[5], "", ids[0]],
        ["no such item"],
        ids[10:30],
    ]
    found = served["user_tower"]("from_item_ids", item_ids=strings(histories))["embedding"]
    near(found, reference.users_of_item_ids(histories))
    near(found[4:], trained.embed_histories([np.arange(10, 30)]))


def test_an_empty_history_is_the_learned_fallback(served, trained, plan) -> None:
    fallback = trained.embed_histories([np.array([], int)])
    model, blank = served["user_tower"], np.zeros((1, 24), np.int32)
    for found in (
        model("serving_default", history=strings([[]])),
        model("serving_default", history=strings([["", ""]])),
        model("from_item_ids", item_ids=strings([["unknown"]])),
        model("from_tokens", ids=blank, mask=blank),
    ):
        near(found["embedding"], fallback)


def test_users_from_tokens(served, reference, plan, texts) -> None:
    histories = [texts[:4], [], [texts[1], texts[1], "new tea", texts[2]], texts[:12]]
    inputs = token_rows(histories, 12, plan.encoder.tokenizer)
    wanted = reference.users_of_encoded_texts(histories)
    near(served["user_tower"]("from_tokens", **inputs)["embedding"], wanted)
    # the server may pad with [CLS] under a mask of 1, also by less than a whole item
    wide = {
        name: np.pad(value[:1], [(0, 0), (0, 30)], constant_values=value[0, 0])
        for name, value in inputs.items()
    }
    near(served["user_tower"]("from_tokens", **wide)["embedding"], wanted[:1])


def test_texts_of_the_same_word_pieces_are_one_item_where_only_tokens_come(
    served, reference, plan, texts
) -> None:
    """Two titles that differ behind the token limit, or in case, cannot be told apart there."""
    shout = [texts[1].upper(), texts[2]]
    inputs = token_rows([[texts[1], *shout]], 12, plan.encoder.tokenizer)
    found = served["user_tower"]("from_tokens", **inputs)["embedding"]
    near(found, reference.users_of_encoded_texts([texts[1:3]]))
    near(found, reference.users_of_encoded_texts([[texts[1], *shout]]))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (2, 0)])
def test_no_rows_and_no_columns(served, shape: tuple[int, int]) -> None:
    text, number = np.empty(shape, object), np.zeros(shape, np.int32)
    user, item = served["user_tower"], served["item_tower"]
    for found in (
        user("serving_default", history=text),
        user("from_item_ids", item_ids=text),
        user("from_tokens", ids=number, mask=number),
        item("from_tokens", ids=number, mask=number),
    ):
        assert found["embedding"].shape == (shape[0], 32)
    assert item("serving_default", text=np.empty(0, object))["embedding"].shape == (0, 32)
    for found in (
        served["recommender"]("serving_default", history=text, exclude=text),
        served["recommender"]("from_item_ids", item_ids=text, exclude=text),
    ):
        assert found["item_ids"].shape == found["scores"].shape == (shape[0], 20)


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_recommendations_are_brute_force(served, reference, texts, ids, data) -> None:
    entry = st.one_of(st.integers(0, 59), st.sampled_from(["", "new tea", "new milk"]))
    rows = data.draw(st.lists(st.lists(entry, max_size=12), min_size=1, max_size=3))
    excluded = data.draw(
        st.lists(
            st.lists(st.sampled_from([*ids, "", "unknown"]), max_size=6),
            min_size=len(rows),
            max_size=len(rows),
        )
    )
    for signature, alias, values, users, seen in (
        (
            "serving_default", "history", texts,
            reference.users_of_texts, reference.seen_of_texts,
        ),
        (
            "from_item_ids", "item_ids", ids,
            reference.users_of_item_ids, reference.seen_of_item_ids,
        ),
    ):  # fmt: skip
        histories = [[values[e] if isinstance(e, int) else e for e in row] for row in rows]
        inputs = {alias: strings(histories), "exclude": strings(excluded)}
        found = served["recommender"](signature, **inputs)
        wanted = reference.scores(users(histories), [seen(row) for row in histories], excluded)
        for names, said, scores in zip(found["item_ids"], found["scores"], wanted, strict=True):
            listed = [raw.decode() for raw in names]
            assert list_errors(listed, said, scores, np.array(ids, object))[2] == ""


def test_never_blocked_seen_or_excluded(served, trained, texts, ids) -> None:
    history, excluded = [texts[3], texts[20]], [ids[30], ids[31]]
    found = served["recommender"](
        "serving_default", history=strings([history]), exclude=strings([excluded])
    )
    listed = {raw.decode() for raw in found["item_ids"][0]}
    assert len(listed) == 20
    # item 7 goes with item 3: they are described in the same words
    assert not listed & {ids[row] for row in (3, 7, 20, 30, 31, 5, 11)}
    by_id = served["recommender"](
        "from_item_ids", item_ids=strings([[ids[3]]]), exclude=strings([[]])
    )
    assert ids[3] not in {raw.decode() for raw in by_id["item_ids"][0]}


def test_when_little_is_left_the_tail_is_empty(served, ids) -> None:
    exclude = strings([ids[:55]])
    found = served["recommender"]("from_item_ids", item_ids=strings([[]]), exclude=exclude)
    listed = [raw.decode() for raw in found["item_ids"][0]]
    assert sorted(listed[:5]) == sorted(ids[55:])
    assert listed[5:] == [""] * 15
    assert np.isneginf(found["scores"][0, 5:]).all()
    assert np.isfinite(found["scores"][0, :5]).all()
    nothing = served["recommender"]("from_item_ids", item_ids=strings([[]]), exclude=strings([ids]))
    assert set(nothing["item_ids"][0]) == {b""}


def test_the_servers_padding_of_one_row_changes_nothing(served, texts, ids) -> None:
    model = served["recommender"]
    plain = model(
        "serving_default", history=strings([texts[:3]]), exclude=strings([[ids[50], ids[51]]])
    )
    history = np.array([[*texts[:3], *[texts[0]] * 9]], object)
    exclude = np.array([[ids[50], ids[51], *[ids[50]] * 5]], object)
    padded = model("serving_default", history=history, exclude=exclude)
    assert plain["item_ids"].tolist() == padded["item_ids"].tolist()
    np.testing.assert_array_equal(plain["scores"], padded["scores"])


def test_known_texts_never_reach_bert(bundle, texts) -> None:
    """Which ops ran is read off the session's own trace."""
    ran = {}
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session(graph=graph) as session:
        loaded = tf.compat.v1.saved_model.load(
            session, ["serve"], str(bundle.model_path("user_tower") / "1")
        )
        signature = loaded.signature_def["serving_default"]
        for name, history in (("known", texts[:6]), ("unknown", [*texts[:5], "new tea"])):
            facts = tf.compat.v1.RunMetadata()
            session.run(
                signature.outputs["embedding"].name,
                {signature.inputs["history"].name: np.array([history], object)},
                options=tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE),
                run_metadata=facts,
            )
            ran[name] = [
                node.timeline_label for device in facts.step_stats.dev_stats
                for node in device.node_stats
            ]  # fmt: skip
    for op in ("FastWordpieceTokenize", "Softmax"):
        assert any(op in label for label in ran["unknown"])
        assert not any(op in label for label in ran["known"])


def test_describe_answers_a_client_that_sends_nothing(served, bundle) -> None:
    for name, model in served.items():
        said = model("describe")
        assert said["fingerprint"].tolist() == [bundle.fingerprint.encode()]
        assert said["model"].tolist() == [name.encode()]
        assert said["bundle_version"].tolist() == [1]
        assert said["bundle_version"].dtype == np.int64
        sizes = [int(said[key][0]) for key in ("dim", "history_items", "item_tokens", "k_max")]
        assert sizes == [32, 8, 12, 20]
        batch = model("describe", ask=np.array(["a", "b", "c"], object))
        assert all(value.shape == (3,) for value in batch.values())
        assert model("describe", ask=np.empty(0, object))["dim"].shape == (0,)


def test_an_input_that_is_missing_is_named(served) -> None:
    with pytest.raises(KeyError, match="exclude"):
        served["recommender"]("serving_default", history=strings([[]]))


def test_it_also_loads_as_a_python_object(bundle, served, texts) -> None:
    loaded = tf.saved_model.load(str(bundle.model_path("user_tower") / "1"))
    history = strings([[texts[0], "new tea"]])
    found = loaded.signatures["serving_default"](history=tf.constant(history))["embedding"]
    wanted = served["user_tower"]("serving_default", history=history)["embedding"]
    near(found.numpy(), wanted)


def test_weights_and_vectors_are_stored_once(bundle, trained) -> None:
    """As constants in the item tower, which always runs BERT; as variables where it is rare."""
    table = np.ascontiguousarray(trained.encoder().tensors["embeddings.word_embeddings.weight"])
    for model, frozen in (("user_tower", False), ("item_tower", True), ("recommender", False)):
        version = bundle.model_path(model) / "1"
        graph = (version / "saved_model.pb").read_bytes()
        variables = (version / "variables" / "variables.data-00000-of-00001").read_bytes()
        assert graph.count(table.tobytes()) == frozen
        assert variables.count(table.tobytes()) == (not frozen)
        assert graph.count(trained.vectors.tobytes()) == 0
        assert variables.count(trained.vectors.tobytes()) == (model != "item_tower")
