"""The runner for phones: a class and a command, beside the bundle's own answers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualtower.cli import main
from dualtower.edge.metadata import facts_of
from dualtower.edge.model import smallest
from dualtower.edge.runner import EdgeItemTower, EdgeRecommender, NewItem
from dualtower.errors import BundleError, BundleMismatch, DataError, UsageError
from dualtower_export.edge_histories import read_histories_file


@pytest.fixture
def edge(bundle, tmp_path: Path) -> Path:
    """A copy of the `edge` folder, to be harmed."""
    return Path(shutil.copytree(bundle.edge_path, tmp_path / "edge"))


@pytest.fixture(scope="session")
def users(trained) -> dict[str, list[str]]:
    """Histories by user, the most recent first, in plain Python."""
    last: dict[tuple[str, str], int] = {}
    for row in pq.read_table(trained.data_path / "interactions.parquet").to_pylist():
        key = row["user_id"], row["item_id"]
        last[key] = max(last.get(key, 0), row["timestamp"])
    order = trained.catalogue.rows
    found: dict[str, list[str]] = {}
    for user, item in sorted(last, key=lambda key: (-last[key], order[key[1]])):
        found.setdefault(user, []).append(item)
    return found


def _recommend(*arguments: str, out: Path, capsys) -> tuple[dict[str, list[str]], dict]:
    main(["recommend", *arguments, "--out", str(out), "--json"])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return {row["user_id"]: row["items"] for row in rows}, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("one_file", [True, False])
def test_lists_beside_those_of_the_server(bundle, served, users, one_file: bool) -> None:
    """The recommender that TensorFlow Serving runs, asked for the same histories."""
    recommender = EdgeRecommender(bundle.edge_path, one_file=one_file)
    gate = next(e for e in bundle.manifest["recommenders"] if e["form"] == "recommender")
    assert gate["verdict"] == "ship"
    kept = []
    for history in [*list(users.values())[:40], []]:
        request = np.array([history or [""]], object)
        answer = served["recommender"](
            "from_item_ids", item_ids=request, exclude=np.array([[""]], object)
        )
        wanted = {
            raw.decode(): score
            for raw, score in zip(answer["item_ids"][0], answer["scores"][0], strict=True)
        }
        found = recommender.recommend(history, 20)
        assert not {one.item_id for one in found} & set(history)
        for one in found:
            if one.item_id in wanted:
                assert one.score == pytest.approx(wanted[one.item_id], abs=0.03)
        kept.append(len({one.item_id for one in found[:10]} & set(list(wanted)[:10])) / 10)
    assert np.mean(kept) >= 0.9


def test_unknown_ids_and_repeats_change_nothing(bundle, users) -> None:
    recommender = EdgeRecommender(bundle.edge_path)
    history = users["user-3"][:5]
    plain = recommender.recommend(history)
    assert recommender.recommend([history[0], *history, "nobody's", "", history[2]]) == plain
    assert recommender.recommend(["nobody's"]) == recommender.recommend([])


def test_a_text_counts_as_the_item_tower_reads_it(bundle, trained) -> None:
    """Beside the trainer's towers: a history of an id and a text that the catalogue lacks."""
    recommender = EdgeRecommender(bundle.edge_path, tower="float32")
    text = "sweet café juice, extra"
    items = np.stack([trained.embed_texts([text])[0], trained.vectors[9]])[None]
    user = trained.user_tower({"items": items, "mask": np.ones((1, 2), np.float32)}).numpy()[0]
    scores = trained.vectors @ user
    found = recommender.recommend([NewItem(text), "item-009"], 10)
    rows = [trained.catalogue.rows[one.item_id] for one in found]
    np.testing.assert_allclose([one.score for one in found], scores[rows], atol=0.02)
    assert found != recommender.recommend(["item-009"], 10)


def test_what_is_older_than_the_tower_reads_is_left_out(bundle, trained, users) -> None:
    history = max(users.values(), key=len)
    assert len(history) > trained.config.history_items
    found = EdgeRecommender(bundle.edge_path).recommend(history)
    assert not {one.item_id for one in found} & set(history)


