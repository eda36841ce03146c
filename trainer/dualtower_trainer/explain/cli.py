"""`dualtower explain`: the command."""

from __future__ import annotations

import json
from pathlib import Path

import click

from dualtower.config import load_section
from dualtower.progress import say, step
from dualtower.tables import show

__all__ = ["explain"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--run", type=_PATH, required=True, metavar="RUN", help="What was trained.")
@click.option("--user", required=True, metavar="USER", help="A user id of the data.")
@click.option(
    "--item", metavar="ITEM", help="An item id.  [default: the user's best recommendations]"
)
@click.option("-k", "--k", default=5, show_default=True, help="How many recommendations.")
@click.option("--data", type=_PATH, metavar="DATA", help="The data folder, if it has moved.")
@click.option("--plot", type=_PATH, metavar="FILE", help="Also a picture: .png, .svg or .pdf.")
@click.option("--config", type=_PATH, metavar="FILE", help="A TOML file with [explain].")
@click.option(
    "--set", "overrides", multiple=True, metavar="explain.KEY=VALUE", help="Overrides a setting."
)
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def explain(
    run: Path,
    user: str,
    item: str | None,
    k: int,
    data: Path | None,
    plot: Path | None,
    config: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say which items of a user's history, and which words, drove a recommendation.

    Shapley values: they sum to the score less what it is without any history (or any word). Up to
    explain.exact_items items and explain.exact_words words they are exact; above, they are the mean
    over random orders, with standard errors.

    \b
    Settings (explain.KEY): exact_items, exact_words, item_blocks, word_blocks, word_items, seed

    \b
    Example:
      dualtower explain --run run --user 17850 --k 3 --plot why.png
    """
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_trainer.checkpoint import load_trained
    from dualtower_trainer.explain.attribution_plot import check_plot, write_plot
    from dualtower_trainer.explain.attribution_tables import explanation_tables
    from dualtower_trainer.explain.explanation import ExplainConfig
    from dualtower_trainer.explain.explanation import explain as explain_items

    section = load_section("explain", ExplainConfig, path=config, overrides=overrides)
    if plot:
        check_plot(plot)
    with step("explain"):
        trained = load_trained(run)
        result = explain_items(
            trained, data or trained.data_path, user, item_id=item, k=k, config=section
        )
        if plot:
            write_plot(plot, result)
            say(f"  wrote {plot}")
    if as_json:
        click.echo(json.dumps(result.as_dict(), ensure_ascii=False))
        return
    show(explanation_tables(result))
