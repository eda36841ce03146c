"""`dualtower deploy` as a command, and how it treats a folder that is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_serving.deploy import Settings, deployment, write
from dualtower_serving.deploy.output import compare

COMMAND = [sys.executable, "-c", "from dualtower.cli import main; main()", "deploy"]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_writes_and_says_what(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(bundle, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["state"] == "new"
    assert all((out / name).is_file() for name in facts["files"])
    assert facts["image"].startswith("dualtower:7-")
    assert "every op and attribute" in done.stderr
    again = json.loads(run(bundle, "--out", out, "--json").stdout)
    assert again["state"] == "same"
    names = run(bundle, "--out", out).stdout.splitlines()
    assert str(out / "README.md") in names


def test_a_dry_run_writes_nothing(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, "--out", tmp_path / "out", "--dry-run")
    assert done.returncode == 0
    assert "Dockerfile" in done.stdout
    assert "nothing was written" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_image_that_is_too_old_is_wrong_use(bundle: Path, tmp_path: Path) -> None:
    done = run(bundle, "--out", tmp_path / "out", "--image", "tensorflow/serving:2.14.1")
    assert done.returncode == 2
    assert "has TensorFlow 2.14.1, but 2.21.0 wrote this bundle" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_it_imports_no_tensorflow(bundle: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom dualtower.cli import main\n"
        f"sys.argv[1:] = ['deploy', {str(bundle)!r}, '--out', {str(tmp_path / 'o')!r}]\n"
        "main()\nassert 'tensorflow' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"name": "Dual_Tower"}, "--name 'Dual_Tower'"),
        ({"name": "a" * 50}, "at most 40"),
        ({"namespace": "a\nb"}, "--namespace"),
        ({"models": "s3"}, "--models is image or volume"),
        ({"repository": "a:1"}, "without a tag"),
        ({"cpus": 0}, "--cpus must be at least 1"),
        ({"min_replicas": 3, "max_replicas": 2}, "less than --min-replicas"),
        ({"error_ratio": 1.5}, "--error-ratio lies between"),
        ({"p99_ms": float("nan")}, "--p99-ms must be positive"),
        ({"image": "a/b@sha256:" + "0" * 64}, "--image-tensorflow"),
        ({"image": "a/b"}, "not pinned"),
        ({"gpu_image": "a/b:latest"}, "--gpu-image 'a/b:latest' is not pinned"),
    ],
)
def test_wrong_settings(settings: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Settings(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"serving/server.flags": None}, "server.flags cannot be read"),
        ({"serving/server.env": "A B\n"}, "no NAME=VALUE"),
        ({"serving/batching.config": "max_batch_size: 4\n"}, "batching.config cannot be read"),
        ({"serving/labels.config": "model_config_list {}"}, "lists no model"),
        ({"serving/monitoring.config": "prometheus_config { enable: false }"}, "metrics off"),
        ({"serving/item_tower/7/saved_model.pb": None}, "lists no files of item_tower"),
    ],
)
def test_bundles_that_lack_something(make_bundle, tmp_path, files, reason: str) -> None:
    folder = make_bundle(files=files)
    with pytest.raises(BundleError, match=reason):
        deployment(Bundle.open(folder), Settings(), out=tmp_path / "out")


def test_what_an_export_writes_is_enough(make_bundle, tmp_path: Path) -> None:
    from dualtower_export.config import ExportConfig
    from dualtower_export.server_config import write_server_configs

    folder = make_bundle()
    shutil.rmtree(folder)
    (folder / "serving").mkdir(parents=True)
    write_server_configs(folder / "serving", ExportConfig(version=7))
    files = {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in (folder / "serving").iterdir()
    }
    again = make_bundle(files=files)
    made = deployment(Bundle.open(again), Settings(), out=tmp_path / "out")
    assert "specific" in made.pod.files["models.config"]
    assert "--allow_version_labels_for_unavailable_models" in made.pod.flags


def test_another_deployment_needs_force_and_own_files_stay(deploy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(deploy(), out)
    (out / "kubernetes/overlays/mine").mkdir()
    (out / "kubernetes/overlays/mine/kustomization.yaml").write_text("mine\n")
    (out / "README.md").write_text("edited\n")
    other = deploy(models="volume")
    with pytest.raises(UsageError, match=r"README\.md was edited since.*--force"):
        write(other, out)
    assert (out / "Dockerfile").exists()
    change = write(other, out, force=True)
    assert change.edited == ("README.md",)
    assert change.kept == ("kubernetes/overlays/mine/kustomization.yaml",)
    assert "Dockerfile" in change.removed
    assert (out / "kubernetes/overlays/mine/kustomization.yaml").read_text() == "mine\n"
    assert not (out / "Dockerfile").exists()
    assert compare(other, out).state == "same"
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]


def test_a_file_that_was_edited_is_put_right_by_force_alone(deploy, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(deploy(), out)
    (out / "compose.yaml").unlink()
    with pytest.raises(UsageError, match=r"compose\.yaml"):
        write(deploy(), out)
    assert write(deploy(), out, force=True).added == ("compose.yaml",)


def test_a_folder_of_somebody_else_is_never_touched(deploy, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("one")
    for broken in (None, "{", '{"files": 3}'):
        if broken is not None:
            (tmp_path / "thesis/deploy.json").write_text(broken)
        with pytest.raises(UsageError, match="no `dualtower deploy` wrote it"):
            write(deploy(), tmp_path / "thesis", force=True)
    with pytest.raises(UsageError, match="chapter"):
        write(deploy(), tmp_path / "thesis/chapter.txt", force=True)
    assert (tmp_path / "thesis/chapter.txt").read_text() == "one"


def test_an_empty_folder_is_taken(deploy, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert write(deploy(), tmp_path / "out").state == "new"
