"""Bad input of an export as a person meets it: the command, its exit code, what it says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from dualtower.cli import main
from dualtower.files import atomic_folder
from dualtower_export.gate_data import load_gate_data
from dualtower_trainer.checkpoint import hash_tensors


@dataclass(frozen=True)
class Said:
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def dualtower(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Runs the command in this process."""

    def run_it(*words: str | Path) -> Said:
        capfd.readouterr()
        code = 0
        try:
            main(list(map(str, words)))
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return Said(code, out, err)

    return run_it


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    """A run that a test may damage."""
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def _set_catalogue(run: Path, **columns: object) -> None:
    path = run / "model" / "catalogue.parquet"
    table = pq.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name) if name in table.column_names else None
        array = pa.array(values)
        if place is None:
            table = table.append_column(name, array)
        else:
            table = table.set_column(place, name, array.cast(table.schema.field(name).type))
    pq.write_table(table, path)


def _set_vectors(run: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """As a training would leave them: with a hash that fits."""
    path = run / "model" / "towers.safetensors"
    tensors = load_file(path)
    tensors["catalogue/vectors"] = np.ascontiguousarray(change(tensors["catalogue/vectors"]))
    save_file(tensors, path)
    facts = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))
    facts["towers_sha256"] = hash_tensors(tensors)
    (run / "model" / "model.json").write_text(json.dumps(facts), encoding="utf-8")


def _column(run: Path, name: str) -> list:
    return pq.read_table(run / "model" / "catalogue.parquet")[name].to_pylist()


def _refused(said: Said, out: Path, *words: str) -> None:
    """Exit code 2, the words on stderr, nothing on stdout, nothing at the target."""
    assert said.code == 2, said.err
    for word in words:
        assert word in said.err
    assert "Traceback" not in said.err
    assert said.out == ""
    assert not out.exists()
    assert not list(out.parent.glob(f"{out.name}.tmp-*"))


@pytest.mark.parametrize(
    "name",
    [
        "model.json", "towers.safetensors", "catalogue.parquet", "encoder/config.json",
        "encoder/model.safetensors", "encoder/vocab.txt",
    ],
)  # fmt: skip
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "other bytes"])
def test_a_damaged_checkpoint(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path, name: str, damage: str
) -> None:
    path = copy / "model" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"cut": content[: len(content) // 2], "empty": b"", "other bytes": b"\x00\xff" * 40}[
                damage
            ]
        )
    said = dualtower("export", copy, "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", "error: ")
    assert str(copy) in said.err


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": 1}, ("model schema 1, this dualtower reads 2", "--overwrite")),
        ({"schema": None}, ("model schema None", "--overwrite")),
        ({"model": {"dim": 32}}, ("damaged", "--overwrite")),
        ({"model": {"dimension": 32}}, ("damaged", "--overwrite")),
        ({"encoder": {}}, ("damaged", "--overwrite")),
        ({"split": {"weeks": 1}}, ("damaged", "--overwrite")),
    ],
)
def test_a_checkpoint_of_another_schema(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path, change: dict, words: tuple[str, ...]
) -> None:
    path = copy / "model" / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}), encoding="utf-8")
    _refused(dualtower("export", copy, "--out", tmp_path / "b"), tmp_path / "b", *words)


def test_no_run_at_all(dualtower: Callable[..., Said], tmp_path: Path) -> None:
    said = dualtower("export", tmp_path / "none", "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", "holds no trained model", "dualtower train")


def test_ids_that_are_there_twice(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path
) -> None:
    ids = _column(copy, "item_id")
    _set_catalogue(copy, item_id=[*ids[:-1], ids[4]])
    said = dualtower("export", copy, "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", f"the id {ids[4]!r} twice", "train again")


@pytest.mark.parametrize("bad", ["", None])
def test_an_item_without_an_id(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path, bad: str | None
) -> None:
    _set_catalogue(copy, item_id=[*_column(copy, "item_id")[:-1], bad])
    said = dualtower("export", copy, "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", "item 59", "train again")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path, bad: float
) -> None:
    def change(vectors: np.ndarray) -> np.ndarray:
        vectors[7, 3] = bad
        return vectors

    _set_vectors(copy, change)
    said = dualtower("export", copy, "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", "1 of 60 items have vectors that are not finite", "item-007")


def test_a_catalogue_and_vectors_of_different_length(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path
) -> None:
    _set_vectors(copy, lambda vectors: vectors[:-1])
    said = dualtower("export", copy, "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", "60 items", "59 vectors", "--overwrite")


def test_a_catalogue_without_a_column(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path
) -> None:
    path = copy / "model" / "catalogue.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["text"]), path)
    _refused(dualtower("export", copy, "--out", tmp_path / "b"), tmp_path / "b", "damaged", "text")


def test_a_k_beyond_the_catalogue_is_cut(
    dualtower: Callable[..., Said], run: Path, tmp_path: Path
) -> None:
    arguments = ("export", run, "--out", tmp_path / "b", "--set", "export.k_max=1000000")
    said = dualtower(*arguments, "--dry-run", "--json")
    assert said.code == 0
    assert json.loads(said.out)["k_max"] == 60


