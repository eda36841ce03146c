"""`dualtower train` and `dualtower evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dualtower.config import load_section
from dualtower.progress import say, step
from dualtower.tables import Table, show

__all__ = ["evaluate", "evaluation_tables", "load_run_config", "train"]

_PATH = click.Path(path_type=Path)
_CONFIG = click.option("--config", type=_PATH, metavar="FILE", help="TOML configuration.")
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one setting."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")

_COLUMNS = (
    ("Recall@10", "recall_at_10"),
    ("Recall@20", "recall_at_20"),
    ("NDCG@10", "ndcg_at_10"),
    ("NDCG@20", "ndcg_at_20"),
    ("MRR", "mrr"),
)
_SCOPES = {
    "warm": "Warm: the next known items",
    "cold": "Cold: items nobody has taken yet, among themselves",
    "cold_in_full": "Cold in full: the same items among the whole catalogue",
}


@click.command()
@click.option("--data", type=_PATH, required=True, metavar="DATA", help="The data folder.")
@click.option("--out", type=_PATH, required=True, metavar="RUN", help="The folder to write.")
@_CONFIG
@_SET
@click.option("--overwrite", is_flag=True, help="Replace a training with other settings in RUN.")
@click.option("--dry-run", is_flag=True, help="Show the resolved configuration and stop.")
@_JSON
def train(
    data: Path,
    out: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train the two towers on DATA; write RUN.

    Items are read by a pretrained BERT, once; what is trained is the projection, the id
    residuals and the user tower, by sampled softmax with logQ correction. Run the same
    command again to resume after Ctrl-C or a crash, or to reuse a finished training.

    \b
    Example:
      dualtower train --data data --out run --set train.steps=1000
    """
    from dualtower.config import to_toml
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_trainer.train import train as train_towers

    run_config = load_run_config(config, overrides)
    if dry_run:
        click.echo(to_toml(run_config.sections()))
        return
    with step("train"):
        result = train_towers(data, out, run_config, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(result))
        return
    if result["reused"]:
        say(f"  {out} was trained with these data and settings already; reused")
    best = max(result["history"], key=lambda look: look["validation_recall_at_20"])
    rows = [
        ("stopped", result["stopped"]),
        ("best step", str(result["best_step"])),
        ("validation Recall@20", f"{best['validation_recall_at_20']:.4f}"),
        ("validation NDCG@20", f"{best['validation_ndcg_at_20']:.4f}"),
        ("temperature", f"{best['temperature']:.4f}"),
        ("training time", f"{result['wall_s']:.1f} s"),
    ]
    show([Table(str(out), rows)])


@click.command()
@click.argument("run", type=_PATH)
@click.option("--data", type=_PATH, metavar="DATA", help="The data folder, if it has moved.")
@_CONFIG
@_SET
@_JSON
def evaluate(
    run: Path, data: Path | None, config: Path | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Rank RUN's held-out future over the full catalogue, beside popularity, TF-IDF, ItemKNN
    and EASE on the same split. A person's history is never a candidate. Standard errors are over
    users; the last column is the paired gain of the towers in Recall@20.

    \b
    Example:
      dualtower evaluate run --json > evaluation.json
    """
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_trainer.evaluate_run import EvaluateConfig, evaluate_run

    section = load_section("evaluate", EvaluateConfig, path=config, overrides=overrides)
    with step("evaluate"):
        result = evaluate_run(run, section, data)
    if as_json:
        click.echo(json.dumps(result))
        return
    if result["reused"]:
        say(f"  {run}/evaluation.json belongs to this training already; reused")
    show(evaluation_tables(result))


def load_run_config(path: Path | None, overrides: Sequence[str]) -> Any:
    """The sections that a training reads, as a RunConfig."""
    from dualtower_trainer.data import SplitConfig
    from dualtower_trainer.encoder import EncoderConfig
    from dualtower_trainer.towers import TowerConfig
    from dualtower_trainer.train import RunConfig
    from dualtower_trainer.train_config import TrainConfig

    return RunConfig(
        split=load_section("split", SplitConfig, path=path, overrides=overrides),
        encoder=load_section("encoder", EncoderConfig, path=path, overrides=overrides),
        model=load_section("model", TowerConfig, path=path, overrides=overrides),
        train=load_section("train", TrainConfig, path=path, overrides=overrides),
    )


def evaluation_tables(result: Mapping[str, Any]) -> list[Table]:
    """evaluation.json as tables, one per question."""
    tables = []
    for scope, title in _SCOPES.items():
        part = result[scope]
        header = ["", *(name for name, _ in _COLUMNS), "coverage"]
        header += ["head", "tail"] if scope == "warm" else ["cold share"]
        header.append("gain of dualtower")
        rows = [_method_row(scope, row) for row in part["methods"]]
        if "random" in part:
            chance = _shown(part["random"]["recall_at_20"])
            rows.append(["random", "", chance, *[""] * (len(header) - 3)])
        title = f"{title} ({part['users']:,} users, {part['candidates']:,} candidates)"
        tables.append(Table(title, rows, header))
    return tables


def _method_row(scope: str, row: Mapping[str, Any]) -> list[str]:
    cells = [row["method"], *(_shown(row[key]) for _, key in _COLUMNS)]
    cells.append(f"{row['coverage_at_20']:.1%}")
    if scope == "warm":
        cells += [_shown(row["recall_at_20_head"]), _shown(row["recall_at_20_tail"])]
    else:
        cells.append(f"{row['cold_share_of_lists']:.1%}")
    gain = row.get("reference_minus_this_recall_at_20")
    cells.append(f"{gain['value']:+.4f} ±{gain['se']:.4f}".replace("0.", ".") if gain else "")
    return cells


def _shown(estimate: Mapping[str, float]) -> str:
    return f"{estimate['value']:.4f} ±{estimate['se']:.4f}".replace("0.", ".")
