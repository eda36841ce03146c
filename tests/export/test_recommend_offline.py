"""`dualtower recommend --run` and `--bundle`: the same lists, and an oracle in plain numpy."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualtower.cli import main
from dualtower.errors import BundleError, UsageError
from dualtower_export.bundle_towers import open_bundle_towers
from dualtower_export.recorded_data import recorded_data


@pytest.fixture(scope="session")
def data(trained) -> Path:
    return trained.data_path


@pytest.fixture
def ask(tmp_path: Path, capsys):
    """Runs the command; gives its lines by user in their order, the summary and stderr."""

    def run_command(*arguments: str, users: str, candidates: str | None = None, k: int = 100):
        (tmp_path / "users.txt").write_bytes(users.encode())
        parts = ["recommend", *arguments, "--users", str(tmp_path / "users.txt"), "--k", str(k)]
        if candidates is not None:
            (tmp_path / "candidates.txt").write_bytes(candidates.encode())
            parts += ["--candidates", str(tmp_path / "candidates.txt")]
        out = tmp_path / "predictions.jsonl"
        main([*parts, "--out", str(out), "--json"])
        shown = capsys.readouterr()
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert all(list(row) == ["user_id", "items"] for row in rows)
        return {row["user_id"]: row["items"] for row in rows}, json.loads(shown.out), shown.err

    return run_command


def taken_by(data: Path, user: str) -> list[str]:
    """Item ids of a user, most recent first, by plain Python over the rows of the file."""
    last: dict[str, int] = {}
    for row in pq.read_table(data / "interactions.parquet").to_pylist():
        if row["user_id"] == user:
            last[row["item_id"]] = max(last.get(row["item_id"], 0), row["timestamp"])
    order = pq.read_table(data / "items.parquet")["item_id"].to_pylist()
    return sorted(last, key=lambda item: (-last[item], order.index(item)))


def oracle(trained, data: Path, user: str, candidates: list[str], k: int) -> list[str]:
    """The list by one user's tower call and a sort of (−score, row)."""
    taken = taken_by(data, user)
    rows = [trained.catalogue.rows[item] for item in taken]
    vector = trained.embed_histories([np.array(rows, np.int64)])[0]
    allowed = [
        row
        for row, item in enumerate(trained.item_ids)
        if item in candidates and item not in taken and not trained.blocked[row]
    ]
    scores = {row: float(trained.vectors[row] @ vector) for row in allowed}
    best = sorted(allowed, key=lambda row: (-round(scores[row], 6), row))[:k]
    return [trained.item_ids[row] for row in best]


def test_a_list_is_what_a_plain_sort_of_the_scores_gives(ask, run, trained, data) -> None:
    users = [f"user-{number}" for number in range(0, 80, 7)]
    lists, summary, _ = ask("--run", str(run), users="\n".join(users))
    assert list(lists) == users
    for user in users:
        expected = oracle(trained, data, user, list(trained.item_ids), 100)
        assert lists[user] == expected
        assert not set(lists[user]) & {*taken_by(data, user), "item-005", "item-011"}
    assert summary["users"] == len(users)
    assert summary["candidates"] == 58  # 60 less two that are blocked
    assert summary["blocked_candidates"] == 2
    assert summary["short_lists"] == len(users)


def test_the_whole_history_is_removed_and_not_only_what_the_tower_reads(
    ask, run, trained, data
) -> None:
    user = max((f"user-{number}" for number in range(80)), key=lambda u: len(taken_by(data, u)))
    taken = taken_by(data, user)
    assert len(taken) > trained.config.history_items
    lists, _, _ = ask("--run", str(run), users=user, candidates="\n".join([*taken, "item-001"]))
    assert lists[user] == [item for item in ["item-001"] if item not in taken]


def test_run_and_bundle_agree(ask, run, bundle, trained, data) -> None:
    users = "\n".join([*(f"user-{number}" for number in range(80)), "nobody"])
    by_run, run_summary, _ = ask("--run", str(run), users=users, k=20)
    by_bundle, bundle_summary, _ = ask(
        "--bundle", str(bundle.path), "--data", str(data), users=users, k=20
    )
    assert run_summary == bundle_summary
    row = trained.catalogue.rows
    for user, items in by_run.items():
        rows = [row[item] for item in taken_by(data, user)]
        vector = trained.embed_histories([np.array(rows, np.int64)])[0]
        scores = [
            [trained.vectors[row[item]] @ vector for item in found]
            for found in (items, by_bundle[user])
        ]
        assert len(set(by_bundle[user])) == 20
        np.testing.assert_allclose(*scores, atol=2e-5)


