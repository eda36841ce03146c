"""Whatever is done to a bundle, `verify` finds it: every byte, every name, every kind of entry."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower import BundleError, fingerprint_of, verify
from dualtower.bundle import MODELS, write_manifest

SPACE = {"dim": 8, "weights_sha256": "ab", "text_template": "{text} für", "eps": 1e-12}
EXAMPLES = settings(max_examples=150, deadline=None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damage") / "bundle"
    for model in MODELS:
        version = folder / "serving" / model / "1"
        (version / "variables").mkdir(parents=True)
        (version / "assets").mkdir()  # as TensorFlow leaves it: empty
        (version / "saved_model.pb").write_bytes(f"graph of {model}".encode())
        (version / "variables" / "variables.index").write_bytes(model.encode())
    (folder / "edge").mkdir()
    (folder / "edge" / "empty.txt").write_bytes(b"")
    write_manifest(folder, {"version": 1, "space": SPACE, "gates": [{"value": 0.1, "name": "π"}]})
    assert verify(folder) == []
    return folder


@pytest.fixture(scope="module")
def copy(whole: Path) -> Iterator[Callable[[], Path]]:
    """Makes a new copy at each call; hypothesis keeps a fixture over its examples."""
    with tempfile.TemporaryDirectory() as place:

        def make() -> Path:
            target = Path(place, "bundle")
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(whole, target)
            return target

        yield make


def found(folder: Path) -> list[str]:
    """Where `verify` finds something; a manifest that cannot be read is a finding too."""
    try:
        return [problem.where for problem in verify(folder)]
    except BundleError as error:
        return ["bundle.json"] if "export" in str(error) else [f"no repair in {error}"]


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def test_a_bundle_has_no_empty_folders(whole: Path) -> None:
    assert not (whole / "serving" / "user_tower" / "1" / "assets").exists()


def test_every_byte_of_the_manifest_counts(copy: Callable[[], Path]) -> None:
    folder = copy()
    path = folder / "bundle.json"
    before = path.read_bytes()
    for place in range(len(before)):
        for bit in (1, 2, 16, 32):
            path.write_bytes(before[:place] + bytes([before[place] ^ bit]) + before[place + 1 :])
            assert found(folder) == ["bundle.json"], (place, bit)
    path.write_bytes(before)
    assert found(folder) == []


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda manifest, text: text + "\n",
        lambda manifest, text: text.replace(": ", ":  ", 1),
        lambda manifest, text: json.dumps(manifest),
        lambda manifest, text: text.replace("π", "\\u03c0"),
        lambda manifest, text: text.replace('"version": 1', '"version": 1,\n  "version": 1'),
        lambda manifest, text: text.replace("1e-12", "0.000000000001"),
    ],
    ids=["newline", "blank", "one line", "escape", "key twice", "number"],
)
def test_a_manifest_that_says_the_same_in_other_bytes_is_found(
    copy: Callable[[], Path], rewrite: Callable[[dict, str], str]
) -> None:
    path = copy() / "bundle.json"
    text = path.read_text(encoding="utf-8")
    changed = rewrite(json.loads(text), text)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    assert found(path.parent) == ["bundle.json"]


def test_a_manifest_without_its_hash_is_found(copy: Callable[[], Path]) -> None:
    path = copy() / "bundle.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    del manifest["manifest_sha256"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    (problem,) = verify(path.parent)
    assert "has no manifest_sha256" in problem.what


@EXAMPLES
@given(data=st.data())
def test_any_damage_to_any_file_is_found(copy: Callable[[], Path], data: st.DataObject) -> None:
    folder = copy()
    name = data.draw(st.sampled_from([one for one in files(folder) if one != "bundle.json"]))
    path = folder / name
    before = path.read_bytes()
    kind = data.draw(st.sampled_from(["flip", "cut", "append", "insert", "delete", "replace"]))
    place = data.draw(st.integers(0, max(0, len(before) - 1)))
    if kind == "flip" and before:
        bit = 1 << data.draw(st.integers(0, 7))
        after = before[:place] + bytes([before[place] ^ bit]) + before[place + 1 :]
    elif kind == "cut" and before:
        after = before[:place]
    elif kind == "append":
        after = before + data.draw(st.binary(min_size=1, max_size=4))
    elif kind == "insert":
        after = before[:place] + data.draw(st.binary(min_size=1, max_size=4)) + before[place:]
    elif kind == "delete":
        path.unlink()
        assert name in found(folder)
        return
    else:
        after = data.draw(st.binary(max_size=len(before) + 2).filter(lambda new: new != before))
    path.write_bytes(after)
    assert found(folder) == [name]


@EXAMPLES
@given(data=st.data())
def test_files_that_changed_places_are_found(copy: Callable[[], Path], data: st.DataObject) -> None:
    folder = copy()
    names = st.sampled_from([one for one in files(folder) if one != "bundle.json"])
    one, other = data.draw(names), data.draw(names)
    first, second = (folder / one).read_bytes(), (folder / other).read_bytes()
    (folder / one).write_bytes(second)
    (folder / other).write_bytes(first)
    assert found(folder) == ([] if one == other else sorted({one, other}))


@EXAMPLES
@given(
    folder_of=st.sampled_from(
        ["", "serving", "serving/user_tower", "serving/item_tower/1", "edge"]
    ),
    name=st.text(
        st.characters(blacklist_categories=["Cs"], blacklist_characters="/\0"),
        min_size=1,
        max_size=8,
    ).filter(lambda name: name not in (".", "..")),
    kind=st.sampled_from(["file", "folder", "link", "link to a folder", "pipe"]),
)
def test_whatever_is_added_is_found(
    copy: Callable[[], Path], folder_of: str, name: str, kind: str
) -> None:
    folder = copy()
    path = folder / folder_of / name
    if os.path.lexists(path):
        return
    if kind == "file":
        path.write_bytes(b"")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to(folder / "bundle.json")
    elif kind == "link to a folder":
        path.symlink_to(folder / "serving")
    else:
        os.mkfifo(path)  # reading it would wait for ever
    assert found(folder) == [path.relative_to(folder).as_posix()]


@pytest.mark.parametrize("name", ["edge/empty.txt", "serving/user_tower/1/saved_model.pb"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_something_else_in_place_of_a_file_is_found(
    copy: Callable[[], Path], whole: Path, name: str, kind: str
) -> None:
    """A link to the very same bytes as well: they are not in the bundle."""
    folder = copy()
    (folder / name).unlink()
    if kind == "link":
        (folder / name).symlink_to(whole / name)
    elif kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    assert name in found(folder)


def test_a_name_that_is_no_text_is_found_and_can_be_printed(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    (problem,) = verify(folder)
    assert str(problem) == "caf\\xe9: not in the manifest"
    str(problem).encode("utf-8")


@pytest.mark.parametrize("name", ["user_tower", "item_tower", "recommender"])
def test_a_renamed_version_is_found(copy: Callable[[], Path], name: str) -> None:
    folder = copy()
    (folder / "serving" / name / "1").rename(folder / "serving" / name / "2")
    where = found(folder)
    assert f"serving/{name}" in where
    assert f"serving/{name}/2/saved_model.pb" in where
    assert f"serving/{name}/1/saved_model.pb" in where


def test_a_manifest_made_by_hand_with_another_space_is_found(copy: Callable[[], Path]) -> None:
    """All hashes fit, but the fingerprint is not that of the space."""
    from dualtower import bundle

    folder = copy()
    manifest = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    manifest["space"] = {**SPACE, "dim": 16}
    del manifest["manifest_sha256"]
    manifest["manifest_sha256"] = bundle._hash_of(manifest)
    (folder / "bundle.json").write_bytes(bundle._rendered(manifest))
    (problem,) = verify(folder)
    assert fingerprint_of(SPACE) in problem.what
    assert fingerprint_of({**SPACE, "dim": 16}) in problem.what


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("version", "1", "has a version that is none"),
        ("version", 0, "has a version that is none"),
        ("version", True, "has a version that is none"),
        ("space", [], "has a space that is none"),
        ("files", [], "has a list of files that is none"),
        ("files", {"a": {"sha256": ""}}, "has a list of files that is none"),
        ("files", {"a": None}, "has a list of files that is none"),
    ],
)
def test_an_entry_of_another_type_is_named(
    copy: Callable[[], Path], key: str, value: object, said: str
) -> None:
    path = copy() / "bundle.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, key: value}), encoding="utf-8")
    with pytest.raises(BundleError, match=said):
        verify(path.parent)
