"""Writes the three SavedModels of a bundle, with their warm-up files."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from dualtower.progress import track
from dualtower_export import warmup
from dualtower_export.catalogue_graph import CatalogueGraph
from dualtower_export.item_graph import ItemGraph
from dualtower_export.plan import Plan
from dualtower_export.retrieval_graph import Retrieval
from dualtower_export.saved_model import write_saved_model
from dualtower_export.serving_models import ItemTowerModel, RecommenderModel, UserTowerModel
from dualtower_export.user_graph import UserGraph

__all__ = ["build_models", "write_models"]


def build_models(plan: Plan) -> list[tf.Module]:
    """The models in memory; they share one frozen encoder and one table of vectors."""
    trained = plan.trained
    item = ItemGraph(plan.encoder, trained.item_head, trained.config)
    catalogue = CatalogueGraph(plan.index, trained.vectors)
    user = UserGraph(catalogue, item, trained.user_tower, trained.config, trained.max_tokens)
    retrieval = Retrieval(plan.index.item_ids, catalogue.vectors, trained.blocked, plan.k_max)
    return [
        UserTowerModel(plan.describe("user_tower"), user),
        ItemTowerModel(plan.describe("item_tower"), item),
        RecommenderModel(plan.describe("recommender"), user, catalogue, retrieval),
    ]


def write_models(plan: Plan, samples: warmup.Samples, serving: Path) -> dict[str, Path]:
    """Writes `serving/MODEL/VERSION` for each model; returns the version folders."""
    folders = {}
    for model in track(build_models(plan), "SavedModels"):
        name = model.name
        folder = serving / name / str(plan.config.version)
        requests = warmup.requests_of(name, samples, plan.config.batch_sizes)

        def fill(extra: Path, name: str = name, requests=requests) -> None:  # type: ignore[no-untyped-def]
            warmup.write(extra / warmup.FILE_NAME, name, requests)

        write_saved_model(model, folder, assets=fill)
        folders[name] = folder
    return folders
