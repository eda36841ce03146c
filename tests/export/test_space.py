"""The fingerprint: equal for one checkpoint, another for anything that moves a vector."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from dualtower.bundle import fingerprint_of
from dualtower.errors import DataError
from dualtower_export.config import ExportConfig
from dualtower_export.plan import plan_export
from dualtower_export.space import hash_strings
from dualtower_trainer.checkpoint import save_trained
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.towers import read_weights, write_weights


def _fingerprint(run: Path) -> str:
    return plan_export(run, ExportConfig()).fingerprint


def test_two_readings_of_one_run_agree(run: Path, new_run: Callable[..., Path]) -> None:
    again = new_run("again")  # the same training in another folder
    assert _fingerprint(run) == _fingerprint(run) == _fingerprint(again)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"extra_vocabulary": ("zebra",)},
        {"text_template": "{brand} {text}"},
        {"dim": 16},
        {"history_items": 9},
        {"max_tokens": 11},
        {"count": 59},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_moves_a_vector_changes_it(
    run: Path, new_run: Callable[..., Path], change: dict
) -> None:
    assert _fingerprint(new_run("changed", **change)) != _fingerprint(run)


@pytest.fixture(scope="module")
def nudged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for a run whose model is replaced at each example."""
    return tmp_path_factory.mktemp("nudged")


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_the_lowest_bit_of_any_weight_counts(
    run: Path, trained, nudged: Path, data: st.DataObject
) -> None:
    """Of the encoder, of both towers, of the catalogue's vectors; in whatever tensor, wherever."""
    towers = {"item": read_weights(trained.item_head), "user": read_weights(trained.user_tower)}
    encoder = trained.encoder()
    parts = {
        "encoder": dict(encoder.tensors),
        **towers,
        "catalogue": {"vectors": trained.vectors},
    }
    part = data.draw(st.sampled_from(sorted(parts)))
    name = data.draw(st.sampled_from(sorted(n for n, t in parts[part].items() if t.size)))
    changed = parts[part][name].copy()
    place = data.draw(st.integers(0, changed.size - 1))
    changed.reshape(-1).view(np.uint8)[place * changed.itemsize] ^= 1
    new = {**parts[part], name: changed}
    if part == "encoder":
        encoder = Encoder(
            folder=nudged, config=encoder.config, tensors=new, tokenizer=encoder.tokenizer
        )
    models = {"item": trained.item_head, "user": trained.user_tower}
    try:
        if part in models:
            write_weights(models[part], new)
        save_trained(
            nudged,
            config=trained.config,
            encoder=encoder,
            item_head=trained.item_head,
            user_tower=trained.user_tower,
            catalogue=trained.catalogue,
            warm=trained.warm,
            vectors=new["vectors"] if part == "catalogue" else trained.vectors,
            split=trained.split,
            data_path=trained.data_path,
            training=trained.training,
        )
    finally:
        for which, model in models.items():
            write_weights(model, towers[which])
    assert _fingerprint(nudged) != _fingerprint(run), (part, name, place)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_attention_heads", 1),
        ("layer_norm_eps", 1e-6),
        ("hidden_act", "gelu_new"),
        ("do_lower_case", False),
    ],
)
def test_how_the_encoder_reads_its_weights_counts(
    run: Path, new_run: Callable[..., Path], key: str, value: object
) -> None:
    """The same weights under another configuration are another space."""
    changed = new_run("changed")
    name = "tokenizer_config.json" if key == "do_lower_case" else "config.json"
    path = changed / "model" / "encoder" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    assert _fingerprint(changed) != _fingerprint(run)


def test_weights_changed_after_training_are_refused(new_run: Callable[..., Path]) -> None:
    """A whole file of the same shapes, but not the one that the towers were trained on."""
    changed = new_run("changed")
    path = changed / "model" / "encoder" / "model.safetensors"
    tensors = load_file(path)
    tensors["embeddings.word_embeddings.weight"][3, 3] += 1
    save_file(tensors, path)
    with pytest.raises(DataError, match=r"model\.safetensors was changed after training"):
        _fingerprint(changed)


def test_what_only_uses_vectors_does_not_change_it(run: Path) -> None:
    other = ExportConfig(version=9, k_max=3, batch_sizes=(1,), seed=5)
    assert plan_export(run, other).fingerprint == _fingerprint(run)


@given(st.data())
def test_every_field_of_the_space_counts(plan, data: st.DataObject) -> None:
    space = copy.deepcopy(plan.space)
    place, key = space, data.draw(st.sampled_from(sorted(space)))
    while isinstance(place[key], dict):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = f"{place[key]}x" if isinstance(place[key], str) else place[key] + 1
    assert fingerprint_of(space) != plan.fingerprint


@given(st.lists(st.text(max_size=3), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_different_lists_of_strings_have_different_hashes(left: list, right: list) -> None:
    assert (hash_strings(left) == hash_strings(right)) == (left == right)
