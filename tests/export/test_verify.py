"""`dualtower verify`: every byte, and with --deep what the models themselves say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dualtower.bundle import Bundle, write_manifest
from dualtower.bundle_verify import verify as verify_bytes
from dualtower_export.cli import verify
from dualtower_export.deep_verify import verify_deep
from dualtower_export.models_writer import build_models
from dualtower_export.plan import plan_export
from dualtower_export.saved_model import write_saved_model


@pytest.fixture
def copy(bundle, tmp_path: Path) -> Path:
    """A bundle that a test may damage."""
    shutil.copytree(bundle.path, tmp_path / "copy")
    return tmp_path / "copy"


def _call(*arguments: str):
    return CliRunner().invoke(verify, list(arguments))


def _rewrite_manifest(folder: Path) -> None:
    """As somebody would who puts a bundle together by hand: all hashes fit."""
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    for key in ("files", "fingerprint", "schema_version"):
        del manifest[key]
    write_manifest(folder, manifest)


def test_a_whole_bundle_is_whole(bundle) -> None:
    result = _call(str(bundle.path))
    assert result.exit_code == 0
    assert "is whole" in result.output
    deep = _call(str(bundle.path), "--deep", "--json")
    assert deep.exit_code == 0
    said = json.loads(deep.stdout)
    assert (said["ok"], said["deep"], said["problems"]) == (True, True, [])


@pytest.mark.parametrize(
    "name",
    [
        "serving/item_tower/1/saved_model.pb",
        "serving/user_tower/1/variables/variables.data-00000-of-00001",
        "edge/item_tower.dynamic_int8.tflite",
        "index/catalogue.parquet",
        "model_card.md",
    ],
)
def test_one_changed_byte_is_found_with_the_repair(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    result = _call(str(copy))
    assert result.exit_code == 1
    assert f"{name}: content differs" in result.output
    assert "repair: rm -r" in result.output
    assert "dualtower export " in result.output
    said = json.loads(_call(str(copy), "--json").stdout)
    assert said["problems"] == [{"where": name, "what": "content differs from its recorded sha256"}]
    assert said["repair"].startswith("rm -r ")


def test_missing_and_additional_files_are_found(copy: Path) -> None:
    (copy / "edge" / "vocab.txt").unlink()
    (copy / "serving" / "stray").write_text("x")
    lines = _call(str(copy)).output.splitlines()
    assert "edge/vocab.txt: missing" in lines
    assert "serving/stray: not in the manifest" in lines


def test_what_is_no_bundle_is_exit_2(tmp_path: Path) -> None:
    code = "import sys; from dualtower.cli import main; main(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "is no bundle" in done.stderr


def test_plain_verify_needs_no_tensorflow(bundle) -> None:
    code = (
        "import sys\nfrom dualtower_export.cli import verify\n"
        "verify(sys.argv[1:], standalone_mode=False)\n"
        "heavy = {'tensorflow', 'tf_keras', 'ai_edge_litert', 'pyarrow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle.path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_a_model_of_another_training_is_found_deep(
    copy: Path, plan, new_run: Callable[..., Path]
) -> None:
    """Same shapes, same names, and a manifest whose hashes fit."""
    other = plan_export(new_run("other", seed=1), plan.config)
    for model in build_models(other):
        if model.name == "item_tower":
            shutil.rmtree(copy / "serving" / "item_tower" / "1")
            write_saved_model(model, copy / "serving" / "item_tower" / "1")
    _rewrite_manifest(copy)
    assert verify_bytes(copy) == []
    (problem,) = verify_deep(Bundle.open(copy))
    assert problem.where == "serving/item_tower"
    assert other.fingerprint in problem.what
    assert plan.fingerprint in problem.what
    result = _call(str(copy), "--deep")
    assert result.exit_code == 1
    assert "says fingerprint" in result.output


def test_edge_files_of_another_bundle_are_found_deep(copy: Path) -> None:
    edge = copy / "edge"
    vocabulary = (edge / "vocab.txt").read_text(encoding="utf-8").splitlines()
    (edge / "vocab.txt").write_text("\n".join([*vocabulary[:-1], "other"]) + "\n", encoding="utf-8")
    facts = json.loads((edge / "edge.json").read_text(encoding="utf-8"))
    (edge / "edge.json").write_text(json.dumps({**facts, "fingerprint": "0" * 64}))
    (edge / "item_vectors.float16").write_bytes(b"\0" * 10)
    shutil.copy(edge / "user_tower.float32.tflite", edge / "item_tower.float32.tflite")
    ids = json.loads((edge / "item_ids.json").read_text(encoding="utf-8"))
    (edge / "item_ids.json").write_text(json.dumps(ids[::-1]))
    _rewrite_manifest(copy)
    found = {problem.where for problem in verify_deep(Bundle.open(copy))}
    assert found == {
        "edge/edge.json",
        "edge/vocab.txt",
        "edge/item_vectors.float16",
        "edge/item_ids.json",
        "edge/item_tower.float32.tflite",
    }


def test_parts_that_cannot_be_read_are_findings_not_crashes(copy: Path) -> None:
    (copy / "serving" / "recommender" / "1" / "saved_model.pb").write_bytes(b"no protobuf")
    (copy / "edge" / "edge.json").write_text("{")
    (copy / "index" / "catalogue.parquet").write_bytes(b"PAR1")
    (copy / "edge" / "user_tower.float16.tflite").write_bytes(b"\0" * 64)
    found = [str(problem) for problem in verify_deep(Bundle.open(copy))]
    for where in ("serving/recommender", "edge", "catalogue", "variants"):
        assert any(line.startswith(where) for line in found), (where, found)
