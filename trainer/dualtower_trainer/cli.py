"""`dualtower train` and `dualtower evaluate`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dualtower.config import load_section
from dualtower.errors import UsageError
from dualtower.progress import say, step
from dualtower.tables import Table, show

if TYPE_CHECKING:
    from dualtower_trainer.run_config import RunConfig

__all__ = ["evaluate", "load_run_config", "train"]

_SHOWN = (
    ("Recall@20", "validation_recall_at_20"),
    ("NDCG@20", "validation_ndcg_at_20"),
    ("Recall@20 of unseen items", "validation_cold_recall_at_20"),
    ("NDCG@20 of unseen items", "validation_cold_ndcg_at_20"),
)
_PATH = click.Path(path_type=Path)
_CONFIG = click.option("--config", type=_PATH, metavar="FILE", help="TOML configuration.")
_SET = click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one setting."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")


@click.command()
@click.option("--data", type=_PATH, required=True, metavar="DATA", help="The data folder.")
@click.option("--out", type=_PATH, required=True, metavar="RUN", help="The folder to write.")
@_CONFIG
@_SET
@click.option("--overwrite", is_flag=True, help="Replace a training with other settings in RUN.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Show the configuration, the size of the model and what training would cost; write "
    "nothing.",
)
@click.option(
    "--tensorboard",
    type=_PATH,
    metavar="FOLDER",
    help="Curves for TensorBoard, in FOLDER/name of RUN; the same as [train] tensorboard.",
)
@_JSON
def train(
    data: Path,
    out: Path,
    config: Path | None,
    overrides: tuple[str, ...],
    overwrite: bool,
    dry_run: bool,
    tensorboard: Path | None,
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
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_trainer.devices import device_line
    from dualtower_trainer.heads.shown import head_rows
    from dualtower_trainer.train import train as train_towers

    if tensorboard is not None:
        overrides = (*overrides, f"train.tensorboard={json.dumps(str(tensorboard))}")
    run_config = load_run_config(config, overrides)
    say(f"  {device_line()}")
    if dry_run:
        from dualtower_trainer.training_plan import plan_as_toml, plan_training

        with step("plan"):
            plan = plan_training(data, run_config)
        if as_json:
            sections = {key: vars(section) for key, section in run_config.sections().items()}
            click.echo(json.dumps({"configuration": sections, "plan": plan}))
        else:
            click.echo(plan_as_toml(run_config, plan))
        return
    with step("train"):
        result = train_towers(data, out, run_config, overwrite=overwrite)
    if as_json:
        click.echo(json.dumps(result))
        return
    if result["reused"]:
        say(f"  {out} was trained with these data and settings already; reused")
    rows = [
        ("kept", result["kept"]),
        ("stopped", result["stopped"]),
        ("best step", str(result["best_step"])),
    ]
    for title, name in _SHOWN:
        before, after = result["start"][name], result["chosen"][name]
        if after is not None:
            rows.append((f"validation {title}", f"{after:.4f} (closed form {before:.4f})"))
    rows += [
        *head_rows(result),
        ("training time", f"{result['elapsed_s']:.1f} s"),
    ]
    show([Table(str(out), rows)])


@click.command()
@click.argument("runs", type=_PATH, nargs=-1, metavar="[RUN]...")
@click.option("--run", "more_runs", type=_PATH, multiple=True, metavar="RUN", help="The same.")
@click.option("--data", type=_PATH, metavar="DATA", help="The data folder, if it has moved.")
@click.option(
    "--interactions",
    type=_PATH,
    metavar="FILE",
    help="A later log (CSV, TSV or Parquet) to be predicted instead of RUN's own test segment.",
)
@click.option(
    "--candidates",
    type=_PATH,
    metavar="FILE",
    help="Item ids, one a line, among which is ranked; goes with --interactions.",
)
@click.option("--all-baselines", is_flag=True, help="Also those that take minutes to train.")
@_CONFIG
@_SET
@_JSON
def evaluate(
    runs: tuple[Path, ...],
    more_runs: tuple[Path, ...],
    data: Path | None,
    interactions: Path | None,
    candidates: Path | None,
    all_baselines: bool,
    config: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> None:
    """Rank a held-out future over the full catalogue, beside the baselines on the same future.

    It is RUN's own test segment, where it was trained with one (split.test_share), or a later
    log. A person's history is never a candidate. Standard errors are over users; behind each
    baseline stands how much better the towers are, by a paired bootstrap over users. With
    several RUNs of one recipe: the mean over them, and standard errors over them.

    \b
    Examples:
      dualtower evaluate run --json > evaluation.json
      dualtower evaluate run --interactions later.csv.gz --all-baselines
      dualtower evaluate --run run-0 --run run-1 --run run-2 --interactions later.csv.gz
    """  # fmt: skip
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_trainer.baselines import BASELINES
    from dualtower_trainer.evaluate_run import EvaluateConfig, Future, evaluate_runs
    from dualtower_trainer.evaluation_tables import evaluation_tables

    given = [*runs, *more_runs]
    if len(set(given)) != len(given) or not given:
        raise UsageError(
            "give each RUN once, at least one: dualtower evaluate RUN [RUN …]; got "
            f"{', '.join(map(str, given)) or 'none'}"
        )
    if candidates is not None and interactions is None:
        raise UsageError("--candidates goes with --interactions FILE; the test segment has its own")
    section = load_section("evaluate", EvaluateConfig, path=config, overrides=overrides)
    if all_baselines:
        section = dataclasses.replace(section, baselines=tuple(BASELINES))
    future = Future(interactions, candidates) if interactions else None
    with step("evaluate"):
        found = evaluate_runs(given, section, data, future)
    result = found["runs"][0] if len(given) == 1 else found
    if as_json:
        click.echo(json.dumps(result))
    elif len(given) == 1:
        if result["reused"]:
            say(f"  {given[0]}/evaluation.json belongs to this training already; reused")
        show(evaluation_tables(result))
    else:
        say(f"  means over {len(given)} runs, ± is the standard error over the runs")
        show(evaluation_tables({**found["seeds"], "notes": found["runs"][0]["notes"]}))


def load_run_config(path: Path | None, overrides: Sequence[str]) -> RunConfig:
    """The sections that a training reads."""
    from dualtower_trainer.run_config import RUN_SECTIONS, RunConfig

    return RunConfig(
        **{
            name: load_section(name, schema, path=path, overrides=overrides)
            for name, schema in RUN_SECTIONS.items()
        }
    )
