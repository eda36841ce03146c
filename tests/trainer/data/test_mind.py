"""MIND: clicks at their times, histories before the log, and everything else counted."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import FileOptions, SplitConfig, import_files, load_dataset, split

BEHAVIORS = """\
1\tU13740\t11/11/2019 9:05:58 AM\tN3 N1\tN2-1 N4-0
2\tU91836\t11/12/2019 6:11:30 PM\tN2\tN4-0 N1-0 N3-1 N5-1
3\tU73700\t11/14/2019 7:01:48 AM\t\tN5-0
4\tU13740\t11/09/2019 12:00:01 AM\tN3 N1\tN5-1
5\tU9\t11/15/2019 1:00:00 PM\tN4\tN1 N2
"""
NEWS = """\
N1\tlifestyle\tlifestyleroyals\tThe Brands Queen Elizabeth Swears By\tShop the \
notebooks.\thttps://x/1\t[{"Label": "Prince Philip"}]\t[]
N2\tsports\tfootball_nfl\t"Fly, Eagles" — a title with a "quote\t\thttps://x/2\t[]\t[]
N3\tnews\tnewsscience\tDispose of unwanted drugs\tabstract\thttps://x/3\t[]\t[]
N4\tnews\tnewsus\tIt's been Orlando's hottest October\tabstract\thttps://x/4\t[]\t[]
N5\tfinance\tmarkets\tStocks end higher\tabstract\thttps://x/5\t[]\t[]
"""
MIND = FileOptions(format="mind")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "behaviors.tsv").write_text(BEHAVIORS, encoding="utf-8")
    (tmp_path / "news.tsv").write_text(NEWS, encoding="utf-8")
    return tmp_path / "behaviors.tsv", tmp_path / "news.tsv"


def _s(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=timezone.utc).timestamp())  # type: ignore[misc]


def test_clicks_and_histories(files: tuple[Path, Path], tmp_path: Path) -> None:
    report = import_files(*files, tmp_path / "out", MIND)
    found = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pylist()
    begin_s = _s(2019, 11, 9, 0, 0, 1)
    assert [(r["user_id"], r["item_id"], r["timestamp"], r["event"]) for r in found] == [
        ("U13740", "N3", begin_s - 2, "history"),
        ("U13740", "N1", begin_s - 1, "history"),
        ("U91836", "N2", begin_s - 1, "history"),
        ("U9", "N4", begin_s - 1, "history"),
        ("U13740", "N5", begin_s, "click"),
        ("U13740", "N2", _s(2019, 11, 11, 9, 5, 58), "click"),
        ("U91836", "N3", _s(2019, 11, 12, 18, 11, 30), "click"),
        ("U91836", "N5", _s(2019, 11, 12, 18, 11, 30), "click"),
    ]
    assert report["interactions_file"]["left_out"] == {
        "shown and not clicked": 4,
        "shown, and not said whether clicked": 2,
        "history that an earlier impression of the user has too": 2,
    }
    assert "got the seconds before" in report["notes"][0]


def test_news(files: tuple[Path, Path], tmp_path: Path) -> None:
    import_files(*files, tmp_path / "out", MIND)
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert items[1] == {
        "item_id": "N2",
        "text": '"Fly, Eagles" — a title with a "quote',
        "category": "sports",
        "blocked": False,
    }
    options = FileOptions(format="mind", text_template="{title}. {abstract} ({subcategory})")
    import_files(*files, tmp_path / "again", options)
    texts = pq.read_table(tmp_path / "again" / "items.parquet")["text"].to_pylist()
    assert texts[0] == "The Brands Queen Elizabeth Swears By. Shop the notebooks. (lifestyleroyals)"
    assert texts[1] == '"Fly, Eagles" — a title with a "quote (football_nfl)'


def test_it_splits_with_the_histories_in_train(files: tuple[Path, Path], tmp_path: Path) -> None:
    import_files(*files, tmp_path / "out", MIND)
    parts = split(load_dataset(tmp_path / "out"), SplitConfig(validation_start="2019-11-11"))
    assert parts.validation.user_ids.tolist() == ["U13740", "U91836"]
    names = parts.catalogue.item_ids
    assert list(names[parts.validation.histories[0]]) == ["N5", "N1", "N3"]


def test_bad_lines(files: tuple[Path, Path], tmp_path: Path) -> None:
    behaviors, news = files
    with behaviors.open("a") as stream:
        stream.write("6\tU1\tyesterday\tN1\tN2-1\n7\tU1\n8\tU1\t11/16/2019 1:00:00 PM\t\tN2-7 N1-1")
    with news.open("a") as stream:
        stream.write("N9\tnews\tnewsus\t \tno title\thttps://x\t[]\t[]\nN8\tnews\n")
    report = import_files(*files, tmp_path / "out", MIND)
    assert report["interactions_file"]["quarantined"] == {
        "bad timestamp": 1,
        "wrong number of fields": 1,
        "a shown news ends in neither -0 nor -1": 1,
    }
    assert report["items_file"]["quarantined"] == {"empty text": 1, "wrong number of fields": 1}


def test_a_log_without_a_click(tmp_path: Path, files: tuple[Path, Path]) -> None:
    files[0].write_text("1\tU1\t11/11/2019 9:05:58 AM\t\tN2-0 N4-0\n")
    with pytest.raises(DataError, match="shown and not clicked: 2"):
        import_files(*files, tmp_path / "out", MIND)
