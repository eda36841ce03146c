"""MovieLens in its three published forms: the same ratings give the same data folder."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError, UsageError
from dualtower_trainer.data import FileOptions, import_files

RATINGS = [
    ("196", "242", "3", "881250949"),
    ("186", "302", "5", "891717742"),
    ("196", "302", "4", "881251949"),
    ("22", "1", "1", "878887116"),
]
# id, title, genres of ml-latest
FILMS = [
    ("1", "Toy Story (1995)", "Animation|Children's|Comedy"),
    ("242", "Matrix, The (1999)", "Action|Sci-Fi|Thriller"),
    ("302", "Misérables, Les (1995)", "Drama"),
    ("400", "Untitled", ""),
]
GENRES = [
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
]  # fmt: skip


def _write(folder: Path, form: str) -> tuple[Path, Path]:
    folder.mkdir(exist_ok=True)
    if form == "ml-100k":
        ratings, films = folder / "u.data", folder / "u.item"
        ratings.write_text("".join("\t".join(row) + "\n" for row in RATINGS))
        lines = []
        for film, title, genres in FILMS:
            flags = ["1" if genre in genres.split("|") else "0" for genre in GENRES]
            flags[0] = "0" if genres else "1"
            lines.append("|".join([film, title, "01-Jan-1995", "", "http://us.imdb.com/M", *flags]))
        films.write_bytes("\n".join(lines).encode("latin-1"))
    elif form == "ml-1m":
        ratings, films = folder / "ratings.dat", folder / "movies.dat"
        ratings.write_text("".join("::".join(row) + "\n" for row in RATINGS))
        films.write_bytes("".join("::".join(row) + "\n" for row in FILMS).encode("latin-1"))
    else:
        ratings, films = folder / "ratings.csv.gz", folder / "movies.csv"
        rows = ["userId,movieId,rating,timestamp", *(",".join(row) for row in RATINGS)]
        ratings.write_bytes(gzip.compress("\r\n".join(rows).encode()))
        rows = ["movieId,title,genres"]
        rows += [f'{film},"{title}",{g or "(no genres listed)"}' for film, title, g in FILMS]
        films.write_text("\r\n".join(rows), encoding="utf-8")
    return ratings, films


@pytest.mark.parametrize("form", ["ml-100k", "ml-1m", "ml-latest"])
def test_every_form(form: str, tmp_path: Path) -> None:
    report = import_files(
        *_write(tmp_path / form, form), tmp_path / "out", FileOptions(format="movielens")
    )
    assert pq.read_table(tmp_path / "out" / "items.parquet").to_pylist() == [
        {"item_id": "1", "text": "Toy Story (1995). Animation, Children's, Comedy"}
        | {"category": "Animation", "blocked": False},
        {"item_id": "242", "text": "The Matrix (1999). Action, Sci-Fi, Thriller"}
        | {"category": "Action", "blocked": False},
        {"item_id": "302", "text": "Les Misérables (1995). Drama"}
        | {"category": "Drama", "blocked": False},
        {"item_id": "400", "text": "Untitled", "category": None, "blocked": False},
    ]
    found = pq.read_table(tmp_path / "out" / "interactions.parquet").to_pylist()
    assert sorted(
        (row["user_id"], row["item_id"], f"{row['rating']:g}", str(row["timestamp"]))
        for row in found
    ) == sorted(RATINGS)
    assert report["text_template"] == "{title}. {genres}"
    assert report["source"]["name"] == "movielens"
    assert report["items_file"]["without_interactions"] == 1


def test_a_least_rating_and_a_template(tmp_path: Path) -> None:
    options = FileOptions(format="movielens", min_rating=4, text_template="{year}: {title}")
    report = import_files(*_write(tmp_path / "a", "ml-1m"), tmp_path / "out", options)
    assert report["interactions"] == 2
    assert report["interactions_file"]["left_out"] == {"rating below 4": 2}
    texts = pq.read_table(tmp_path / "out" / "items.parquet")["text"].to_pylist()
    assert texts[:2] == ["1995: Toy Story (1995)", "1999: The Matrix (1999)"]
    assert texts[2:] == ["1995: Les Misérables (1995)", "Untitled"]  # no year, no colon


def test_bad_lines_are_named(tmp_path: Path) -> None:
    ratings, films = _write(tmp_path / "a", "ml-1m")
    with ratings.open("a") as stream:
        stream.write("1::2::3\nann::242::good::5\n::242::1::5\n7::242::5::soon\n7::999::5::9\n\n")
    options = FileOptions(format="movielens", max_bad_share=0.9)
    report = import_files(ratings, films, tmp_path / "out", options)
    assert report["interactions_file"]["quarantined"] == {
        "wrong number of fields": 1,
        "empty user id": 1,
        "bad timestamp": 1,
        "unknown item": 1,
    }
    assert report["interactions"] == 5  # "good" is a rating that nobody asked for
    options = FileOptions(format="movielens", max_bad_share=0.9, min_rating=1)
    again = import_files(ratings, films, tmp_path / "again", options)
    assert again["interactions_file"]["quarantined"]["bad rating"] == 1


def test_nothing_is_liked(tmp_path: Path) -> None:
    options = FileOptions(format="movielens", min_rating=6)
    with pytest.raises(DataError, match=r"is an interaction \(rating below 6: 4\)"):
        import_files(*_write(tmp_path / "a", "ml-1m"), tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_other_files_are_refused(tmp_path: Path) -> None:
    ratings, films = _write(tmp_path / "a", "ml-1m")
    (tmp_path / "x.txt").write_text("a")
    options = FileOptions(format="movielens")
    with pytest.raises(DataError, match=r"u\.data, ratings\.dat or ratings\.csv"):
        import_files(tmp_path / "x.txt", films, tmp_path / "out", options)
    with pytest.raises(DataError, match=r"u\.item, movies\.dat or movies\.csv"):
        import_files(ratings, tmp_path / "x.txt", tmp_path / "out", options)
    with pytest.raises(UsageError, match="give --items FILE too"):
        import_files(ratings, None, tmp_path / "out", options)
    for template in ("{plot}", "{title", "no field"):
        with pytest.raises(UsageError, match="--text-template"):
            import_files(
                ratings,
                films,
                tmp_path / "out",
                FileOptions(format="movielens", text_template=template),
            )
    with pytest.raises(UsageError, match="unknown format 'netflix'; known: generic, movielens"):
        import_files(ratings, films, tmp_path / "out", FileOptions(format="netflix"))


@pytest.mark.parametrize(
    ("title", "readable"),
    [
        ("Matrix, The (1999)", "The Matrix (1999)"),
        ("Misérables, Les", "Les Misérables"),
        ("Avventura, L' (1960)", "L'Avventura (1960)"),
        ("American in Paris, An (1951)", "An American in Paris (1951)"),
        (
            "City of Lost Children, The (Cité des enfants perdus, La) (1995)",
            "The City of Lost Children (La Cité des enfants perdus) (1995)",
        ),
        ("Good, The Bad, The Ugly, The (1966)", "The Good, The Bad, The Ugly (1966)"),
        ("New York, New York (1977)", "New York, New York (1977)"),
        ("I, The Jury", "I, The Jury"),
    ],
)
def test_articles_go_first(title: str, readable: str, tmp_path: Path) -> None:
    (tmp_path / "movies.dat").write_bytes(f"1::{title}::Drama\n".encode("latin-1"))
    (tmp_path / "ratings.dat").write_text("1::1::5::881250949\n")
    options = FileOptions(format="movielens", text_template="{title}")
    import_files(tmp_path / "ratings.dat", tmp_path / "movies.dat", tmp_path / "out", options)
    items = pq.read_table(tmp_path / "out" / "items.parquet")
    assert items["text"].to_pylist() == [readable]
