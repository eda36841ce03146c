"""MIND, the Microsoft news log: impressions with clicks, and the news that they show.

    behaviors.tsv   impression ⇥ user ⇥ 11/11/2019 9:05:58 AM ⇥ N1 N2 (history) ⇥ N3-1 N4-0 (shown)
    news.tsv        news ⇥ category ⇥ subcategory ⇥ title ⇥ abstract ⇥ url ⇥ entities ⇥ entities

A click is an interaction at the time of its impression. The history has no times of its own: its
items were clicked before the log begins, in this order, and get the seconds before its first
impression. What was shown and not clicked is counted. Wu et al., "MIND: a large-scale dataset for
news recommendation", ACL 2020.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from dualtower_trainer.data.formats.opened import (
    Adapted,
    FormatOptions,
    Opened,
    delimited_rows,
    fill_template,
)
from dualtower_trainer.data.record import Record
from dualtower_trainer.data.text_lines import file_head
from dualtower_trainer.data.timestamps import timestamp_parser

__all__ = ["MIND_FIELDS", "open_mind"]

MIND_FIELDS = ("title", "abstract", "category", "subcategory")
_TIME = "%m/%d/%Y %I:%M:%S %p"
NOT_CLICKED = "shown and not clicked"
NO_LABEL = "shown, and not said whether clicked"
SEEN_HISTORY = "history that an earlier impression of the user has too"


def open_mind(interactions: Path, items: Path, options: FormatOptions) -> Opened:
    """Clicks and histories as interactions, news as items."""
    for path in (interactions, items):
        file_head(path, "TSV")
    left_out: Counter[str] = Counter()
    template = options.text_template or ""
    parse = timestamp_parser(options.timestamp_format or _TIME)
    return Opened(
        Adapted(
            interactions,
            ("user_id", "item_id", "timestamp", "event"),
            lambda: _clicks(interactions, parse, left_out),
        ),
        Adapted(items, ("item_id", "text", "category"), lambda: _news(items, template)),
        text_template=template,
        left_out=left_out,
        notes=(
            "the clicks of the histories carry no times; they got the seconds before the first "
            "impression of the log, in their order",
        ),
    )


def _clicks(path: Path, parse: Callable[[str], int], left_out: Counter[str]) -> Iterator[Record]:
    left_out.clear()
    begin_s = _first_impression_s(path, parse)
    known: Counter[str] = Counter()  # items of each user's history that have been handed out
    for record in delimited_rows(path, "\t", 5, latin=False):
        line, fields, problem, raw = record
        if problem:
            yield record
            continue
        _, user_id, time, past, shown = fields
        try:
            seconds = parse(time.strip())
        except (ValueError, OverflowError):
            yield Record(line, [], "bad timestamp", raw)
            continue
        history = past.split()
        for place in range(known[user_id], len(history)):
            before_s = begin_s - (len(history) - place)
            yield Record(line, [user_id, history[place], str(before_s), "history"], "", raw)
        left_out[SEEN_HISTORY] += min(known[user_id], len(history))
        known[user_id] = max(known[user_id], len(history))
        for entry in shown.split():
            news_id, mark, clicked = entry.rpartition("-")
            if not mark:
                left_out[NO_LABEL] += 1
            elif clicked == "1":
                yield Record(line, [user_id, news_id, str(seconds), "click"], "", raw)
            elif clicked == "0":
                left_out[NOT_CLICKED] += 1
            else:
                yield Record(line, [], "a shown news ends in neither -0 nor -1", raw)


def _first_impression_s(path: Path, parse: Callable[[str], int]) -> int:
    """The earliest time of the log; 0 when it has none, and then no row is good either."""
    first_s = None
    for _, fields, problem, _ in delimited_rows(path, "\t", 5, latin=False):
        try:
            seconds = None if problem else parse(fields[2].strip())
        except (ValueError, OverflowError):
            continue  # the second reading names it
        if seconds is not None and (first_s is None or seconds < first_s):
            first_s = seconds
    return first_s or 0


def _news(path: Path, template: str) -> Iterator[Record]:
    for record in delimited_rows(path, "\t", 8, latin=False):
        if not record.problem:
            news_id, category, subcategory, title, abstract = record.fields[:5]
            fields = {
                "title": title,
                "abstract": abstract,
                "category": category,
                "subcategory": subcategory,
            }
            text = fill_template(template, fields)
            record = record._replace(fields=[news_id, text, category])
        yield record