@pytest.mark.parametrize("source", ["run", "bundle"])
@pytest.mark.parametrize("named", [False, True], ids=["whole catalogue", "named as candidates"])
def test_blocked_items_are_in_no_list(
    ask, run, bundle, trained, data, source: str, named: bool
) -> None:
    """A list long enough for all that is left holds every other item, and none that is blocked."""
    where = {
        "run": ("--run", str(run)),
        "bundle": ("--bundle", str(bundle.path), "--data", str(data)),
    }
    users = [*(f"user-{number}" for number in range(0, 80, 9)), "nobody"]
    everything = list(trained.item_ids)
    lists, summary, _ = ask(
        *where[source], users="\n".join(users), candidates="\n".join(everything) if named else None
    )
    blocked = {everything[row] for row in np.flatnonzero(trained.blocked)}
    assert len(blocked) == summary["blocked_candidates"] == 2
    for user in users:
        assert set(lists[user]) == set(everything) - set(taken_by(data, user)) - blocked


def test_users_of_whom_nothing_is_known_get_the_fallback(ask, run, trained) -> None:
    lists, summary, _ = ask("--run", str(run), users="nobody\nnobody-else\nuser-3", k=10)
    fallback = trained.embed_histories([np.array([], np.int64)])[0]
    scores = np.where(trained.blocked, -np.inf, trained.vectors @ fallback)
    assert lists["nobody"] == lists["nobody-else"]
    assert set(lists["nobody"]) == set(trained.item_ids[np.argsort(-scores)[:10]])
    assert summary["users_without_history"] == 2


def test_the_files_of_ids_may_be_untidy(ask, run) -> None:
    untidy = "\ufeffuser-3\r\n\r\n  user-1 \r\nuser-3\r\n"
    lists, summary, notes = ask("--run", str(run), users=untidy, candidates="item 000 ü\nitem-002")
    assert list(lists) == ["user-3", "user-1"]
    assert summary["repeated_users"] == 1
    assert "1 repeated users were dropped" in notes
    assert set(lists["user-3"]) | set(lists["user-1"]) <= {"item 000 ü", "item-002"}


def test_a_gzipped_file_is_read(ask, run, tmp_path: Path) -> None:
    (tmp_path / "items.gz").write_bytes(gzip.compress(b"item-001\nitem-002\n"))
    lists, _, _ = ask("--run", str(run), "--candidates", str(tmp_path / "items.gz"), users="nobody")
    assert sorted(lists["nobody"]) == ["item-001", "item-002"]


def test_unknown_candidates_are_counted_and_left_out(ask, run) -> None:
    lists, summary, notes = ask(
        "--run", str(run), users="nobody", candidates="item-001\nnew-1\nnew-2\nitem-005"
    )
    assert lists["nobody"] == ["item-001"]
    assert (summary["unknown_candidates"], summary["blocked_candidates"]) == (2, 1)
    assert "2 candidates are not in the catalogue" in notes
    assert "'new-1'" in notes


@pytest.mark.parametrize("source", ["run", "bundle"])
def test_new_candidates_are_ranked_by_their_text(
    ask, run, bundle, trained, data, tmp_path: Path, source: str
) -> None:
    new = tmp_path / "items.csv"
    twin = trained.texts[20]
    new.write_text(
        f"item_id,text,blocked\nnew-1,{twin},\nnew-2,{twin},\nnew-3,tea milk,1\n"
        "item-002,another text,\nnew-4,,\n",
        encoding="utf-8",
    )
    where = (
        ("--run", str(run))
        if source == "run"
        else ("--bundle", str(bundle.path), "--data", str(data))
    )
    lists, summary, notes = ask(
        *where, "--items", str(new), users="nobody\nuser-1",
        candidates="new-2\nnew-1\nitem-030\nnew-3\nnew-4\nitem-002",
    )  # fmt: skip
    assert summary["candidates_by_text"] == 2
    assert (summary["unknown_candidates"], summary["blocked_candidates"]) == (1, 1)
    assert "empty text" in notes
    found = lists["nobody"]
    assert sorted(found) == ["item-002", "item-030", "new-1", "new-2"]
    assert found.index("new-2") + 1 == found.index("new-1")  # a tie, in the order of the file
    text_only = trained.embed_texts([twin])[0]
    fallback = trained.embed_histories([np.array([], np.int64)])[0]
    known = {
        item: trained.vectors[trained.catalogue.rows[item]] for item in found if item[0] == "i"
    }
    scores = {**known, "new-1": text_only, "new-2": text_only}
    order = sorted(found, key=lambda item: -round(float(scores[item] @ fallback), 5))
    assert [item[:5] for item in order] == [item[:5] for item in found]


