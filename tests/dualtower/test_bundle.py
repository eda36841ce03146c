"""The manifest of a bundle: opened, fingerprinted, verified."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtower import Bundle, BundleError, fingerprint_of, verify
from dualtower.bundle import MODELS, write_manifest

SPACE = {"dim": 8, "weights_sha256": "ab", "text_template": "{text}", "normalised": True}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    for model in MODELS:
        (folder / "serving" / model / "3").mkdir(parents=True)
        (folder / "serving" / model / "3" / "saved_model.pb").write_bytes(model.encode())
    (folder / "serving" / "models.config").write_text('base_path: "/models/user_tower"\n')
    write_manifest(folder, {"version": 3, "space": SPACE})
    return folder


def test_it_opens_and_is_whole(bundle: Path) -> None:
    opened = Bundle.open(bundle)
    assert (opened.version, opened.dim) == (3, 8)
    assert opened.fingerprint == fingerprint_of(SPACE)
    assert opened.models_config() == f'base_path: "{bundle}/serving/user_tower"\n'
    assert verify(bundle) == []


def test_the_fingerprint_is_the_hash_of_canonical_json() -> None:
    text = '{"a":"ü","b":[1,2]}'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert fingerprint_of({"b": [1, 2], "a": "ü"}) == expected


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans(), min_size=1), st.data())
def test_any_change_of_the_space_changes_the_fingerprint(space: dict, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(space)))
    changed = {**space, key: data.draw(st.integers().filter(lambda v: v != space[key]))}
    same_json = json.dumps(changed, sort_keys=True) == json.dumps(space, sort_keys=True)
    assert (fingerprint_of(changed) == fingerprint_of(space)) == same_json
    reordered = dict(reversed(list(space.items())))
    assert fingerprint_of(reordered) == fingerprint_of(space)


def test_every_single_changed_byte_is_found(bundle: Path) -> None:
    for path in [p for p in bundle.rglob("*") if p.is_file() and p.name != "bundle.json"]:
        before = path.read_bytes()
        for place in range(len(before)):
            path.write_bytes(before[:place] + bytes([before[place] ^ 1]) + before[place + 1 :])
            problems = verify(bundle)
            assert [p.where for p in problems] == [path.relative_to(bundle).as_posix()]
        path.write_bytes(before)
    assert verify(bundle) == []


def test_missing_added_and_cut_files_are_found(bundle: Path) -> None:
    (bundle / "extra").write_text("x")
    (bundle / "serving" / "models.config").write_text("short")
    (bundle / "serving" / "user_tower" / "3" / "saved_model.pb").unlink()
    found = {problem.where: problem.what for problem in verify(bundle)}
    assert found["extra"] == "not in the manifest"
    assert "5 bytes, recorded" in found["serving/models.config"]
    assert found["serving/user_tower/3/saved_model.pb"] == "missing"
    assert found["serving/user_tower"] == "has no version 3"


def test_a_changed_space_is_found(bundle: Path) -> None:
    manifest = json.loads((bundle / "bundle.json").read_text())
    manifest["space"]["dim"] = 16
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    assert [problem.where for problem in verify(bundle)] == ["bundle.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"no bundle: it has no bundle\.json; make one with `dualtower export"),
        (b"{", "cannot be read"),
        (b"[]", "lacks schema_version"),
        (b"\xff", "cannot be read"),
        (b'{"schema_version": 1}', "lacks fingerprint, version"),
        (
            b'{"schema_version": 9, "fingerprint": "", "version": 1, "space": {}, "files": {}}',
            "schema 9, this dualtower reads 1",
        ),
    ],
)
def test_what_is_no_bundle_says_why(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "bundle.json").write_bytes(content)
    with pytest.raises(BundleError, match=message):
        Bundle.open(tmp_path)


def test_an_unknown_model_is_named(bundle: Path) -> None:
    with pytest.raises(BundleError, match="no model 'tower' in a bundle; there are user_tower"):
        Bundle.open(bundle).model_path("tower")
