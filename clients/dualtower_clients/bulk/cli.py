"""`dualtower embed`: bulk embedding from the command line, without TensorFlow."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from dualtower import progress
from dualtower.command_options import with_options
from dualtower_clients.bulk.embedder import embed_file
from dualtower_clients.bulk.flow import Watcher
from dualtower_clients.bulk.options import ITEM_TOWER, USER_TOWER, BulkOptions
from dualtower_clients.bulk.report import BulkReport
from dualtower_clients.connection_options import address_option, settings_options
from dualtower_clients.expected_fingerprint import expect_fingerprint_option, whole_fingerprint
from dualtower_clients.settings import ChannelSettings

__all__ = ["embed"]

F = TypeVar("F", bound=Callable[..., Any])
_DEFAULTS = BulkOptions()


def _number(name: str, least: int, text: str) -> Callable[[F], F]:
    default = getattr(_DEFAULTS, name)
    return click.option(
        "--" + name.replace("_", "-"), default=default, show_default=True,
        type=click.IntRange(least), help=text,
    )  # fmt: skip


def _seconds(name: str, text: str) -> Callable[[F], F]:
    default = getattr(_DEFAULTS, name)
    return click.option(
        "--" + name.replace("_", "-"), default=default, show_default=True,
        type=click.FloatRange(0, min_open=True), help=text,
    )  # fmt: skip


_WHAT = with_options(
    click.option(
        "--model", default=_DEFAULTS.model, show_default=True,
        type=click.Choice([ITEM_TOWER, USER_TOWER]), help="Texts of items, or histories of users.",
    ),
    click.option("--id-column", default=_DEFAULTS.id_column, show_default=True, metavar="NAME",
                 help="Strings; the output has the same column."),
    click.option("--text-column", default=_DEFAULTS.text_column, show_default=True,
                 metavar="NAME", help="For items: strings."),
    click.option("--history-column", default=_DEFAULTS.history_column, show_default=True,
                 metavar="NAME", help="For users: lists of strings, in CSV as JSON."),
    click.option("--label", metavar="NAME", help="Ask the version with this label."),
    click.option("--version", type=click.IntRange(1), metavar="N", help="Ask this version."),
    expect_fingerprint_option,
    click.option(
        "--duplicates", default=_DEFAULTS.duplicates, show_default=True,
        type=click.Choice(["quarantine", "keep"]), help="What becomes of an id that comes again.",
    ),
    _number("max_text_bytes", 1, "A longer text is put aside."),
)  # fmt: skip
_HOW = with_options(
    _number("shard_rows", 1, "Rows of the input for each shard."),
    _number("batch_rows", 1, "Rows of a request, at most."),
    _number("max_in_flight", 1, "Requests at a time, at most."),
    _seconds("timeout_s", "Deadline of a request."),
    _seconds("patience_s", "How long a server that does not answer is asked again."),
)


@click.command(
    epilog="\b\nExample:\n  dualtower embed --address localhost:8500 --in items.parquet \\\n"
    "    --out vectors"
)
@address_option
@click.option("--in", "inputs", multiple=True, required=True, metavar="FILE",
              help="A .parquet, .jsonl or .csv file, the latter two also .gz, or a pattern in "
                   "quotes; may be given several times.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER",
              help="Where the shards go.")  # fmt: skip
@click.option("--restart", is_flag=True, help="Replace the run that FOLDER holds.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
@with_options(_WHAT, _HOW)
@settings_options
def embed(
    address: tuple[str, ...],
    inputs: tuple[str, ...],
    out: Path,
    restart: bool,
    as_json: bool,
    settings: ChannelSettings,
    expect_fingerprint: str | None,
    **options: Any,
) -> None:
    """Embed files of any size, by the servers at ADDRESS, into Parquet shards.

    Several servers have to serve the same bundle, which each of them is asked for; one that is lost
    on the way costs no row.

    Each part-*.parquet has the column of ids and `embedding`, fixed_size_list<float32>, in the
    order of the input; fingerprint, model, dim and version stand in its schema's metadata.

    A run that was stopped or killed goes on when the same command is run again. Rows without an id
    or a text, with another type, too long, no UTF-8, or with an id that came before are put aside
    in _part-*.quarantine.jsonl, with file, line and reason, and counted.
    """
    chosen = BulkOptions(**options)
    expected = whole_fingerprint(
        expect_fingerprint,
        address,
        timeout_s=chosen.timeout_s,
        settings=settings,
        label=chosen.label,
        version=chosen.version,
        wait_s=chosen.patience_s,
    )
    with _shown(chosen.model) as watcher:
        report = embed_file(
            inputs,
            out,
            address=address,
            options=dataclasses.replace(chosen, expect_fingerprint=expected),
            settings=settings,
            restart=restart,
            watcher=watcher,
        )
    click.echo(_as_json(report) if as_json else _as_text(report))


class _Bar(Watcher):
    """Shows a run as a bar, or as lines where there is no terminal."""

    def __init__(self, label: str, stack: ExitStack) -> None:
        self._label, self._stack = label, stack
        self._bar: progress.Bar | None = None

    def begins(self, total_rows: int | None, done_rows: int) -> None:
        self._bar = self._stack.enter_context(
            progress.bar(self._label, total_rows, done=done_rows, unit="rows")
        )

    def moves(self, rows: int, note: str) -> None:
        if self._bar is not None:
            self._bar.advance(rows, note=note)


@contextmanager
def _shown(label: str) -> Iterator[Watcher]:
    with ExitStack() as stack:
        yield _Bar(label, stack)


def _as_json(report: BulkReport) -> str:
    facts = {
        **dataclasses.asdict(report),
        "out": str(report.out),
        "elapsed_s": round(report.elapsed_s, 3),
        "rows_per_s": round(report.rows_per_s, 1),
    }
    return json.dumps(facts, ensure_ascii=False)


def _as_text(report: BulkReport) -> str:
    resumed = f", {report.resumed_rows:,} were complete" if report.resumed_rows else ""
    versions = ", ".join(map(str, report.versions)) or "none asked"
    lines = [
        f"{report.rows:,} vectors of {report.dim} in {_counted(report.shards, 'shard')}: "
        f"{report.out}",
        f"{report.elapsed_s:.1f} s, {report.rows_per_s:,.0f} rows/s{resumed}",
        f"{report.model} version {versions} of {report.fingerprint[:12]}",
    ]
    lines += [f"put aside: {count:,} × {reason}" for reason, count in report.quarantined.items()]
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
