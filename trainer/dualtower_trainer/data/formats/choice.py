"""Formats by name, and how each is opened."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from dualtower.errors import UsageError
from dualtower_trainer.data.formats.amazon import AMAZON_FIELDS, open_amazon
from dualtower_trainer.data.formats.mind import MIND_FIELDS, open_mind
from dualtower_trainer.data.formats.movielens import MOVIELENS_FIELDS, open_movielens
from dualtower_trainer.data.formats.online_retail import open_online_retail
from dualtower_trainer.data.formats.opened import FormatOptions, Opened
from dualtower_trainer.data.records import open_source

__all__ = ["FORMATS", "open_format"]


@dataclass(frozen=True)
class _Format:
    """How a format is opened, its own template, and the fields that a template may name."""

    open: Callable[[Path, Path, FormatOptions], Opened]
    template: str
    fields: tuple[str, ...]
    one_file: bool = False


def _open_generic(interactions: Path, items: Path, options: FormatOptions) -> Opened:
    log, catalogue = (
        open_source(path, delimiter=options.delimiter, quotes=options.quotes)
        for path in (interactions, items)
    )
    return Opened(log, catalogue, timestamp_format=options.timestamp_format)


FORMATS = {
    "generic": _Format(_open_generic, "{text}", ("text",)),
    "movielens": _Format(open_movielens, "{title}. {genres}", MOVIELENS_FIELDS),
    "mind": _Format(open_mind, "{title}", MIND_FIELDS),
    "amazon": _Format(open_amazon, "{title}. {features}", AMAZON_FIELDS),
    "online-retail": _Format(open_online_retail, "{text}", ("text",), one_file=True),
}


def open_format(
    name: str, interactions: Path, items: Path | None, options: FormatOptions
) -> Opened:
    """Opens the files of a data set.

    Args:
        name: one of FORMATS.
        interactions: the file of interactions.
        items: the file of items; None where one file is both.
        options: how to read them.

    Raises:
        UsageError: no such format, a file is missing, or a template names a field it lacks.
        DataError: a file cannot be read or is not of this format.
    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
    chosen = FORMATS[name]
    if items is None and not chosen.one_file:
        raise UsageError(f"--format {name} reads two files; give --items FILE too")
    template = chosen.template if options.text_template is None else options.text_template
    if options.text_template is not None and chosen.fields == ("text",):
        raise UsageError(f"--text-template does not go with --format {name}: its text is whole")
    try:
        named = {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}
    except ValueError as error:
        raise UsageError(f"--text-template {template!r} is no template: {error}") from error
    if not named or not named <= {*chosen.fields}:
        raise UsageError(
            f"--text-template {template!r} must name fields of --format {name}: "
            + ", ".join(f"{{{field}}}" for field in chosen.fields)
        )
    return chosen.open(
        interactions, items or interactions, replace(options, text_template=template)
    )
