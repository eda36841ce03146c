"""What a training would cost, found out without training: `dualtower train --dry-run`.

Nothing is taken from a table of processors. A few steps are taken on towers that are thrown away,
and on a copy of the encoder where [finetune] tunes it, a few texts are encoded and a closed form of
at most 4,000 items is fitted, each timed on this machine; the rest is multiplication. Early
stopping can only make it shorter, so the time is an upper estimate; so is the memory of more items
than were fitted.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dualtower.config import to_toml
from dualtower_trainer.batch_stream import BatchStream
from dualtower_trainer.checkpoint import embed_histories
from dualtower_trainer.closed_form.choose import Choice
from dualtower_trainer.data import Catalogue, Split, load_dataset
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.encoder_source import resolve_encoder
from dualtower_trainer.graph_flops import graph_flops
from dualtower_trainer.heads.labels import split_labels
from dualtower_trainer.item_texts import ItemTexts
from dualtower_trainer.learner import Learner
from dualtower_trainer.learner_setup import closed_form_of, make_learner, make_sampler
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.select_recipe import inner_split
from dualtower_trainer.towers import fit_into_ball
from dualtower_trainer.validation import Validation
from dualtower_trainer.wide import build_wide_vocabulary

if TYPE_CHECKING:
    from dualtower_trainer.finetune.measured_plan import MeasuredPlan

__all__ = ["plan_as_toml", "plan_training"]

_TIMED_STEPS = 5
_TIMED_TEXTS = 128
_TIMED_ITEMS = 4000
# of a trained number: weights, the best ones and two moments as arrays and again as a file's bytes,
# and two more copies of the weights that the choice keeps
_CHECKPOINT_BYTES = 4 * (2 * 4 + 2)
_CLOSED_FORM_BYTES = 28  # an entry of items × items: kernel, Gram matrix, its inverse, the factors


def plan_training(data: Path, config: RunConfig) -> dict[str, Any]:
    """Sizes, operations, memory and time of a training on `data`; plain JSON.

    Returns:
        `items`, `users`; `parameters`, trainable and total; `flops_per_step`; `memory_bytes`;
        `finetune`, the same of tuning the encoder, or None; `time_s` by part and in all.

    Raises:
        DataError: the data gives no training example, or not what a head is to foresee.
        UnavailableError: the encoder cannot be had here.
    """
    dataset = load_dataset(data)
    parts, with_hidden = inner_split(dataset, config)
    labels = split_labels(dataset, parts, config.heads)
    words = list(dataset.catalogue.texts)
    with tempfile.TemporaryDirectory() as folder:  # a tiny encoder is made, and forgotten
        begin_ns = time.perf_counter_ns()
        encoder = resolve_encoder(config.encoder, words, Path(folder))
        resolve_s = (time.perf_counter_ns() - begin_ns) / 1e9
    tuning = _tuning(encoder, parts, words, config)
    texts, encode_s = _texts(encoder, dataset.catalogue, config)
    learner = make_learner(parts, texts, config, labels)
    learner.start_at_random(parts.warm)
    stream = BatchStream(make_sampler(parts, config, labels), seed=config.train.seed)
    batch = stream.batch(0, learner)
    flops = graph_flops(learner.traced(batch), sparse_entries=texts.bag[batch.rows].nnz)
    learner.step(batch, 0)
    step_s = _median_s(
        lambda turn: learner.step(stream.batch(turn + 1, learner), turn + 1), _TIMED_STEPS
    )
    validation = Validation(parts, limit=config.train.validation_users, with_cold=with_hidden)
    begin_ns = time.perf_counter_ns()
    people = _people(learner, validation)
    embed_s = (time.perf_counter_ns() - begin_ns) / 1e9
    tastes = learner.parts()[:, :-1].T
    rank_s = _median_s(lambda _: validation.look(lambda places: people[places] @ tastes), 1)
    steps = config.train.steps
    time_s = {
        "have the encoder": resolve_s,
        **({"tune the encoder": tuning.total_s} if tuning else {}),
        "encode the texts": encode_s,
        "closed form": _closed_form_s(parts, texts, config, rank_s),
        "steps on the inner split": steps * step_s,
        "looks at validation": (2 + steps // config.train.evaluate_every) * (embed_s + rank_s),
        "steps on the whole log": steps * step_s,
    }
    memory = _peak_bytes() + (tuning.memory_more_bytes if tuning else 0)
    if steps:
        memory += _CHECKPOINT_BYTES * learner.parameters()["trainable"]
    if config.train.initial == "closed_form":
        items = min(int(parts.warm.sum()), config.closed_form.max_items)
        memory += _CLOSED_FORM_BYTES * (items**2 - min(items, _TIMED_ITEMS) ** 2)
    return {
        "items": len(words),
        "users": len(dataset.interactions.user_ids),
        "parameters": learner.parameters(),
        "flops_per_step": flops,
        "flops_per_s": flops / step_s,
        "memory_bytes": memory,
        "step_s": step_s,
        "finetune": asdict(tuning) if tuning else None,
        "time_s": {**time_s, "in all, at most": sum(time_s.values())},
    }


def plan_as_toml(config: RunConfig, plan: dict[str, Any]) -> str:
    """The resolved configuration as TOML, and the plan as comments in front of it."""
    rows = [
        ("items, users", f"{plan['items']:,}, {plan['users']:,}"),
        ("parameters, trained", f"{plan['parameters']['trainable']:,}"),
        ("parameters, in all", f"{plan['parameters']['total']:,} and the encoder's"),
        ("matrix products of a step", f"{plan['flops_per_step'] / 1e9:.2f} GFLOP"),
        (
            "a step, timed here",
            f"{plan['step_s'] * 1e3:.0f} ms, {plan['flops_per_s'] / 1e9:.1f} GFLOP/s",
        ),
        *_tuning_rows(plan["finetune"]),
        ("memory, about", f"{plan['memory_bytes'] / 2**30:.2f} GiB"),
        *((name, f"{seconds:.1f} s") for name, seconds in plan["time_s"].items()),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"# {name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join([*lines, "", to_toml(config.sections())])


def _tuning_rows(tuning: dict[str, Any] | None) -> list[tuple[str, str]]:
    if tuning is None:
        return []
    return [
        (
            "weights of the encoder, tuned",
            f"{tuning['parameters_trainable']:,} of {tuning['parameters_total']:,}",
        ),
        ("products of a tuning step", f"{tuning['flops_per_step'] / 1e9:.2f} GFLOP"),
        (
            "a tuning step, timed here",
            f"{tuning['step_s'] * 1e3:.0f} ms, {tuning['flops_per_s'] / 1e9:.1f} GFLOP/s",
        ),
    ]


def _tuning(
    encoder: Encoder, parts: Split, words: list[str], config: RunConfig
) -> MeasuredPlan | None:
    """Of the section [finetune], on the pairs that it would have; None where it is off."""
    if config.finetune.mode == "frozen":
        return None
    from dualtower_trainer.finetune.measured_plan import measure_plan
    from dualtower_trainer.finetune.text_pairs import text_pairs

    texts, pairs = text_pairs(parts.train, words, config.finetune)
    return measure_plan(encoder, texts, pairs, config.finetune)


def _texts(encoder: Encoder, catalogue: Catalogue, config: RunConfig) -> tuple[ItemTexts, float]:
    """Texts with encodings that are drawn, and how long the real ones would take."""
    words = list(catalogue.texts)
    ids, mask = encoder.tokenizer(words)
    special = (encoder.tokenizer.cls_id, encoder.tokenizer.sep_id)
    vocabulary = build_wide_vocabulary(
        ids, mask, special_ids=special, max_grams=config.model.wide_grams
    )
    places = np.linspace(0, len(words) - 1, min(_TIMED_TEXTS, len(words))).astype(int)
    some = [words[place] for place in places]
    encoder.encode(some)  # builds the graph
    each_s = _median_s(lambda _: encoder.encode(some), 1) / len(some)
    drawn = np.random.default_rng(0).normal(size=(len(words), encoder.hidden)).astype(np.float32)
    pieces, modal = len(encoder.tokenizer.vocab), catalogue.features
    texts = ItemTexts(drawn, vocabulary, vocabulary.bag(ids, mask), pieces, modal)
    return texts, each_s * len(words)


def _closed_form_s(parts: Split, texts: ItemTexts, config: RunConfig, rank_s: float) -> float:
    """A fit, times the cube of how many more items there are; and the looks at the grids."""
    options = config.closed_form
    if config.train.initial != "closed_form":
        return 0.0
    items = min(int(parts.warm.sum()), options.max_items)
    timed = min(items, _TIMED_ITEMS)
    small = replace(config, closed_form=replace(options, max_items=timed))
    first = Choice(options.regularisation[0], options.sharpening[0], options.prior[0])
    fit_s = _median_s(lambda _: closed_form_of(parts, texts, small, first), 1)
    fits = len(options.regularisation) + len(options.sharpening) - 1
    looks = fits + len(options.prior) - 1
    if config.model.trend:
        looks += len(options.half_lives) * len(options.trend_powers) * len(options.freshness) + 1
    last = 1
    return (fits + last) * fit_s * (items / timed) ** 3 + looks * rank_s


def _people(learner: Learner, validation: Validation) -> np.ndarray:
    vectors = fit_into_ball(learner.parts())
    people = embed_histories(learner.user_tower, vectors, validation.histories, learner.config)
    return people[:, :-2]


def _median_s(run: Callable[[int], object], times: int) -> float:
    taken = []
    for turn in range(times):
        begin_ns = time.perf_counter_ns()
        run(turn)
        taken.append((time.perf_counter_ns() - begin_ns) / 1e9)
    return float(np.median(taken))


def _peak_bytes() -> int:
    """The most that this process held so far: TensorFlow, the data, the towers, a step."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
