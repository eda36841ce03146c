"""Training of the towers on cached encodings, on demand, on a made-up shop. See `peer`.

The shop has as many items, people and purchases as a small one; what they are has no influence on
the time of a step. The sampler's time is part of it, as in a real training.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_trainer.quiet_tensorflow import import_tensorflow

__all__ = ["main"]

_PIECES, _TOKENS = 5000, 12  # of the wide part's vocabulary, and of a text
_SECOND_S = 3600


def main() -> None:
    """Reads the job, then takes steps as they are asked for."""
    job = json.loads(sys.stdin.readline())
    import_tensorflow()
    import tensorflow as tf

    from dualtower_trainer.learner_setup import make_learner, make_sampler
    from dualtower_trainer.run_config import RunConfig

    config = RunConfig()
    parts, texts = _shop(job, config)
    learner, sampler = make_learner(parts, texts, config), make_sampler(parts, config)
    learner.start_at_random(parts.warm)
    _answer(
        {
            "ready": f"tensorflow {tf.__version__}",
            "histories": sampler.users_per_step,
            "targets": config.train.targets_per_user,
            "negatives": config.train.uniform_negatives,
        }
    )
    step = 0
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(json.loads(line)["steps"]):
            begin_ns = time.perf_counter_ns()
            losses.append(learner.step(sampler.batch(seed=0, step=step), step))
            seconds.append((time.perf_counter_ns() - begin_ns) / 1e9)
            step += 1
        _answer({"seconds": seconds, "losses": losses})


def _shop(job: dict[str, Any], config: Any) -> tuple[Any, Any]:
    """A split and its texts, as `dualtower train` has them once BERT has read the catalogue."""
    from dualtower_trainer.data import Catalogue, Dataset, Interactions, split
    from dualtower_trainer.item_texts import ItemTexts
    from dualtower_trainer.wide import build_wide_vocabulary

    random = np.random.default_rng(0)
    items, users, taken = job["items"], job["users"], job["taken"]
    ids = random.integers(4, _PIECES, (items, _TOKENS)).astype(np.int32)
    mask = np.ones_like(ids)
    vocabulary = build_wide_vocabulary(
        ids, mask, special_ids=(2, 3), max_grams=config.model.wide_grams
    )
    texts = ItemTexts(
        random.normal(0, 1, (items, job["hidden"])).astype(np.float32),
        vocabulary,
        vocabulary.bag(ids, mask),
        _PIECES,
    )
    names = np.asarray([f"{row:06d}" for row in range(max(items, users))], object)
    catalogue = Catalogue(names[:items], names[:items], None, np.zeros(items, bool))
    chosen = np.concatenate([random.choice(items, taken, replace=False) for _ in range(users)])
    log = Interactions(
        np.repeat(np.arange(users, dtype=np.int32), taken),
        chosen.astype(np.int32),
        random.integers(0, users * taken, users * taken) * _SECOND_S,
        np.ones(users * taken, np.float32),
        names[:users],
    )
    return split(Dataset(catalogue, log, Path(), 0), config.split), texts


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