def test_two_runs_of_the_command_write_the_same_bytes_whatever_the_chunk(
    run, trained, data, tmp_path: Path, monkeypatch
) -> None:
    from dualtower_trainer import recommend_offline as module
    from dualtower_trainer.scoring_towers import towers_of

    (tmp_path / "users.txt").write_text("\n".join(f"user-{number}" for number in range(80)))
    written = []
    for size in (512, 512, 7):
        monkeypatch.setattr(module, "_MOST_USERS", size)
        out = tmp_path / f"{len(written)}.jsonl"
        module.recommend_offline(
            towers_of(trained), data=data, users=tmp_path / "users.txt", out=out, k=20
        )
        written.append(out.read_bytes())
    assert written[0] == written[1]
    assert [json.loads(line)["user_id"] for line in written[2].splitlines()] == [
        f"user-{number}" for number in range(80)
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run", "RUN", "--bundle", "RUN"], "one of the three"),
        ([], "one of the three"),
        (["--run", "RUN", "--data", "/no/such/data"], "say where it is by --data"),
        (["--run", "RUN", "--k", "0"], "k must be at least 1"),
        (["--run", "RUN", "--candidates", "NONE"], "holds no id"),
        (["--run", "RUN", "--candidates", "STRANGE"], "none of the 1 candidates"),
        (["--run", "RUN", "--candidates", "LATIN"], "line 2 is no UTF-8"),
        (["--run", "RUN", "--candidates", "CUT"], "cut off or damaged"),
        (["--run", "RUN", "--candidates", "LONG"], "more than 1000 characters"),
        (["--run", "RUN", "--candidates", "WIDE"], "UTF-16"),
        (["--run", "RUN", "--candidates", "NUL"], "NUL byte"),
        (["--run", "RUN", "--candidates", "/no/such/file"], "cannot be read"),
        (["--run", "RUN", "--address", "localhost:1"], "--address"),
        (["--run", "RUN", "--out", "FOLDER"], "is a folder"),
    ],
)
def test_wrong_use_is_named_and_writes_nothing(
    run, tmp_path: Path, capsys, arguments: list[str], message: str
) -> None:
    (tmp_path / "users.txt").write_text("user-1\n")
    (tmp_path / "FOLDER").mkdir()
    for name, content in {
        "NONE": b"\n \r\n",
        "STRANGE": b"strange\n",
        "LATIN": b"item-001\n\xe9t\xe9\n",
        "CUT": gzip.compress(b"item-001\n" * 1000)[:-10],
        "LONG": "ü".encode() * 4000,
        "WIDE": "item-001\n".encode("utf-16"),
        "NUL": b"item\0-1\n",
    }.items():
        (tmp_path / name).write_bytes(content)
    places = {path.name: str(path) for path in tmp_path.iterdir()} | {"RUN": str(run)}
    arguments = [places.get(argument, argument) for argument in arguments]
    out = tmp_path / "predictions.jsonl"
    whole = ["recommend", "--users", str(tmp_path / "users.txt"), "--out", str(out), *arguments]
    with pytest.raises(SystemExit) as end:
        main(whole)
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
    assert not list(tmp_path.glob("*.tmp-*"))


def test_a_bundle_leads_to_its_data(bundle, data, tmp_path: Path) -> None:
    from dataclasses import replace

    assert recorded_data(bundle) == data.resolve()
    unnamed = {key: value for key, value in bundle.manifest.items() if key != "data_path"}
    for manifest in (unnamed, {**unnamed, "data_path": str(tmp_path / "gone")}):
        with pytest.raises(UsageError, match=r"by --data DATA"):
            recorded_data(replace(bundle, manifest=manifest))


def test_a_changed_index_is_refused(bundle, tmp_path: Path) -> None:
    from dualtower.bundle import Bundle

    copy = tmp_path / "bundle"
    shutil.copytree(bundle.path, copy)
    index = copy / "index" / "catalogue.parquet"
    index.chmod(0o644)
    index.write_bytes(index.read_bytes()[:-1] + b"x")
    with (
        pytest.raises(BundleError, match="was changed after the export"),
        open_bundle_towers(Bundle.open(copy)),
    ):
        pass
