"""The sample on which the gates compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_export.config import ExportConfig
from dualtower_export.gate_data import choose, load_gate_data


def test_it_is_bounded_and_holds_the_targets_first() -> None:
    random = np.random.default_rng(1)
    histories = [random.integers(0, 500, 5) for _ in range(50)]
    targets = [random.integers(0, 500, 2) for _ in range(50)]
    data = choose(histories, targets, 500, ExportConfig(gate_users=20, gate_texts=60))
    assert len(data.histories) == len(data.targets) == 20
    wanted = np.unique(np.concatenate(data.targets))
    assert len(data.candidates) == 60
    assert np.isin(wanted, data.candidates).all()
    assert (np.diff(data.candidates) > 0).all()


def test_more_targets_than_texts_are_cut() -> None:
    targets = [np.arange(place, place + 10) for place in range(0, 100, 10)]
    data = choose([np.array([1])] * 10, targets, 100, ExportConfig(gate_texts=30))
    assert len(data.candidates) == 30


def test_the_seed_decides() -> None:
    histories, targets = [np.array([row]) for row in range(90)], [np.array([1])] * 90
    first, again, other = (
        choose(histories, targets, 90, ExportConfig(gate_users=9, gate_texts=9, seed=seed))
        for seed in (1, 1, 2)
    )
    assert first.candidates.tolist() == again.candidates.tolist()
    assert first.candidates.tolist() != other.candidates.tolist()


def test_held_out_users_come_from_the_data_of_the_run(trained) -> None:
    data = load_gate_data(trained, ExportConfig())
    assert 30 < len(data.histories) <= 80
    assert all(len(history) for history in data.histories)
    assert len(data.candidates) == 60


def test_the_period_is_named_and_whether_training_saw_it(trained, new_run) -> None:
    from dualtower_trainer.checkpoint import load_trained

    held = load_gate_data(trained, ExportConfig())
    assert (held.period, held.seen) == ("test", False)
    whole = load_trained(new_run("whole", hold_test=False))
    fitted = load_gate_data(whole, ExportConfig())
    assert fitted.as_json() == {
        "users": len(fitted.histories), "texts": 60, "period": "validation",
        "seen_in_training": True,
    }  # fmt: skip
    assert any(len(targets) for targets in fitted.targets)


def test_nobody_in_the_period_is_said(trained, new_run: Callable[..., Path]) -> None:
    from dualtower_trainer.checkpoint import load_trained

    whole = load_trained(new_run("whole", hold_test=False))
    strict = replace(whole, split=replace(whole.split, min_history=1000))
    with pytest.raises(DataError, match=r"split\.validation_share"):
        load_gate_data(strict, ExportConfig())


def test_data_that_moved_away_is_said(trained, tmp_path: Path) -> None:
    moved = replace(trained, data_path=tmp_path / "gone")
    with pytest.raises(DataError, match="--data DATA"):
        load_gate_data(moved, ExportConfig())
    assert len(load_gate_data(moved, ExportConfig(), trained.data_path).histories)


def test_data_with_another_catalogue_is_refused(trained, new_run: Callable[..., Path]) -> None:
    other = new_run("other", count=40).parent / "data"
    with pytest.raises(DataError, match="another catalogue"):
        load_gate_data(trained, ExportConfig(), other)
