"""Seeds, and the end of a training that no longer gets better."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.train import train

SMALL = ("train.steps=12", "train.evaluate_every=6", "train.initial=random")


def test_a_seed_makes_one_model_and_another_seed_another(
    shop: Path, settings: tuple[str, ...], tmp_path: Path
) -> None:
    hashes, metrics = [], []
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        config = load_run_config(None, (*settings, *SMALL, f"train.seed={seed}"))
        done = train(shop, tmp_path / name, config)
        hashes.append(load_trained(tmp_path / name).weights_sha256)
        metrics.append((done["losses"], done["history"], done["chosen"]))
    assert hashes[0] == hashes[1]
    assert metrics[0] == metrics[1]
    assert hashes[0] != hashes[2]
    assert metrics[0][0] != metrics[2][0]


@pytest.mark.parametrize("patience", [1, 2])
def test_training_stops_after_so_many_looks_without_a_better_value(
    shop: Path, settings: tuple[str, ...], tmp_path: Path, patience: int
) -> None:
    """At a rate this small nothing changes, so no look beats the start."""
    still = ("train.learning_rate=1e-12", "train.evaluate_every=3", f"train.patience={patience}")
    done = train(shop, tmp_path / "run", load_run_config(None, (*settings, *still)))
    assert done["stopped"] == f"no better value on validation in {patience} looks"
    assert len(done["losses"]) == 3 * patience
    assert [look["step"] for look in done["history"]] == list(range(0, 3 * patience + 1, 3))
    assert done["best_step"] == 0
    assert done["kept"] == "closed form"
    assert done["final_losses"] == []
