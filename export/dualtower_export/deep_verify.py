"""Beyond hashes: do the parts of a bundle agree with what they say of themselves?

Hashes find every changed byte. This finds a bundle that was put together from two, with a manifest
to match: each model is loaded and asked, and the vocabulary and the edge files are read.
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from dualtower.bundle import MODELS, Bundle
from dualtower.bundle_verify import Problem
from dualtower.edge.catalogue import FACTS, IDS, VECTORS, VOCABULARY, read_facts
from dualtower.edge.metadata import check_whole, facts_of
from dualtower.edge.tokenizer import read_vocab
from dualtower_export.description import ask
from dualtower_export.serving_session import open_model
from dualtower_export.space import hash_strings

__all__ = ["verify_deep"]


def verify_deep(bundle: Bundle) -> list[Problem]:
    """Everything that does not fit; empty when all agree."""
    problems: list[Problem] = []
    for check in (_models, _edge, _catalogue, _variants, _metadata):
        try:
            problems += check(bundle)
        except Exception as error:
            where = check.__name__.strip("_")
            problems.append(Problem(where, f"cannot be read: {str(error).splitlines()[0]}"))
    return problems


def _models(bundle: Bundle) -> Iterator[Problem]:
    for model in MODELS:
        folder = bundle.model_path(model) / str(bundle.version)
        try:
            with open_model(folder) as loaded:
                said = ask(loaded)
        except Exception as error:
            yield Problem(f"serving/{model}", f"does not load: {str(error).splitlines()[0]}")
            continue
        wanted = {
            "fingerprint": bundle.fingerprint,
            "bundle_version": bundle.version,
            "dim": bundle.dim,
            "model": model,
        }
        for key, value in wanted.items():
            if said.get(key) != value:
                yield Problem(
                    f"serving/{model}", f"says {key} {said.get(key)}, the manifest {value}"
                )


def _edge(bundle: Bundle) -> Iterator[Problem]:
    facts = read_facts(bundle.edge_path)
    for key, value in (("fingerprint", bundle.fingerprint), ("version", bundle.version)):
        if facts[key] != value:
            yield Problem(f"edge/{FACTS}", f"says {key} {facts[key]}, the manifest {value}")
    recorded = bundle.manifest["space"]["vocabulary_sha256"]
    if hash_strings(read_vocab(bundle.edge_path / VOCABULARY)) != recorded:
        yield Problem(f"edge/{VOCABULARY}", "is not the vocabulary of the space")
    size_bytes = (bundle.edge_path / VECTORS).stat().st_size
    if size_bytes != 2 * facts["items"] * facts["dim"]:
        yield Problem(
            f"edge/{VECTORS}",
            f"{size_bytes} bytes, not {facts['items']} vectors of {facts['dim']} float16",
        )


def _catalogue(bundle: Bundle) -> Iterator[Problem]:
    import json

    table = pq.read_table(bundle.catalogue_path, columns=["item_id", "text"])
    ids, texts = table["item_id"].to_pylist(), table["text"].to_pylist()
    where = "index/catalogue.parquet"
    if hash_strings([*ids, *texts]) != bundle.manifest["space"]["catalogue_sha256"]:
        yield Problem(where, "is not the catalogue of the space")
    if json.loads((bundle.edge_path / IDS).read_text(encoding="utf-8")) != ids:
        yield Problem(f"edge/{IDS}", f"differs from {where}")


def _metadata(bundle: Bundle) -> Iterator[Problem]:
    """Each file for a phone names its pair and its part."""
    for entry in [*bundle.manifest["variants"], *bundle.manifest.get("recommenders", [])]:
        if entry["verdict"] != "ship":
            continue
        content = (bundle.path / entry["file"]).read_bytes()
        try:
            check_whole(content)
        except ValueError as error:
            yield Problem(entry["file"], str(error))
            continue
        said = facts_of(content)
        part = entry.get("tower") or entry["form"]
        wanted = {"fingerprint": bundle.fingerprint, "part": part, "variant": entry["variant"]}
        for key, value in wanted.items():
            if said.get(key) != value:
                yield Problem(entry["file"], f"says {key} {said.get(key)}, not {value}")


def _variants(bundle: Bundle) -> Iterator[Problem]:
    from ai_edge_litert.interpreter import Interpreter

    space = bundle.manifest["space"]
    people = {
        "items": [1, space["history_items"], space["dim"]],
        "mask": [1, space["history_items"]],
    }
    for entry in bundle.manifest["variants"]:
        file = bundle.path / entry["file"]
        if entry["verdict"] != "ship":
            if file.exists():
                yield Problem(entry["file"], "is there, although its verdict is not to ship")
            continue
        runner = Interpreter(model_path=str(file), num_threads=1).get_signature_runner()
        shapes = {k: list(map(int, d["shape"])) for k, d in runner.get_input_details().items()}
        wanted = people
        if entry["tower"] == "item_tower":
            tokens = entry["item_tokens"] or 1  # of any length, a file opens with 1
            wanted = {"ids": [1, tokens], "mask": [1, tokens]}
        if shapes != wanted:
            yield Problem(entry["file"], f"takes {shapes}, not {wanted}")
