"""Mined negatives and streamed frequencies: what they are, and that a resume goes on exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.batch_stream import BatchStream
from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.negatives_config import NegativesConfig
from dualtower_trainer.sampling import BatchSampler
from dualtower_trainer.tower_config import TowerConfig
from dualtower_trainer.towers import build_user_tower, fit_into_ball

ITEMS, USERS = 50, 16
MINED = {
    "hard_per_user": 3, "first_rank": 2, "last_rank": 8, "warmup_steps": 2, "refresh_every": 4,
    "max_score": 1.0, "margin": 0.0,
}  # fmt: skip


@dataclass
class RandomTowers:
    """Towers whose item parts differ at each step of a training."""

    config: TowerConfig = field(
        default_factory=lambda: TowerConfig(dim=8, history_items=12, hidden_units=8)
    )
    now: int = 0

    def __post_init__(self) -> None:
        self.user_tower: Any = build_user_tower(self.config)

    def parts(self) -> np.ndarray:
        random = np.random.default_rng(self.now)
        return random.normal(0, 0.3, (ITEMS, self.config.dim - 1)).astype(np.float32)


@pytest.fixture(scope="module")
def towers() -> RandomTowers:
    return RandomTowers()


def sampler(logs, groups=None, *, targets: int = 4, **options) -> BatchSampler:
    return BatchSampler(
        logs, ITEMS, history_items=12, users_per_step=USERS, targets_per_user=targets,
        uniform_negatives=20, negatives=NegativesConfig(**options), groups=groups,
    )  # fmt: skip


def same(one, other) -> None:
    for name in vars(one):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("near", [False, True])
def test_mined_items_lie_in_the_ranks_asked_for(logs, groups, towers, near: bool) -> None:
    source = sampler(logs, groups, near_duplicates=near, **MINED)
    stream = BatchStream(source, seed=0)
    towers.now = 0
    assert len(stream.batch(1, towers).candidates) == source.drawn, "nothing in the warm-up"
    towers.now = 2
    batch = stream.batch(2, towers)
    mined = batch.rows[batch.candidates][source.drawn :].reshape(USERS, 3)
    open_to_own = ~batch.accidental[:, source.drawn :].reshape(USERS, USERS, 3)
    vectors = fit_into_ball(towers.parts())
    checked = 0
    for row, user in enumerate(batch.users):
        log = source.logs[user]
        taken = np.isin(groups, groups[log]) if near else np.isin(np.arange(ITEMS), log)
        hidden = source.hidden(len(log))
        person = embed_histories(towers.user_tower, vectors, [log[hidden:]], towers.config)[0]
        scores = vectors @ person
        scores[taken | ~np.isin(np.arange(ITEMS), source.trained_rows)] = -np.inf
        ranked = np.argsort(-scores)
        bound = (vectors[log[:hidden]] @ person).mean()
        allowed = {item for item in ranked[2:8].tolist() if scores[item] <= bound + 1e-5}
        found = mined[row][open_to_own[row, row]].tolist()
        assert set(found) <= allowed
        assert len(found) >= min(3, sum(scores[item] <= bound - 1e-5 for item in allowed))
        checked += len(found)
    assert checked > 5


@pytest.mark.parametrize("kept_until", [1, 4, 6])
def test_a_resume_goes_on_with_the_negatives_of_older_weights(
    logs, towers, kept_until: int
) -> None:
    source = sampler(logs, log_q="streaming", **MINED)
    whole, broken = BatchStream(source, seed=4), BatchStream(source, seed=4)
    batches = []
    for step in range(12):
        towers.now = step
        batches.append(whole.batch(step, towers))
        if step <= kept_until:
            broken.batch(step, towers)
    resumed = BatchStream(source, seed=4)
    resumed.restore(broken.state())
    for step in range(kept_until + 1, 12):
        towers.now = step
        same(resumed.batch(step, towers), batches[step])
    steps_mined = [batch.rows[batch.candidates][source.drawn :] for batch in batches]
    assert not len(steps_mined[1])
    assert len(steps_mined[2]) == 3 * USERS


def test_mining_anew_brings_others(logs, towers) -> None:
    stream = BatchStream(sampler(logs, **MINED), seed=0)
    states = []
    for step in range(8):
        towers.now = step
        stream.batch(step, towers)
        states.append(stream.state()["hard/items"])
    np.testing.assert_array_equal(states[2], states[5])
    assert not np.array_equal(states[5], states[6])


def test_streamed_counts_approach_the_exact_ones(logs, towers) -> None:
    exact, streamed = sampler(logs), sampler(logs, log_q="streaming", log_q_rate=0.001)
    known, estimated = np.full(ITEMS, np.nan), np.full(ITEMS, np.nan)
    stream = BatchStream(streamed, seed=0)
    steps = 1_200
    for step in range(steps):
        batch = stream.batch(step, towers)
        rows = batch.rows[batch.candidates]
        estimated[rows] = batch.log_expected_count
    first = exact.batch(seed=0, step=steps)
    known[first.rows[first.candidates]] = first.log_expected_count
    seen = ~np.isnan(known)
    assert seen.sum() > 20
    # a mean of n geometric gaps has the relative error 1/√n; the rarest item has n of about 250
    np.testing.assert_allclose(estimated[seen], known[seen], atol=0.15)
    assert np.exp(known[seen]).max() > 1, "an item that a batch holds more than once is right too"
    early = BatchStream(streamed, seed=0).batch(0, towers)
    late = exact.batch(seed=0, step=0)
    assert np.abs(early.log_expected_count - late.log_expected_count).max() > 0.5


def test_a_state_of_other_settings_is_refused(logs, towers) -> None:
    state = BatchStream(sampler(logs, **MINED), seed=0).state()
    with pytest.raises(DataError, match=r"the saved negatives are .* --overwrite"):
        BatchStream(sampler(logs, **{**MINED, "hard_per_user": 2}), seed=0).restore(state)
    with pytest.raises(DataError, match=r"frequency/last.* --overwrite"):
        BatchStream(sampler(logs, log_q="streaming"), seed=0).restore(state)
