"""MovieLens ratings and films, in the three forms that GroupLens has published.

    ml-100k             u.data        user ⇥ item ⇥ rating ⇥ seconds
                        u.item        24 fields with | between: id, title, …, 19 flags of genres
    ml-1m, ml-10m       ratings.dat   user::item::rating::seconds
                        movies.dat    id::title::Comedy|Drama
    ml-latest, 20m–32m  ratings.csv   userId,movieId,rating,timestamp
                        movies.csv    movieId,title,genres

The older files are Latin-1. https://grouplens.org/datasets/movielens/ has a README with each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dualtower.errors import DataError
from dualtower_trainer.data.columns import Role, choose_columns
from dualtower_trainer.data.formats.opened import (
    Adapted,
    FormatOptions,
    Opened,
    delimited_rows,
    fill_template,
)
from dualtower_trainer.data.record import Record
from dualtower_trainer.data.records import name_suffix, open_source
from dualtower_trainer.data.text_lines import file_head

__all__ = ["MOVIELENS_FIELDS", "open_movielens"]

MOVIELENS_FIELDS = ("title", "genres", "year")
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary",
    "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi",
    "Thriller", "War", "Western",
)  # fmt: skip
_NO_GENRES = ("unknown", "(no genres listed)")
_YEAR = re.compile(r"\s*\((\d{4})[–-]?\)\s*$")
# "Lost Children, The" at the end of a name, which may stand in parentheses as another title
_ARTICLE = re.compile(
    r"(?P<rest>[^()]+), "
    r"(?P<article>The|A|An|Le|La|Les|L'|Un|Une|Il|Lo|I|Gli|El|Los|Las|Der|Die|Das)"
    r"(?=\s*(?:[()]|$))"
)


def open_movielens(interactions: Path, items: Path, options: FormatOptions) -> Opened:
    """Ratings as interactions, films as items; the category of a film is its first genre."""
    template = options.text_template or ""
    return Opened(
        Adapted(
            interactions,
            ("user_id", "item_id", "rating", "timestamp"),
            lambda: _ratings(interactions),
        ),
        Adapted(items, ("item_id", "text", "category"), lambda: _films(items, template)),
        text_template=template,
    )


def _ratings(path: Path) -> Iterator[Record]:
    file_head(path, "ratings")
    suffix = name_suffix(path)
    if suffix == ".csv":
        return _csv_rows(path, ("userId", "movieId", "rating", "timestamp"))
    if suffix == ".dat":
        return delimited_rows(path, "::", 4, latin=True)
    if suffix in (".data", ".base", ".test"):
        return delimited_rows(path, "\t", 4, latin=True)
    raise DataError(
        f"{path} is not called like ratings of MovieLens: u.data, ratings.dat or ratings.csv"
    )


def _films(path: Path, template: str) -> Iterator[Record]:
    file_head(path, "films")
    suffix = name_suffix(path)
    if suffix == ".csv":
        rows = _csv_rows(path, ("movieId", "title", "genres"))
    elif suffix == ".dat":
        rows = delimited_rows(path, "::", 3, latin=True)
    elif suffix == ".item":
        rows = map(_with_genres, delimited_rows(path, "|", 5 + len(_GENRES_100K), latin=True))
    else:
        raise DataError(
            f"{path} is not called like films of MovieLens: u.item, movies.dat or movies.csv"
        )
    for record in rows:
        if not record.problem:
            item_id, title, genres = record.fields
            record = record._replace(fields=_film(item_id, title, genres, template))
        yield record


def _film(item_id: str, title: str, genres: str, template: str) -> list[str]:
    names = [name for name in genres.split("|") if name and name not in _NO_GENRES]
    year = _YEAR.search(title)
    fields = {
        "title": _readable_title(title),
        "genres": ", ".join(names),
        "year": year[1] if year else "",
    }
    text = fill_template(template, fields) if title.strip() else ""
    return [item_id, text, names[0] if names else ""]


def _readable_title(title: str) -> str:
    """`The Matrix (1999)` of `Matrix, The (1999)`.

    >>> _readable_title("Matrix, The (1999)")
    'The Matrix (1999)'
    >>> _readable_title("City of Lost Children, The (Cité des enfants perdus, La) (1995)")
    'The City of Lost Children (La Cité des enfants perdus) (1995)'
    """
    return _ARTICLE.sub(_article_first, " ".join(title.split()))


def _article_first(matched: re.Match[str]) -> str:
    article, rest = matched["article"], matched["rest"]
    return f"{article}{rest}" if article.endswith("'") else f"{article} {rest}"


def _with_genres(record: Record) -> Record:
    """A line of u.item as id, title and the names of the genres whose flag is 1."""
    if record.problem:
        return record
    flags = zip(_GENRES_100K, record.fields[5:], strict=True)
    genres = "|".join(name for name, flag in flags if flag == "1")
    return record._replace(fields=[record.fields[0], record.fields[1], genres])


def _csv_rows(path: Path, names: tuple[str, ...]) -> Iterator[Record]:
    source = open_source(path)
    choose_columns(source, tuple(Role(name, (name,), required=True) for name in names), {}, "--map")
    return source.records(names)
