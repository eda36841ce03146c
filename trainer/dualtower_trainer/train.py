"""Training: from a data folder to a RUN folder, resumable at any moment.

RUN/
  config.toml         the resolved configuration
  request.json        what makes this training itself: data, encoder, configuration
  data_report.json    what the split kept, dropped and held out
  encodings.npz       the frozen encoder's vectors of the catalogue
  state.safetensors   the last checkpoint: weights, optimiser, best weights, history
  training.json       curves, wall time, why it stopped
  model/              the trained pair, see checkpoint.py
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.config import to_toml
from dualtower.errors import DataError, DualtowerError, UsageError
from dualtower.files import atomic_file, exclusive_lock, remove_stale, write_text
from dualtower.progress import bar, say
from dualtower_trainer.checkpoint import embed_histories, load_trained, save_trained
from dualtower_trainer.data import Split, SplitConfig, data_hashes, load_dataset, split
from dualtower_trainer.encoder import Encoder, EncoderConfig
from dualtower_trainer.encoder_source import resolve_encoder
from dualtower_trainer.learner import Learner
from dualtower_trainer.metrics import ndcg_at, recall_at, top_k
from dualtower_trainer.sampling import BatchSampler
from dualtower_trainer.towers import TowerConfig
from dualtower_trainer.train_config import TrainConfig

__all__ = ["RunConfig", "train"]


@dataclass(frozen=True)
class RunConfig:
    """The sections that a training reads."""

    split: SplitConfig = field(default_factory=SplitConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    model: TowerConfig = field(default_factory=TowerConfig)
    train: TrainConfig = field(default_factory=TrainConfig)

    def sections(self) -> dict[str, Any]:
        return {"split": self.split, "encoder": self.encoder, "model": self.model,
                "train": self.train}  # fmt: skip


def train(data: Path, run: Path, config: RunConfig, *, overwrite: bool = False) -> dict[str, Any]:
    """Trains the pair and writes RUN; continues or reuses what a same request left there.

    Returns:
        The content of training.json, with `reused` true when nothing had to be done.

    Raises:
        UsageError: RUN belongs to another request, or another training is writing it.
        DataError: the data gives no training example, or training diverged.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    dataset = load_dataset(data)
    parts = split(dataset, config.split)
    with exclusive_lock(run / ".lock"):
        remove_stale(run)
        encoder = resolve_encoder(config.encoder, list(dataset.catalogue.texts), run)
        request = _request(data, encoder, config)
        if _same_request(run, request, overwrite) and (done := _finished(run)):
            return {**done, "reused": True}
        write_text(run / "config.toml", to_toml(config.sections()))
        write_text(run / "data_report.json", json.dumps(parts.report, indent=2) + "\n")
        write_text(run / "request.json", json.dumps(request, indent=2) + "\n")
        encodings = _encodings(run / "encodings.npz", encoder, list(dataset.catalogue.texts))
        learner = Learner(config.model, config.train, encodings, parts.warm)
        training = _fit(learner, parts, config, run / "state.safetensors")
        save_trained(
            run,
            config=config.model,
            encoder=encoder,
            item_head=learner.item_head,
            user_tower=learner.user_tower,
            catalogue=dataset.catalogue,
            warm=parts.warm,
            vectors=learner.item_vectors(),
            split=config.split,
            data_path=dataset.path,
            training=training,
            text_template=_text_template(data),
        )
        write_text(run / "training.json", json.dumps(training, indent=2) + "\n")
    return {**training, "reused": False}


def _fit(learner: Learner, parts: Split, config: RunConfig, state: Path) -> dict[str, Any]:
    options = config.train
    try:
        sampler = BatchSampler(
            _logs(parts),
            len(parts.catalogue),
            history_items=config.model.history_items,
            users_per_step=options.users_per_step,
            targets_per_user=options.targets_per_user,
            uniform_negatives=options.uniform_negatives,
            short_history_share=options.short_history_share,
        )
    except ValueError as error:
        raise DataError(f"nothing to train on: {error}; see `dualtower data describe`") from error
    best: dict[str, np.ndarray] = learner.weights()
    facts: dict[str, Any] = {"step": 0, "history": [], "losses": [], "wall_s": 0.0}
    if state.exists():
        best, facts = learner.restore(state)
        say(f"  resuming at step {facts['step']} of {options.steps}")
    look = _validation_look(learner, parts, config)
    begin_s = time.monotonic() - facts["wall_s"]
    stopped = _stopped(facts["history"], options)
    with bar("train", options.steps) as moving, _stop_signal() as interrupted:
        moving.advance(facts["step"])
        while stopped is None:
            step = facts["step"]
            loss = learner.step(sampler.batch(seed=options.seed, step=step), step)
            if not np.isfinite(loss):
                raise DataError(
                    f"training diverged at step {step + 1}: the loss is {loss}; "
                    f"lower --set train.learning_rate={options.learning_rate / 4:g}, or look for "
                    "broken vectors with `dualtower data describe`"
                )
            facts["losses"].append(loss)
            facts["step"] = step + 1
            if facts["step"] % options.evaluate_every == 0 or facts["step"] == options.steps:
                entry = {
                    "step": facts["step"],
                    "epoch": facts["step"] * sampler.users_per_step / sampler.users,
                    "loss": float(np.mean(facts["losses"])),
                    "temperature": learner.temperature,
                    "learning_rate": learner.learning_rate(step),
                    **look(),
                }
                facts["losses"] = []
                if entry["validation_recall_at_20"] > _best_so_far(facts["history"]):
                    best = learner.weights()
                facts["history"].append(entry)
                facts["wall_s"] = time.monotonic() - begin_s
                learner.save(state, best, facts)
                stopped = _stopped(facts["history"], options)
                moving.advance(note=f"recall@20 {entry['validation_recall_at_20']:.4f}")
            else:
                moving.advance(note=f"loss {loss:.3f}" if step % 10 == 0 else "")
            if interrupted.is_set() and stopped is None:
                facts["wall_s"] = time.monotonic() - begin_s
                learner.save(state, best, facts)
                say(f"stopped at step {facts['step']}; run the same command to resume")
                raise KeyboardInterrupt
    learner.set_weights(best)
    return {
        "history": facts["history"],
        "wall_s": facts["wall_s"],
        "examples": sampler.users_per_step * facts["step"],
        "users": sampler.users,
        "stopped": stopped,
        "best_step": max(facts["history"], key=lambda h: h["validation_recall_at_20"])["step"],
    }


