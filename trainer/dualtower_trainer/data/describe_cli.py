"""`dualtower data describe`: what is in a data folder, and whether its split leaks."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dualtower.config import load_section
from dualtower.errors import GateFailed
from dualtower.files import write_text
from dualtower.progress import say
from dualtower.tables import show
from dualtower_trainer.data.activity_filter import FilterConfig
from dualtower_trainer.data.description import describe
from dualtower_trainer.data.load import load_dataset
from dualtower_trainer.data.report_tables import description_tables
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.data.text_lengths import cached_vocabulary

__all__ = ["describe_command"]

_PATH = click.Path(path_type=Path)


@click.command("describe")
@click.argument("folder", type=_PATH, metavar="DATA")
@click.option("--config", type=_PATH, metavar="FILE", help="TOML; its [split] and [filter] count.")
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="Override the configuration, such as split.test_days=14.",
)
@click.option(
    "--encoder",
    type=_PATH,
    metavar="FOLDER",
    help="Count the texts in this BERT's word pieces. [default: the fetched one, else words]",
)
@click.option("--out", type=_PATH, metavar="FILE", help="Write the report as JSON here too.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def describe_command(
    folder: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    encoder: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Show what is in a data folder, how it splits, and that nothing leaks.

    \b
    Example:
      dualtower data describe data
      dualtower data describe data --set split.test_days=14 --set split.cold_share=0.1 --json
      dualtower data describe data --set filter.clock_variation=0.1 --out data/data_report.json

    Exits with 1 when the split breaks one of its promises (a target before its history, a cold item
    in train, a train row from the future).
    """
    chosen = load_section("split", SplitConfig, path=config, overrides=overrides)
    activity = load_section("filter", FilterConfig, path=config, overrides=overrides)
    vocabulary = encoder or cached_vocabulary()
    facts = describe(load_dataset(folder), chosen, activity=activity, vocabulary=vocabulary)
    text = json.dumps(facts, indent=2, ensure_ascii=False)
    if out is not None:
        write_text(out, text + "\n")
        say(f"wrote {out}")
    if as_json:
        click.echo(text)
    else:
        show(description_tables(facts))
    checks = [check for check in facts["leakage"] or () if check["binding"]]
    broken = [check["promise"] for check in checks if not check["passed"]]
    if broken:
        raise GateFailed(f"the split of {folder} breaks its promises: {'; '.join(broken)}")
