"""All gates of the SavedModels of one bundle, on the files as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dualtower.progress import track
from dualtower_export.description import check_describe
from dualtower_export.gate import Gate
from dualtower_export.gate_data import GateData
from dualtower_export.gate_files import check_ops, check_signatures
from dualtower_export.gate_parity import check_item_tower, check_user_tower, user_histories
from dualtower_export.gate_retrieval import check_recommender
from dualtower_export.gate_warmup import check_warmup
from dualtower_export.length_buckets import buckets_up_to
from dualtower_export.plan import Plan
from dualtower_export.reference import Reference
from dualtower_export.serving_session import ServedModel, open_model
from dualtower_export.warmup import FILE_NAME, Request, longest_text, read_requests

__all__ = ["check_models"]


def check_models(
    plan: Plan, reference: Reference, data: GateData, folders: dict[str, Path]
) -> list[Gate]:
    """Loads each version folder again and puts every signature to the test."""
    gates: list[Gate] = []
    for name, folder in track(folders.items(), "gates", total=len(folders)):
        dim = plan.trained.config.dim
        gates.append(check_signatures(name, folder, dim=dim, k_max=plan.k_max))
        gates.append(check_ops(name, folder, plan.config.target_serving))
        requests = read_requests(folder / "assets.extra" / FILE_NAME)
        with open_model(folder) as model:
            gates.append(check_describe(model, plan.describe(name)))
            gates.append(_warmup(plan, name, model, requests))
            gates += _answers(plan, reference, data, name, model)
    return gates


def _warmup(plan: Plan, name: str, model: ServedModel, requests: list[Request]) -> Gate:
    tokenizer, known = plan.encoder.tokenizer, frozenset(map(str, plan.trained.texts))
    buckets = buckets_up_to(tokenizer.max_tokens, plan.config.length_buckets)
    longest = partial(longest_text, known=known, tokenizer=tokenizer)
    return check_warmup(name, model, requests, plan.config.batch_sizes, buckets, longest)


def _answers(
    plan: Plan, reference: Reference, data: GateData, name: str, model: ServedModel
) -> Iterator[Gate]:
    trained, config, tokenizer = plan.trained, plan.config, plan.encoder.tokenizer
    if name == "item_tower":
        sample = [str(text) for text in trained.texts[data.candidates[: config.parity_texts]]]
        yield from check_item_tower(model, reference, tokenizer, sample, config)
        return
    approximate = name == "recommender" and config.index == "ivf"
    histories = data.histories[: None if approximate else config.parity_users]
    texts, ids = user_histories(histories, trained.item_ids, trained.texts)
    if name == "user_tower":
        yield from check_user_tower(model, reference, tokenizer, texts, ids, config)
    else:
        yield from check_recommender(model, reference, plan, texts, ids)
