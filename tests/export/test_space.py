"""The fingerprint: equal for one checkpoint, another for anything that moves a vector."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower.bundle import fingerprint_of
from dualtower_export.config import ExportConfig
from dualtower_export.plan import plan_export
from dualtower_export.space import hash_strings


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


def test_one_changed_weight_changes_it(run: Path, new_run: Callable[..., Path]) -> None:
    import numpy as np

    from dualtower_trainer.checkpoint import load_trained, save_trained

    changed = new_run("nudged")
    before = load_trained(changed)
    vectors = before.vectors.copy()
    vectors[17, 3] = np.nextafter(vectors[17, 3], np.float32(1))
    save_trained(
        changed,
        config=before.config,
        encoder=before.encoder(),
        item_head=before.item_head,
        user_tower=before.user_tower,
        catalogue=before.catalogue,
        warm=before.warm,
        vectors=vectors,
        split=before.split,
        data_path=before.data_path,
        training=before.training,
    )
    assert _fingerprint(changed) != _fingerprint(run)


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
