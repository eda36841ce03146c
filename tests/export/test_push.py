"""`dualtower push`: to a folder and to an object store, whole or not to be seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from click.testing import CliRunner

from dualtower.bundle import MODELS, Bundle, write_manifest
from dualtower.bundle_verify import verify
from dualtower.errors import BundleError, UnavailableError, UsageError
from dualtower.files import exclusive_lock
from dualtower.pushed import PUSH_ORDER, bundle_place, place_of
from dualtower_export.description import ask
from dualtower_export.push import push_bundle
from dualtower_export.push_cli import push
from dualtower_export.serving_session import open_model

MAIN = "import sys; from dualtower.cli import main; main(sys.argv[1:])"


def make_bundle(folder: Path, *, version: int = 1, space: str = "a", note: str = "") -> Path:
    """A bundle whose models are a few bytes: a push does not look into them."""
    for model in MODELS:
        place = folder / "serving" / model / str(version)
        (place / "variables").mkdir(parents=True)
        (place / "saved_model.pb").write_bytes(f"graph of {model} {space}".encode())
        (place / "variables" / "variables.index").write_bytes(model.encode() * 9)
    (folder / "edge").mkdir()
    (folder / "edge" / "vocab.txt").write_text("[PAD]\n", encoding="utf-8")
    (folder / "serving" / "models.config").write_text("model_config_list {}", encoding="utf-8")
    write_manifest(folder, {"version": version, "space": {"dim": 8, "of": space}, "note": note})
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def _hold(bundle: Path, target: str) -> None:
    """Every file of the bundle lies at the target, and nothing else does."""
    opened = Bundle.open(bundle)
    wanted = {
        place_of(name, opened.fingerprint, opened.version): (bundle / name).read_bytes()
        for name in (*opened.manifest["files"], "bundle.json")
    }
    found = {}
    for root, _, names in tf.io.gfile.walk(target):
        for name in names:
            path = f"{root.rstrip('/')}/{name}"
            with tf.io.gfile.GFile(path, "rb") as stream:
                found[path.removeprefix(target).strip("/")] = stream.read()
    config = f"{bundle_place(opened.fingerprint, opened.version)}/models.config"
    assert f'base_path: "{target}/user_tower"' in found.pop(config).decode()
    found.pop(".push.lock", None)
    assert found == wanted


@pytest.mark.parametrize("scheme", ["", "file://", "ram://"])
@pytest.mark.parametrize("in_place", [None, True], ids=["renamed", "in place"])
def test_it_arrives_whole_and_a_second_push_writes_nothing(
    small: Path, tmp_path: Path, scheme: str, in_place: bool | None
) -> None:
    target = f"{scheme}{tmp_path}/t" if scheme != "ram://" else f"ram://{tmp_path.name}/{in_place}"
    done = push_bundle(small, target + "/", in_place=in_place)
    assert done.target == target
    assert (len(done.written), done.kept) == (len(Bundle.open(small).manifest["files"]) + 2, {})
    _hold(small, target)
    again = push_bundle(small, target, in_place=in_place)
    assert (again.written, again.kept) == ({}, done.written)
    _hold(small, target)


def test_the_layout_has_one_place_for_each_file() -> None:
    assert set(PUSH_ORDER) == set(MODELS)
    assert PUSH_ORDER[-1] == "user_tower", "it answers people, so it comes last"
    assert place_of("serving/user_tower/3/saved_model.pb", "f", 3) == "user_tower/3/saved_model.pb"
    assert place_of("serving/models.config", "f", 3) == "bundles/f/3/serving/models.config"
    assert place_of("bundle.json", "f", 3) == "bundles/f/3/bundle.json"


def test_two_versions_and_two_bundles_lie_side_by_side(small: Path, tmp_path: Path) -> None:
    target = str(tmp_path / "t")
    push_bundle(make_bundle(tmp_path / "second", version=12, space="b"), target)
    done = push_bundle(small, target)
    assert done.newest_version == 12
    assert sorted(os.listdir(tmp_path / "t" / "user_tower")) == ["1", "12"]
    assert "has version 12 too" in CliRunner().invoke(push, [str(small), target]).output


@pytest.mark.parametrize("in_place", [None, True], ids=["renamed", "in place"])
@pytest.mark.parametrize(
    ("other", "whose"),
    [({"space": "b"}, "bundle [0-9a-f]{12}…"), ({"note": "x"}, "another export of the same")],
)
def test_a_version_is_never_given_twice(
    small: Path, tmp_path: Path, in_place: bool | None, other: dict, whose: str
) -> None:
    target = str(tmp_path / "t")
    push_bundle(small, target, in_place=in_place)
    second = make_bundle(tmp_path / "second", **other)
    with pytest.raises(UsageError, match=rf"version 1 at .* is taken by {whose}.*--version N"):
        push_bundle(second, target, in_place=in_place)
    _hold(small, target)


@pytest.mark.parametrize("in_place", [None, True], ids=["renamed", "in place"])
def test_what_was_damaged_at_the_target_is_named(
    small: Path, tmp_path: Path, in_place: bool | None
) -> None:
    target = tmp_path / "t"
    push_bundle(small, str(target), in_place=in_place)
    index = target / "recommender" / "1" / "variables" / "variables.index"
    before = index.read_bytes()
    index.write_bytes(b"X" + before[1:])
    with pytest.raises(UsageError, match=r"variables\.index differs .*remove .*recommender/1"):
        push_bundle(small, str(target), in_place=in_place)
    index.unlink()
    with pytest.raises(UsageError, match=r"variables\.index is missing"):
        push_bundle(small, str(target), in_place=in_place)
    index.write_bytes(before)
    (target / "item_tower" / "1" / "stray").write_bytes(b"")
    with pytest.raises(UsageError, match=r"holds stray, which is not in this bundle"):
        push_bundle(small, str(target), in_place=in_place)


def test_models_that_somebody_copied_by_hand_are_not_overwritten(
    small: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "t" / "user_tower" / "1" / "saved_model.pb"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(UsageError, match=r"differs from this bundle|is missing"):
        push_bundle(small, str(tmp_path / "t"))
    assert mine.read_bytes() == b"mine"


def test_a_damaged_bundle_is_exit_2_and_nothing_is_written(small: Path, tmp_path: Path) -> None:
    (small / "edge" / "vocab.txt").write_text("[UNK]\n", encoding="utf-8")
    with pytest.raises(BundleError, match=r"damaged \(edge/vocab\.txt: content differs"):
        push_bundle(small, str(tmp_path / "t"))
    done = subprocess.run(
        [sys.executable, "-c", MAIN, "push", str(small), str(tmp_path / "t")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "was not pushed" in done.stderr
    assert "dualtower verify" in done.stderr
    assert not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("target", "error", "said"),
    [
        ("", UsageError, "no target"),
        ("gs://", UsageError, "names no place"),
        ("nosuch://x/y", UnavailableError, "no file system nosuch:// here, it has file, gs, ram"),
        ("{bundle}", UsageError, "lies in the bundle"),
        ("{bundle}/serving", UsageError, "lies in the bundle"),
        ("{bundle}/../file/below", UsageError, "is in the way"),
    ],
)
def test_a_target_that_cannot_be_used(
    small: Path, target: str, error: type[Exception], said: str
) -> None:
    (small.parent / "file").write_bytes(b"")
    with pytest.raises(error, match=said):
        push_bundle(small, target.format(bundle=small))
    assert verify(small) == []


def test_what_is_there_but_no_folder_of_models_is_left_alone(small: Path, tmp_path: Path) -> None:
    (tmp_path / "t" / "bundles").mkdir(parents=True)
    (tmp_path / "t" / "bundles" / "README").write_text("ours", encoding="utf-8")
    (tmp_path / "t" / "user_tower" / "notes").mkdir(parents=True)
    push_bundle(small, str(tmp_path / "t"))
    assert (tmp_path / "t" / "bundles" / "README").read_text(encoding="utf-8") == "ours"


def test_a_dry_run_lists_and_writes_nothing(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "t"
    result = CliRunner().invoke(push, [str(small), str(target), "--dry-run"])
    assert result.exit_code == 0
    assert f"{target}/user_tower/1/saved_model.pb" in result.stdout
    assert "would write" in result.stdout
    said = json.loads(
        CliRunner().invoke(push, [str(small), str(target), "--dry-run", "--json"]).stdout
    )
    assert {file["action"] for file in said["files"]} == {"write"}
    assert said["written"] is False
    assert not target.exists()
    push_bundle(small, str(target))
    said = json.loads(CliRunner().invoke(push, [str(small), str(target), "--json"]).stdout)
    assert {file["action"] for file in said["files"]} == {"keep"}
    assert said["server_config"].startswith(f"{target}/bundles/")
    assert Path(said["server_config"]).is_file()


def test_two_pushes_at_once_one_is_told(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "t"
    with (
        exclusive_lock(target / ".push.lock"),
        pytest.raises(UsageError, match="another dualtower is writing"),
    ):
        push_bundle(small, str(target))
    assert [path.name for path in target.iterdir()] == [".push.lock"]


def test_a_full_disk_is_named_and_the_push_goes_on_later(small: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    (small / "edge" / "big.tflite").write_bytes(os.urandom(300_000))
    rebuilt = json.loads((small / "bundle.json").read_text(encoding="utf-8"))
    write_manifest(small, rebuilt)
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(target)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        with pytest.raises(UnavailableError, match="no space left"):
            push_bundle(small, str(target))
        assert not (target / "user_tower").exists()
        remount = ["mount", "-o", "remount,size=2m", str(target)]
        subprocess.run(remount, check=True)
        assert push_bundle(small, str(target)).kept
        _hold(small, str(target))
    finally:
        subprocess.run(["umount", str(target)], check=True)


@pytest.mark.parametrize(("way", "stride"), [("folder", 3), ("objects", 1)])
def test_killed_at_any_step_no_server_sees_half_of_it(
    small: Path, tmp_path: Path, way: str, stride: int
) -> None:
    child = str(Path(__file__).with_name("push_child.py"))
    done = subprocess.run(
        [sys.executable, child, str(small), str(tmp_path / "targets"), way, str(stride)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(runs) > 20
    assert [run["killed"] for run in runs] == [True] * (len(runs) - 1) + [False]
    for step, run in enumerate(runs, 1):
        assert run["broken"] == [], f"killed at step {step}"
        assert run["whole"], f"killed at step {step}, the second push did not complete it"
        assert not set(run["left"]) - {".push.lock", "bundles", *MODELS}, run["left"]
    assert {run["visible"] for run in runs} >= {0, 1, 2, 3}
    assert max(run["kept"] for run in runs[:-1]) > 0, "nothing was taken over from a killed push"


def test_the_models_of_a_real_bundle_load_from_the_target(bundle, tmp_path: Path) -> None:
    push_bundle(bundle.path, str(tmp_path / "t"))
    for model in MODELS:
        with open_model(tmp_path / "t" / model / "1") as loaded:
            assert ask(loaded)["fingerprint"] == bundle.fingerprint


def test_pushed_and_taken_home_it_is_the_same_bundle(
    small: Path, tmp_path: Path, copy_home: Callable[[Path, Path], Path]
) -> None:
    push_bundle(small, str(tmp_path / "t"))
    assert verify(copy_home(tmp_path / "t", tmp_path / "home")) == []


@pytest.fixture
def copy_home() -> Callable[[Path, Path], Path]:
    """Puts a bundle together again from a target that holds one."""

    def copy(target: Path, home: Path) -> Path:
        (rest,) = (target / "bundles").glob("*/*")
        shutil.copytree(
            rest, home, ignore=lambda folder, _: ["models.config"] * (Path(folder) == rest)
        )
        for model in MODELS:
            shutil.copytree(target / model, home / "serving" / model)
        return home

    return copy
