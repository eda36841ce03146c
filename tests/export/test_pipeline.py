"""Whole exports, and exports that must leave nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualtower.bundle import MODELS, Bundle
from dualtower.bundle_verify import verify
from dualtower.errors import DataError, GateFailed, UnavailableError, UsageError
from dualtower.files import atomic_folder
from dualtower_export import ExportConfig, export_bundle
from dualtower_export.pipeline import rejected_path
from dualtower_export.plan import check_room

FEW = ExportConfig(variants=("float32",), edge_recommenders=(), batch_sizes=(1,), k_max=5)


def test_a_bundle_is_whole(bundle, plan) -> None:
    assert verify(bundle.path) == []
    assert bundle.fingerprint == plan.fingerprint
    assert bundle.version == 1
    names = set(bundle.manifest["files"])
    for model in MODELS:
        assert f"serving/{model}/1/saved_model.pb" in names
        assert f"serving/{model}/1/assets.extra/tf_serving_warmup_requests" in names
    assert {
        "serving/models.config",
        "serving/batching.config",
        "serving/labels.config",
        "serving/monitoring.config",
        "serving/server.env",
        "serving/server.flags",
        "edge/vocab.txt",
        "edge/edge.json",
        "edge/item_ids.json",
        "edge/item_vectors.float16",
        "index/catalogue.parquet",
        "model_card.md",
    } <= names
    edge = 2 * len(plan.config.variants) + 2 + 4
    assert len(names) == 3 * 5 + 6 + edge + 1 + 1
    assert not [name for name in names if "scratch" in name]


def test_the_manifest_says_how_it_was_made(bundle) -> None:
    manifest = bundle.manifest
    assert manifest["catalogue"] == {"items": 60, "warm": 57, "blocked": 2}
    assert manifest["training"]["stopped"] == "fixture"
    assert "history" not in manifest["training"]
    assert manifest["k_max"] == 20
    assert manifest["command"].startswith("dualtower export ")
    assert set(manifest["versions"]) == {
        "python", "dualtower", "tensorflow", "tensorflow_text", "tf_keras", "ai_edge_litert",
        "numpy",
    }  # fmt: skip
    assert all(gate["passed"] for gate in manifest["gates"])
    families = {gate["name"].partition("/")[0] for gate in manifest["gates"]}
    assert families == {
        "signatures", "ops", "describe", "warmup", "parity", "retrieval", "edge",
    }  # fmt: skip
    assert len([g for g in manifest["gates"] if g["name"].startswith("parity/")]) == 5


def test_the_index_is_the_catalogue_of_the_run(bundle, trained) -> None:
    table = pq.read_table(bundle.catalogue_path)
    assert table.column_names == ["item_id", "text", "category", "blocked", "warm", "vector"]
    assert table["item_id"].to_pylist() == list(trained.item_ids)
    assert table["blocked"].to_pylist() == trained.blocked.tolist()
    assert str(table.schema.field("vector").type) == "list<element: float>"
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist()), trained.vectors)


def test_exported_again_it_is_found(bundle, run: Path, plan) -> None:
    before = (bundle.path / "bundle.json").stat().st_mtime_ns
    again = export_bundle(run, bundle.path, plan.config)
    assert again.fingerprint == bundle.fingerprint
    assert (bundle.path / "bundle.json").stat().st_mtime_ns == before


def test_what_is_at_the_target_is_never_rewritten(
    bundle, run: Path, plan, tmp_path: Path, new_run: Callable[..., Path]
) -> None:
    with pytest.raises(UsageError, match="other settings \\(version\\)"):
        export_bundle(run, bundle.path, replace(plan.config, version=2))
    with pytest.raises(UsageError, match="holds another bundle"):
        export_bundle(new_run("other", seed=1), bundle.path, plan.config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="is no bundle"):
        export_bundle(run, tmp_path / "mine", plan.config)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    damaged = tmp_path / "damaged"
    shutil.copytree(bundle.path, damaged)
    (damaged / "edge" / "vocab.txt").write_text("changed")
    with pytest.raises(UsageError, match=r"damaged \(edge/vocab\.txt"):
        export_bundle(run, damaged, plan.config)


def test_a_run_that_is_missing_or_truncated(new_run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no trained model"):
        export_bundle(tmp_path / "nothing", tmp_path / "b", FEW)
    for name in ("towers.safetensors", "encoder/model.safetensors", "catalogue.parquet"):
        broken = new_run(name.replace("/", "-"))
        path = broken / "model" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises((DataError, UsageError), match=r"truncated|damaged|whole"):
            export_bundle(broken, tmp_path / "b", FEW)
    assert not (tmp_path / "b").exists()


def test_an_export_that_is_under_way_is_not_raced(run: Path, tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "b") as other:
        with pytest.raises(UsageError, match="another export is writing"):
            export_bundle(run, tmp_path / "b", FEW)
        assert other.exists()


def test_too_little_room_is_said_before_the_work(tmp_path: Path) -> None:
    check_room(1, tmp_path / "not" / "there" / "yet")
    with pytest.raises(UnavailableError, match=r"needs up to 1000000000000 MB"):
        check_room(10**18, tmp_path / "b")


def test_a_target_that_cannot_be_written(run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        export_bundle(run, tmp_path / "file" / "b", FEW)


@pytest.mark.slow
def test_a_gate_that_says_no_publishes_nothing(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "b"
    with pytest.raises(GateFailed, match=r"parity/user_tower\.serving_default"):
        export_bundle(run, out, replace(FEW, parity_error=1e-12))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.rejected.json"]
    answers = json.loads(rejected_path(out).read_text(encoding="utf-8"))
    refused = [gate["name"] for gate in answers["gates"] if not gate["passed"]]
    assert {name.partition("/")[0] for name in refused} == {"parity"}
    assert not out.exists()


def test_float32_that_is_not_near_enough_fails_the_export(bundle, tmp_path: Path) -> None:
    from dualtower_export.fidelity import RankingChange
    from dualtower_export.pipeline import _decide, _stop_if_refused
    from dualtower_export.verdict import Measured

    edge = tmp_path / "b" / "edge"
    shutil.copytree(bundle.edge_path, edge)
    same = RankingChange(0.1, 0.1, 0.0, 1.0, 50)
    measured = [
        Measured("item_tower", "float32", 9, 9, 0.9999, 0.9990, same),
        Measured("item_tower", "float16", 9, 9, 0.5, 0.4, same),
        Measured("user_tower", "float32", 9, 9, 1.0, 1.0, same),
    ]
    variants, gates = _decide(measured, FEW, edge)
    assert [entry["verdict"] for entry in variants] == ["do not ship", "do not ship", "ship"]
    assert not (edge / "item_tower.float16.tflite").exists()
    assert [(gate.name, gate.passed) for gate in gates] == [
        ("edge/item_tower.float32", False),
        ("edge/user_tower.float32", True),
    ]
    rejected = tmp_path / "b.rejected.json"
    with pytest.raises(GateFailed, match=r"1 of 2 gates said no(.|\n)*parity_cosine"):
        _stop_if_refused(gates, variants, rejected)
    assert len(json.loads(rejected.read_text(encoding="utf-8"))["variants"]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("size", ["60k", "600k"], ids=["in a worker", "in a SavedModel"])
def test_a_disk_that_fills_up_leaves_nothing(run: Path, tmp_path: Path, size: str) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        from dualtower_export import pipeline

        plan = pipeline.plan_export(run, FEW)
        data = pipeline.load_gate_data(plan.trained, FEW)
        out = small / "b"

        def build() -> None:
            with pipeline._published(out) as folder:
                pipeline._build(
                    plan,
                    data,
                    folder,
                    rejected=tmp_path / "r.json",
                    data_path=tmp_path,
                    command="x",
                )

        with pytest.raises(UnavailableError, match="no space left"):
            build()
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_two_that_finish_at_once_one_is_told(tmp_path: Path) -> None:
    from dualtower_export.pipeline import _published

    out = tmp_path / "b"

    def build_while_another_finishes() -> None:
        with _published(out) as folder:
            (folder / "mine").write_text("1")
            out.mkdir()
            (out / "theirs").write_text("2")

    with pytest.raises(UsageError, match="by another export meanwhile"):
        build_while_another_finishes()
    assert [path.name for path in out.iterdir()] == ["theirs"]
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_opened_from_elsewhere(bundle, tmp_path: Path) -> None:
    """A bundle may be moved: nothing in it names the place where it was made."""
    moved = tmp_path / "moved"
    shutil.copytree(bundle.path, moved)
    assert verify(moved) == []
    assert str(bundle.path) not in Bundle.open(moved).models_config()