def test_a_k_of_nothing_is_refused(
    dualtower: Callable[..., Said], run: Path, tmp_path: Path
) -> None:
    for bad in ("0", "-5"):
        said = dualtower("export", run, "--out", tmp_path / "b", "--set", f"export.k_max={bad}")
        _refused(said, tmp_path / "b", "k_max must be at least 1", bad)


def test_something_else_at_the_target_is_left_alone(
    dualtower: Callable[..., Said], run: Path, bundle, tmp_path: Path
) -> None:
    out = tmp_path / "b"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work", encoding="utf-8")
    said = dualtower("export", run, "--out", out)
    assert said.code == 2
    assert "exists and is no bundle; remove it (rm -r" in said.err
    assert (out / "thesis.txt").read_text(encoding="utf-8") == "years of work"
    said = dualtower("export", run, "--out", bundle.path, "--version", "2")
    assert said.code == 2
    assert "other settings" in said.err
    assert "choose another folder with --out" in said.err


def test_two_exports_at_once(dualtower: Callable[..., Said], run: Path, tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "b"):
        said = dualtower("export", run, "--out", tmp_path / "b")
    assert said.code == 2
    assert "another export is writing" in said.err
    assert "choose another folder with --out" in said.err


def test_no_space_is_said_before_the_work(
    dualtower: Callable[..., Said], run: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        said = dualtower("export", run, "--out", small / "b")
        _refused(said, small / "b", "no space left", "--out", "df -h")
        assert os.listdir(small) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_data_that_moved_names_the_option(
    dualtower: Callable[..., Said], copy: Path, tmp_path: Path
) -> None:
    path = copy / "model" / "model.json"
    facts = {**json.loads(path.read_text()), "data_path": str(tmp_path / "gone")}
    path.write_text(json.dumps(facts), encoding="utf-8")
    said = dualtower("export", copy, "--out", tmp_path / "b")
    _refused(said, tmp_path / "b", "--data")


def _ask(served, signature: str, histories: list[list[str]], exclude: list[list[str]]) -> dict:
    name = "history" if signature == "serving_default" else "item_ids"
    width = max(1, *(len(row) for row in (*histories, *exclude)))
    padded = [
        np.array([[*row, *[""] * (width - len(row))] for row in rows], object)
        for rows in (histories, exclude)
    ]
    return served["recommender"](signature, **{name: padded[0], "exclude": padded[1]})


def test_unknown_ids_in_a_history_count_for_nothing(served, trained) -> None:
    known = [str(one) for one in trained.item_ids[[3, 9]]]
    mixed = ["nobody", known[0], "\x00", known[1], "x" * 1000]
    alone = _ask(served, "from_item_ids", [known], [[]])
    with_others = _ask(served, "from_item_ids", [mixed], [["nobody", "also nobody"]])
    assert with_others["item_ids"].tolist() == alone["item_ids"].tolist()
    np.testing.assert_array_equal(with_others["scores"], alone["scores"])


def test_all_items_excluded_gives_an_empty_list(served, trained) -> None:
    everything = [str(one) for one in trained.item_ids]
    for history in ([], everything[:2], ["nobody"]):
        answer = _ask(served, "from_item_ids", [history], [everything])
        assert set(answer["item_ids"].ravel().tolist()) == {b""}
        assert np.isneginf(answer["scores"]).all()


def test_of_a_history_beyond_the_limit_the_most_recent_is_kept(served, trained) -> None:
    """And what is older is still in no list: a person had it."""
    ids = [str(one) for one in trained.item_ids]
    limit = trained.config.history_items
    long, other = ids[: limit + 4], [*ids[:limit], *ids[-4:]]
    answers = [_ask(served, "from_item_ids", [one], [ids[-10:]]) for one in (long, other)]
    embeddings = [
        served["user_tower"]("from_item_ids", item_ids=np.array([one], object))["embedding"]
        for one in (long, other, ids[:limit])
    ]
    np.testing.assert_array_equal(embeddings[0], embeddings[1])
    np.testing.assert_allclose(embeddings[0], embeddings[2], atol=1e-6)
    for history, answer in zip((long, other), answers, strict=True):
        assert not {one.encode() for one in history} & set(answer["item_ids"].ravel().tolist())


def test_a_text_beyond_the_token_limit_is_its_beginning(served, trained) -> None:
    """Where a word piece would be the last that fits, [SEP] stands; nothing behind it is read."""
    words = [f"tea{number}" for number in range(trained.max_tokens)]
    pieces = trained.max_tokens - 2
    head = " ".join(words[:pieces])
    texts = np.array([head, head + " " + "milk " * 100_000, head + " \x00\ufffd"], object)
    vectors = served["item_tower"]("serving_default", text=texts)["embedding"]
    np.testing.assert_allclose(vectors[1:], vectors[[0, 0]], atol=1e-5)


def test_gate_data_of_a_run_without_people_names_it(trained, plan, tmp_path: Path) -> None:
    """A data folder whose people all left: no gate could compare anything."""
    data = tmp_path / "data"
    shutil.copytree(trained.data_path, data)
    table = pq.read_table(data / "interactions.parquet")
    pq.write_table(table.slice(0, 0), data / "interactions.parquet")
    with pytest.raises(Exception, match=r"interaction") as caught:
        load_gate_data(trained, plan.config, data)
    assert type(caught.value).__module__ == "dualtower.errors"
