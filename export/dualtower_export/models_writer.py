"""Writes the three SavedModels of a bundle, with their warm-up files."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import tensorflow as tf

from dualtower.bundle import MODELS
from dualtower.progress import track
from dualtower_export import warmup
from dualtower_export.catalogue_graph import CatalogueGraph
from dualtower_export.item_graph import ItemGraph
from dualtower_export.length_buckets import buckets_up_to
from dualtower_export.plan import Plan
from dualtower_export.retrieval_graph import Retrieval
from dualtower_export.saved_model import write_saved_model
from dualtower_export.search_index import search_of
from dualtower_export.serving_form import ServingForm
from dualtower_export.serving_models import ItemTowerModel, RecommenderModel, UserTowerModel
from dualtower_export.user_graph import UserGraph

__all__ = ["build_models", "write_models"]


def build_models(plan: Plan) -> Iterator[tf.Module]:
    """One model after the other; they share one encoder and one table of vectors.

    Every call of the item tower runs BERT, so there its weights are constants. The two others run
    it for texts that the catalogue does not hold: there they are variables, a fifth of the memory.
    """
    trained, config = plan.trained, plan.config
    item, rare = (
        ItemGraph(plan.encoder, trained.item_head, form, config.length_buckets)
        for form in (
            ServingForm(
                copies=config.encoder_copies,
                shards=config.encoder_shards,
                dtype=config.compute_dtype,
            ),
            ServingForm(constants=False, shards=config.encoder_shards),
        )
    )
    catalogue = CatalogueGraph(plan.index, trained.vectors)
    user = UserGraph(catalogue, rare, trained.user_tower, trained.config, trained.max_tokens)
    search = search_of(trained.vectors, catalogue.vectors, trained.blocked, plan.k_max, plan.config)
    retrieval = Retrieval(plan.index.item_ids, search)
    yield UserTowerModel(plan.describe("user_tower"), user)
    yield ItemTowerModel(plan.describe("item_tower"), item)
    yield RecommenderModel(plan.describe("recommender"), user, catalogue, retrieval)


def write_models(plan: Plan, samples: warmup.Samples, serving: Path) -> dict[str, Path]:
    """Writes `serving/MODEL/VERSION` for each model; returns the version folders."""
    folders = {}
    buckets = buckets_up_to(plan.trained.max_tokens, plan.config.length_buckets)
    for model in track(build_models(plan), "SavedModels", total=len(MODELS)):
        name = model.name
        folder = serving / name / str(plan.config.version)
        requests = warmup.requests_of(name, samples, plan.config.batch_sizes, buckets)
        write_saved_model(model, folder, assets=partial(_warm_up, name, requests))
        folders[name] = folder
        del model
        gc.collect()  # graphs are cycles that hold every weight
    return folders


def _warm_up(name: str, requests: Iterable[warmup.Request], extra: Path) -> None:
    warmup.write(extra / warmup.FILE_NAME, name, requests)