def test_the_item_tower_alone(bundle, trained) -> None:
    texts = ["tea", "", "Weiße ROSE", b"caf\xc3\xa9 \xff"]
    tower = EdgeItemTower(bundle.edge_path / "item_tower.float32.tflite")
    np.testing.assert_allclose(tower.embed(texts), trained.embed_texts(texts), atol=1e-5)
    assert tower.embed([]).shape == (0, 32)


def test_the_smallest_file_is_taken_and_full_int8_only_alone(tmp_path: Path) -> None:
    sizes = {"float32": 9, "dynamic_int8": 3, "full_int8": 2, "dynamic_int8.t16": 1}
    for variant, size in sizes.items():
        (tmp_path / f"item_tower.{variant}.tflite").write_bytes(b"x" * size)
    assert smallest(tmp_path, "item_tower") == "dynamic_int8"
    for variant in ("float32", "dynamic_int8"):
        (tmp_path / f"item_tower.{variant}.tflite").unlink()
    assert smallest(tmp_path, "item_tower") == "full_int8"
    with pytest.raises(BundleError, match="no user_tower"):
        smallest(tmp_path, "user_tower")


@pytest.mark.parametrize("variant", ["float32", "float16", "dynamic_int8", "full_int8"])
def test_the_command_beside_the_bundle(
    bundle, trained, users, tmp_path: Path, capsys, variant: str
) -> None:
    (tmp_path / "users.txt").write_text("\n".join([*users, "nobody"]))
    common = ["--users", str(tmp_path / "users.txt"), "--data", str(trained.data_path), "--k", "20"]
    by_bundle, bundle_says = _recommend(
        "--bundle", str(bundle.path), *common, out=tmp_path / "a", capsys=capsys
    )
    by_edge, edge_says = _recommend(
        "--edge", str(bundle.edge_path), "--variant", variant, *common,
        out=tmp_path / "b", capsys=capsys,
    )  # fmt: skip
    assert list(by_edge) == list(by_bundle)
    ignored = {"out"}
    assert {k: v for k, v in edge_says.items() if k not in ignored} == {
        k: v for k, v in bundle_says.items() if k not in ignored
    }
    kept = [len(set(by_edge[u][:10]) & set(by_bundle[u][:10])) / 10 for u in by_bundle]
    (entry,) = [
        e for e in bundle.manifest["variants"]
        if (e["tower"], e["variant"]) == ("user_tower", variant)
    ]  # fmt: skip
    assert np.mean(kept) >= min(entry["overlap_at_10"], 0.98) - 0.02


def test_candidates_and_new_items(bundle, trained, tmp_path: Path, capsys) -> None:
    (tmp_path / "users.txt").write_text("user-1\nnobody\n")
    (tmp_path / "candidates.txt").write_text("item-002\nnew-1\nitem-005\nwhat\n")
    (tmp_path / "items.csv").write_text("item_id,text\nnew-1,green tea\n")
    lists, summary = _recommend(
        "--edge", str(bundle.edge_path), "--users", str(tmp_path / "users.txt"),
        "--candidates", str(tmp_path / "candidates.txt"), "--items", str(tmp_path / "items.csv"),
        out=tmp_path / "lists.jsonl", capsys=capsys,
    )  # fmt: skip
    assert set(lists["nobody"]) == {"item-002", "new-1"}
    assert summary["candidates_by_text"] == summary["blocked_candidates"] == 1


def test_histories_of_a_file(bundle, users, tmp_path: Path, capsys) -> None:
    people = {"ann": users["user-3"], "bob": [{"text": "black tea"}, "item-001", "gone"], "new": []}
    lines = [json.dumps({"user_id": user, "history": given}) for user, given in people.items()]
    (tmp_path / "histories.jsonl").write_text("\ufeff" + "\n\n".join(lines) + "\n", "utf-8")
    lists, summary = _recommend(
        "--edge", str(bundle.edge_path), "--histories", str(tmp_path / "histories.jsonl"),
        "--k", "15", out=tmp_path / "lists.jsonl", capsys=capsys,
    )  # fmt: skip
    recommender = EdgeRecommender(bundle.edge_path)
    assert lists["ann"] == [one.item_id for one in recommender.recommend(users["user-3"], 15)]
    bob = recommender.recommend([NewItem("black tea"), "item-001"], 15)
    assert lists["bob"] == [one.item_id for one in bob]
    assert len(lists["new"]) == 15
    assert (summary["users"], summary["users_without_history"]) == (3, 1)
    assert (summary["history_by_text"], summary["unknown_ids"]) == (1, 1)


