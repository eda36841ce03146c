"""Training: from a data folder to a RUN folder, resumable at any moment.

RUN/
  config.toml         the resolved configuration
  request.json        what makes this training itself: data, encoder, configuration
  data_report.json    what the split kept, dropped and held out
  encodings.npz       the encoder's vectors of the catalogue
  selection.json      what the inner split chose
  select.safetensors  the last checkpoint on the inner split: weights, optimiser, best weights
  state.safetensors   the last checkpoint on the whole log
  training.json       curves, wall time, what was kept and why it stopped
  model/              the trained pair, see checkpoint.py
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dualtower.config import to_toml
from dualtower.errors import DualtowerError, UsageError
from dualtower.files import exclusive_lock, remove_stale, write_text
from dualtower.progress import say
from dualtower_trainer.checkpoint import load_trained, save_trained
from dualtower_trainer.closed_form.choose import Choice
from dualtower_trainer.data import data_hashes, data_report, load_dataset, split
from dualtower_trainer.data.text_lengths import cached_vocabulary
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.encoder_source import require_encoder, resolve_encoder, tuned_encoder
from dualtower_trainer.fit_final import fit_final
from dualtower_trainer.heads.labels import split_labels
from dualtower_trainer.item_texts import read_item_texts
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.scalar_log import draw_stored
from dualtower_trainer.select_recipe import Selection, inner_split, select_recipe

__all__ = ["RunConfig", "train"]

_OF_A_TRAINING = (
    "selection.json", "select.safetensors", "state.safetensors", "training.json",
    "evaluation.json", "request.json",
)  # fmt: skip


def train(data: Path, run: Path, config: RunConfig, *, overwrite: bool = False) -> dict[str, Any]:
    """Trains the pair and writes RUN; continues or reuses what a same request left there.

    Settings are chosen on an inner split of the log before the test period, then everything is
    fitted once more on all of it.

    Returns:
        The content of training.json, with `reused` true when nothing had to be done.

    Raises:
        UsageError: RUN belongs to another request, or another training is writing it.
        DataError: the data gives no training example or not what a head is to foresee, or training
            diverged.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    require_encoder(config.encoder)
    dataset = load_dataset(data)
    inner, with_hidden = inner_split(dataset, config)
    everything = split(dataset, config.split, refit=True, activity=config.filter)
    labels, all_labels = (
        split_labels(dataset, parts, config.heads) for parts in (inner, everything)
    )
    with exclusive_lock(run / ".lock"):
        remove_stale(run)
        begin_s = time.monotonic()
        words = list(dataset.catalogue.texts)
        # what the training here still needs is kept until its being replaced is asked for
        replace = overwrite or not (run / "request.json").exists()
        encoder = resolve_encoder(config.encoder, words, run, replace=replace)
        request = _request(data, encoder, config)
        if _same_request(run, request, overwrite) and (done := _finished(run)):
            _draw(config, run, done)
            return {**done, "reused": True}
        write_text(run / "config.toml", to_toml(config.sections()))
        report = data_report(dataset, inner, vocabulary=cached_vocabulary())
        write_text(run / "data_report.json", json.dumps(report, indent=2) + "\n")
        write_text(run / "request.json", json.dumps(request, indent=2) + "\n")
        encoder = tuned_encoder(encoder, inner, config.finetune, run)
        texts = read_item_texts(
            run / "encodings.npz",
            encoder,
            words,
            wide_grams=config.model.wide_grams,
            modal=dataset.catalogue.features,
        )
        selection = _selection(run / "selection.json")
        if selection is None:
            selection = select_recipe(inner, with_hidden, texts, config, run, labels)
            kept = {**asdict(selection)}
            write_text(run / "selection.json", json.dumps(kept, indent=2) + "\n")
        else:
            _draw(config, run, selection.facts)
        fitted = fit_final(everything, texts, config, selection, run, all_labels)
        training = {**selection.facts, **fitted.facts}
        training["examples"] = _examples(config, training)
        training["elapsed_s"] = time.monotonic() - begin_s
        save_trained(
            run,
            config=config.model,
            encoder=encoder,
            item_head=fitted.learner.item_head,
            user_tower=fitted.learner.user_tower,
            catalogue=dataset.catalogue,
            warm=everything.warm,
            vectors=fitted.vectors,
            split=config.split,
            data_path=dataset.path,
            training={name: value for name, value in training.items() if "losses" not in name},
            text_template=_text_template(data),
            heads=fitted.learner.heads if selection.steps else None,
        )
        write_text(run / "training.json", json.dumps(training, indent=2) + "\n")
    return {**training, "reused": False}


def _draw(config: RunConfig, run: Path, training: dict[str, Any]) -> None:
    """Curves of what an earlier command has trained already."""
    if config.train.tensorboard:
        draw_stored(Path(config.train.tensorboard, run.name), training)


def _examples(config: RunConfig, training: dict[str, Any]) -> int:
    return config.train.users_per_step * (len(training["losses"]) + len(training["final_losses"]))


def _choice(stored: dict[str, Any]) -> Choice:
    trends = tuple(tuple(trend) for trend in stored["trends"])
    return Choice(**{**stored, "trends": trends})


def _selection(path: Path) -> Selection | None:
    if not path.exists():
        return None
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        return Selection(
            _choice(stored["choice"]), stored["steps"], stored["cold_scale"], stored["facts"]
        )
    except (ValueError, KeyError, TypeError) as error:
        say(f"  {path} cannot be used ({error}); choosing again")
        return None


def _request(data: Path, encoder: Encoder, config: RunConfig) -> dict[str, Any]:
    sections = {name: asdict(section) for name, section in config.sections().items()}
    sections["encoder"]["sha256"] = encoder.sha256
    del sections["train"]["tensorboard"]  # where the curves are drawn changes nothing
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
    for name in _OF_A_TRAINING:
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "tuned_encoder", ignore_errors=True)
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


def _text_template(data: Path) -> str:
    """How the importer made an item's text; `{text}` where it was taken as it came."""
    try:
        report = json.loads((data / "import_report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "{text}"
    return str(report.get("text_template", "{text}"))
