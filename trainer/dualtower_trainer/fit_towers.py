"""The loop of contrastive training: steps, looks at validation, checkpoints, early stopping."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import DataError
from dualtower.progress import bar, say
from dualtower_trainer.batch_stream import BatchStream
from dualtower_trainer.learner import Learner
from dualtower_trainer.learner_state import restore_learner, save_learner
from dualtower_trainer.sampling import BatchSampler
from dualtower_trainer.scalar_log import ScalarLog
from dualtower_trainer.stop_signal import stop_signal
from dualtower_trainer.validation import Look

__all__ = ["fit_towers"]


def fit_towers(
    learner: Learner,
    sampler: BatchSampler,
    state: Path,
    *,
    steps: int,
    title: str,
    look: Callable[[], Look] | None,
    heads: Callable[[], dict[str, float]] | None = None,
) -> dict[str, Any]:
    """Trains until the steps are done or validation stops getting better.

    Every `evaluate_every` steps leaves a checkpoint at `state`, from which the same call goes on
    with the very same losses. With `look`, the learner ends with the weights of the best look, the
    start among them; without, with the last ones. `heads` gives further numbers of a look, which
    choose nothing.

    Returns:
        history, losses of every step, wall_s, step, stopped, best_step.

    Raises:
        DataError: the loss is not finite, or has left the range where it learns.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    options = learner.train
    best: dict[str, np.ndarray] = learner.weights()
    facts: dict[str, Any] = {"step": 0, "history": [], "losses": [], "wall_s": 0.0}
    stream = BatchStream(sampler, seed=options.seed)
    if state.exists():
        best, facts, drawn = restore_learner(state, learner)
        stream.restore(drawn)
        if 0 < facts["step"] < steps:
            say(f"  resuming at step {facts['step']} of {steps}")
    elif look is not None:
        facts["history"].append(_entry(learner, 0, None, look(), heads))
    begin_s = time.monotonic() - facts["wall_s"]
    stopped = _stopped(facts, steps, options.patience)
    board = Path(options.tensorboard, state.parent.name, title) if options.tensorboard else None
    with (
        bar(
            title, steps, done=facts["step"], unit="histories", units_each=sampler.users_per_step
        ) as moving,
        closing(ScalarLog(board, facts)) as scalars,
        stop_signal() as interrupted,
    ):
        while stopped is None:
            step = facts["step"]
            loss = learner.step(stream.batch(step, learner), step)
            _check(loss, step, facts["losses"], options.learning_rate)
            facts["losses"].append(loss)
            facts["step"] = step + 1
            scalars.loss(step + 1, loss)
            note = f"loss {loss:.3f}" if step % 10 == 0 else ""
            if facts["step"] % options.evaluate_every == 0 or facts["step"] == steps:
                if look is not None:
                    recent = facts["losses"][-options.evaluate_every :]
                    entry = _entry(learner, facts["step"], float(np.mean(recent)), look(), heads)
                    if entry["value"] > max(past["value"] for past in facts["history"]):
                        best = learner.weights()
                    facts["history"].append(entry)
                    scalars.look(entry)
                    note = f"recall@20 {entry['validation_recall_at_20'] or 0:.4f}"
                facts["wall_s"] = time.monotonic() - begin_s
                save_learner(state, learner, best, facts, stream.state())
                stopped = _stopped(facts, steps, options.patience)
            moving.advance(note=note)
            if interrupted.is_set() and stopped is None:
                facts["wall_s"] = time.monotonic() - begin_s
                save_learner(state, learner, best, facts, stream.state())
                say(f"stopped at step {facts['step']}; run the same command to resume")
                raise KeyboardInterrupt
    best_step = facts["step"]
    if look is not None:
        learner.set_weights(best)
        best_step = max(facts["history"], key=lambda past: past["value"])["step"]
    return {**facts, "stopped": stopped, "best_step": best_step}


def _entry(
    learner: Learner,
    step: int,
    loss: float | None,
    look: Look,
    heads: Callable[[], dict[str, float]] | None,
) -> dict[str, Any]:
    return {
        "step": step,
        "loss": loss,
        "value": look.value,
        **look.numbers(),
        **(heads() if heads is not None else {}),
        "temperature": learner.temperature,
        "learning_rate": learner.learning_rate(step),
    }


def _check(loss: float, step: int, losses: list[float], rate: float) -> None:
    """Stops a training that came apart, before hours are spent on it."""
    first = np.median(losses[:20]) if len(losses) >= 20 else None
    last = np.median([*losses[-19:], loss])
    if not np.isfinite(loss):
        found = f"the loss is {loss}"
    elif first is not None and last > first + max(2.0, abs(first)):
        found = f"the loss rose from {first:.3g} to {last:.3g}"
    else:
        return
    raise DataError(
        f"training diverged at step {step + 1}: {found}; lower --set "
        f"train.learning_rate={rate / 4:g}, or look for broken vectors with "
        "`dualtower data describe`"
    )


def _stopped(facts: dict[str, Any], steps: int, patience: int) -> str | None:
    """Why training is over, or None."""
    history = facts["history"]
    if history:
        values = [entry["value"] for entry in history]
        if len(values) - 1 - int(np.argmax(values)) >= patience:
            return f"no better value on validation in {patience} looks"
    return "all steps done" if facts["step"] >= steps else None