def test_no_tensorflow_and_no_parquet_for_an_apps_histories(bundle, tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text('{"user_id": "a", "history": ["item-001", {"text": "tea"}]}')
    arguments = [
        "recommend", "--edge", str(bundle.edge_path), "--histories", str(tmp_path / "h.jsonl"),
        "--out", str(tmp_path / "lists.jsonl"),
    ]  # fmt: skip
    code = (
        "import sys\n"
        "from dualtower.cli import main\n"
        f"main({arguments!r})\n"
        "heavy = {'tensorflow', 'tf_keras', 'pyarrow', 'scipy', 'grpc'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert {'ai_edge_litert', 'tokenizers', 'numpy'} <= set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert len(json.loads((tmp_path / "lists.jsonl").read_text())["items"]) == 60 - 2 - 1


def test_no_tensorflow_for_users_of_a_data_folder(bundle, trained, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("user-1\n")
    arguments = [
        "recommend", "--edge", str(bundle.edge_path), "--users", str(tmp_path / "users.txt"),
        "--out", str(tmp_path / "lists.jsonl"),
    ]  # fmt: skip
    code = (
        "import sys\n"
        "from dualtower.cli import main\n"
        f"main({arguments!r})\n"
        "assert not {'tensorflow', 'tf_keras', 'grpc'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def _remove(*names: str) -> Callable[[Path], None]:
    return lambda edge: [(edge / name).unlink() for name in names] and None


def _cut(name: str) -> Callable[[Path], None]:
    return lambda edge: (edge / name).write_bytes((edge / name).read_bytes()[:-3000]) and None


def _swap(source: str, target: str) -> Callable[[Path], None]:
    return lambda edge: shutil.copy(edge / source, edge / target) and None


def _no_user_tower_but(source: str) -> Callable[[Path], None]:
    def harm(edge: Path) -> None:
        for file in edge.glob("user_tower.*.tflite"):
            file.unlink()
        shutil.copy(edge / source, edge / "user_tower.dynamic_int8.tflite")

    return harm


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_cut("catalogue.int8.tflite"), "is damaged"),
        (_cut("user_tower.dynamic_int8.tflite"), "is damaged"),
        (_remove("catalogue.int8.tflite"), r"has no catalogue\.\*\.tflite"),
        (_swap("recommender.int8.tflite", "catalogue.int8.tflite"), "expected a catalogue"),
        (_no_user_tower_but("item_tower.float32.tflite"), "expected a user_tower"),
    ],
)  # fmt: skip
def test_harmed_files_are_named(edge: Path, harm: Callable[[Path], None], said: str) -> None:
    harm(edge)
    with pytest.raises(BundleError, match=said):
        EdgeRecommender(edge)


def test_wrong_use_of_the_class(bundle, edge: Path, tmp_path: Path) -> None:
    recommender = EdgeRecommender(edge, one_file=True)
    with pytest.raises(UsageError, match="knows items by id alone"):
        recommender.recommend([NewItem("tea")])
    for k in (0, 61):
        with pytest.raises(UsageError, match="k must be from 1 to 60"):
            recommender.recommend([], k)
    with pytest.raises(BundleError, match=r"is not there; .* holds catalogue\.int8\.tflite, item"):
        EdgeRecommender(edge, tower="int4")
    with pytest.raises(BundleError, match=r"has no catalogue"):
        EdgeRecommender(tmp_path / "nowhere")


def _with_facts(path: Path, **changed: str) -> None:
    """The file with other facts, as an export of another run would have written it."""
    from dualtower.edge.metadata import FileCard, with_card

    content = path.read_bytes()
    facts = {**facts_of(content), **changed}
    card = FileCard(
        name="x", description="", version="1", inputs=(), outputs=(), facts=facts,
        files=_files_of(content),
    )  # fmt: skip
    path.write_bytes(with_card(_without_card(content), card))


def _without_card(content: bytes) -> bytes:
    """The model of a described file, without the old metadata."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    model.metadata = [m for m in model.metadata if m.name != b"TFLITE_METADATA"]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _files_of(content: bytes):
    from dualtower.edge.metadata import Associated, associated_files

    files = associated_files(content)
    return tuple(Associated(n, c, "") for n, c in files.items() if n != "model.sha256")


def test_a_new_catalogue_beside_the_old_tower_and_one_of_other_towers(edge: Path) -> None:
    """Another bundle of the same towers may come; one of other towers may not."""
    before = EdgeRecommender(edge).recommend(["item-001"], 5)
    _with_facts(edge / "catalogue.int8.tflite", fingerprint="0" * 64)
    assert EdgeRecommender(edge).recommend(["item-001"], 5) == before
    _with_facts(edge / "catalogue.int8.tflite", towers="1" * 64)
    with pytest.raises(BundleMismatch, match="take both files from one bundle") as caught:
        EdgeRecommender(edge)
    assert caught.value.expected == "1" * 64


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--edge", "EDGE", "--run", "RUN", "--users", "USERS"], "one of the three"),
        (["--users", "USERS"], "one of the three"),
        (["--edge", "EDGE"], "--users FILE"),
        (["--run", "RUN", "--histories", "GOOD"], "goes with --edge"),
        (["--run", "RUN", "--users", "USERS", "--variant", "float32"], "--variant names"),
        (["--edge", "EDGE", "--histories", "GOOD", "--users", "USERS"], "in place of --users"),
        (["--edge", "EDGE", "--histories", "GOOD", "--k", "0"], "k must be from 1"),
        (["--edge", "EDGE", "--histories", "NONE"], "holds no history"),
        (["--edge", "EDGE", "--histories", "GONE"], "cannot be read"),
        (["--edge", "EDGE", "--histories", "FORM"], "line 2 must have user_id and history"),
        (["--edge", "EDGE", "--histories", "KIND"], "line 1: 7 is neither"),
        (["--edge", "EDGE", "--histories", "JSON"], "line 1 is no JSON"),
        (["--edge", "EDGE", "--users", "USERS"], "names its data|--data DATA"),
        (["--edge", "CUT", "--users", "USERS", "--data", "DATA"], "is damaged"),
        (["--edge", "MIXED", "--users", "USERS", "--data", "DATA"], "fingerprints differ"),
        (["--edge", "BARE", "--users", "USERS", "--data", "DATA"], "no whole `edge` folder"),
        (["--edge", "EDGE", "--variant", "int3", "--users", "USERS", "--data", "DATA"],
         "is not there"),
    ],
)  # fmt: skip
def test_wrong_use_of_the_command_ends_with_2(
    run, trained, edge: Path, tmp_path: Path, capsys, arguments: list[str], said: str
) -> None:
    good = '{"user_id": "a", "history": []}\n'
    for name, content in {
        "USERS": "user-1\n", "GOOD": good, "NONE": "\n", "FORM": good + '{"user_id": "a"}',
        "KIND": '{"user_id": "a", "history": [7]}', "JSON": "{",
    }.items():  # fmt: skip
        (tmp_path / name).write_text(content)
    for name in ("CUT", "MIXED", "BARE"):
        shutil.copytree(edge, tmp_path / name)
    _cut("user_tower.dynamic_int8.tflite")(tmp_path / "CUT")
    facts = json.loads((tmp_path / "MIXED" / "edge.json").read_text())
    (tmp_path / "MIXED" / "edge.json").write_text(json.dumps({**facts, "fingerprint": "2" * 64}))
    (tmp_path / "BARE" / "edge.json").unlink()
    places = {path.name: str(path) for path in tmp_path.iterdir()}
    places |= {"RUN": str(run), "EDGE": str(edge), "DATA": str(trained.data_path),
               "GONE": str(tmp_path / "gone")}  # fmt: skip
    out = tmp_path / "out.jsonl"
    with pytest.raises(SystemExit) as end:
        main(["recommend", *(places.get(a, a) for a in arguments), "--out", str(out)])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert any(part in error for part in said.split("|")), error
    assert not out.exists()


def test_a_history_file_that_is_no_utf_8(tmp_path: Path) -> None:
    (tmp_path / "h").write_bytes(b'{"user_id": "\xff"}')
    with pytest.raises(DataError, match="is no UTF-8"):
        list(read_histories_file(tmp_path / "h"))
