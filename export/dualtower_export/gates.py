"""All gates of the SavedModels of one bundle, on the files as they were written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from dualtower.progress import track
from dualtower_export.description import check_describe
from dualtower_export.gate import Gate
from dualtower_export.gate_data import GateData
from dualtower_export.gate_files import check_ops, check_signatures
from dualtower_export.gate_parity import check_item_tower, check_user_tower, user_histories
from dualtower_export.gate_retrieval import check_recommender
from dualtower_export.gate_warmup import check_warmup
from dualtower_export.plan import Plan
from dualtower_export.reference import Reference

__all__ = ["check_models"]


def check_models(
    plan: Plan, reference: Reference, data: GateData, folders: dict[str, Path]
) -> list[Gate]:
    """Loads each version folder again and puts every signature to the test."""
    gates: list[Gate] = []
    for model, folder in track(folders.items(), "gates", total=len(folders)):
        gates.append(check_signatures(model, folder, dim=plan.trained.config.dim, k_max=plan.k_max))
        gates.append(check_ops(model, folder))
        gates += _loaded(plan, reference, data, model, folder)
        gates.append(check_warmup(model, folder, plan.config.batch_sizes))
    return gates


def _loaded(
    plan: Plan, reference: Reference, data: GateData, model: str, folder: Path
) -> Iterator[Gate]:
    signatures = tf.saved_model.load(str(folder)).signatures
    trained, config, tokenizer = plan.trained, plan.config, plan.encoder.tokenizer
    yield check_describe(signatures, plan.describe(model))
    if model == "item_tower":
        texts = [str(text) for text in trained.texts[data.candidates[: config.parity_texts]]]
        yield from check_item_tower(signatures, reference, tokenizer, texts, config)
        return
    histories = data.histories[: config.parity_users]
    texts, ids = user_histories(histories, trained.item_ids, trained.texts)
    if model == "user_tower":
        yield from check_user_tower(signatures, reference, tokenizer, texts, ids, config)
    else:
        yield from check_recommender(signatures, reference, trained.item_ids, texts, ids)