def _validation_look(
    learner: Learner, parts: Split, config: RunConfig
) -> Callable[[], dict[str, float]]:
    """A function that ranks validation users with the weights of now: warm items, history out."""
    held = parts.validation
    users = [place for place, wanted in enumerate(held.warm_targets) if len(wanted)]
    users = users[: config.train.validation_users]
    if not users:
        raise DataError(
            "no user of the validation period can be ranked; choose a longer one, e.g. "
            f"--set split.validation_days={2 * config.split.validation_days:g}"
        )
    histories = [held.histories[place] for place in users]
    targets = [held.warm_targets[place] for place in users]
    out = ~parts.warm | parts.catalogue.blocked

    def look() -> dict[str, float]:
        vectors = learner.item_vectors()
        embedded = embed_histories(learner.user_tower, vectors, histories, config.model)
        scores = embedded @ vectors.T
        scores[:, out] = -np.inf
        for row, history in zip(scores, histories, strict=True):
            row[history] = -np.inf
        ranked = top_k(scores, 20)
        return {
            "validation_recall_at_20": float(np.mean(recall_at(20, ranked, targets))),
            "validation_ndcg_at_20": float(np.mean(ndcg_at(20, ranked, targets))),
        }

    return look


def _stopped(history: list[dict[str, Any]], options: TrainConfig) -> str | None:
    """Why training is over, or None."""
    if not history:
        return None
    recalls = [entry["validation_recall_at_20"] for entry in history]
    if len(recalls) - 1 - int(np.argmax(recalls)) >= options.patience:
        return f"no better validation Recall@20 in {options.patience} looks"
    return "all steps done" if history[-1]["step"] >= options.steps else None


def _best_so_far(history: list[dict[str, Any]]) -> float:
    return max((entry["validation_recall_at_20"] for entry in history), default=-1.0)


def _logs(parts: Split) -> list[np.ndarray]:
    """Rows of each training user, most recent first."""
    log = parts.train
    order = np.lexsort((log.items, -log.timestamps, log.users))
    starts = np.flatnonzero(np.diff(log.users[order], prepend=-1))
    return np.split(log.items[order], starts[1:]) if len(order) else []


def _encodings(path: Path, encoder: Encoder, texts: list[str]) -> np.ndarray:
    digest = hashlib.sha256(f"{encoder.sha256} {encoder.max_tokens}\n".encode())
    digest.update("\0".join(texts).encode())
    key = digest.hexdigest()
    if path.exists():
        try:
            with np.load(path) as stored:
                if str(stored["key"]) == key:
                    say(f"  reusing the encodings in {path}")
                    return stored["encodings"]
        except (OSError, ValueError, KeyError) as error:
            say(f"  {path} cannot be used ({error}); encoding again")
    encodings = encoder.encode(texts)
    with atomic_file(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, key=np.array(key), encodings=encodings)
    return encodings


def _request(data: Path, encoder: Encoder, config: RunConfig) -> dict[str, Any]:
    sections = {name: asdict(section) for name, section in config.sections().items()}
    sections["encoder"]["sha256"] = encoder.sha256
    return {"data": data_hashes(data), **sections}


def _same_request(run: Path, request: dict[str, Any], overwrite: bool) -> bool:
    """Whether RUN was begun by this very request; clears what another one left, if told to."""
    path = run / "request.json"
    if not path.exists():
        return False
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        before = {}
    if before == json.loads(json.dumps(request)):
        return True
    if not overwrite:
        raise UsageError(
            f"{run} holds a training with other {_difference(before, request)}; "
            "add --overwrite to replace it, or choose another --out"
        )
    for name in ("state.safetensors", "training.json", "evaluation.json", "request.json"):
        (run / name).unlink(missing_ok=True)
    return False


def _difference(before: dict[str, Any], after: dict[str, Any]) -> str:
    changed = [
        f"{section}.{key}"
        for section, values in after.items()
        for key, value in values.items()
        if before.get(section, {}).get(key) != json.loads(json.dumps(value))
    ]
    return ", ".join(changed) or "settings"


def _finished(run: Path) -> dict[str, Any] | None:
    path = run / "training.json"
    if not path.exists():
        return None
    try:
        load_trained(run)
        done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (DualtowerError, ValueError) as error:
        say(f"  {run} is not whole ({error}); training goes on from its checkpoint")
        return None
    return done


@contextmanager
def _stop_signal() -> Iterator[threading.Event]:
    """Turns the first Ctrl-C or SIGTERM into a flag, so that a step is never cut in half."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield flag
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def raise_flag(number: int, _: object) -> None:
        if flag.is_set():  # asked twice: do not wait for the checkpoint
            raise KeyboardInterrupt
        flag.set()

    for number in before:
        signal.signal(number, raise_flag)
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _text_template(data: Path) -> str:
    """How the importer made an item's text; `{text}` where it was taken as it came."""
    try:
        report = json.loads((data / "import_report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "{text}"
    return str(report.get("text_template", "{text}"))
