"""`dualtower encoder tune`: tune a BERT on what belongs together in your data."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dualtower.config import load_section
from dualtower.tables import Table, show

if TYPE_CHECKING:
    from dualtower_trainer.finetune.plan import Plan

__all__ = ["plan_table", "tune"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--data", type=_PATH, required=True, metavar="DATA", help="The data folder.")
@click.option("--encoder", "name", metavar="NAME", help="minilm, tiny, a BERT folder, hub:URL.")
@click.option("--out", type=_PATH, metavar="FOLDER", help="The new BERT folder to write.")
@click.option(
    "--distil-from",
    metavar="NAME",
    help="Learn this encoder's vectors of the item texts, instead of pairs.",
)
@click.option("--config", "path", type=_PATH, metavar="FILE", help="TOML configuration.")
@click.option(
    "--set", "overrides", multiple=True, metavar="SECTION.KEY=VALUE", help="Overrides one setting."
)
@click.option("--dry-run", is_flag=True, help="Show weights, operations, memory, time; and stop.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def tune(
    data: Path,
    name: str | None,
    out: Path | None,
    distil_from: str | None,
    path: Path | None,
    overrides: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
) -> None:
    """Tune a BERT on DATA and print the new folder, which `encoder.name` takes as any other.

    Pairs come from the training part of DATA ([split]): items that the same people took, or
    with finetune.pairs=histories a person's last items and the next one. Run the same command
    again to go on after Ctrl-C or a crash.

    \b
    Examples:
      dualtower encoder tune --data data --out tuned --set finetune.mode=lora
      dualtower encoder tune --data data --encoder tiny --distil-from minilm --out small \\
        --set finetune.mode=full --set finetune.learning_rate=1e-3
    """
    from dualtower_trainer.data import SplitConfig, load_dataset, split
    from dualtower_trainer.encoder import EncoderConfig
    from dualtower_trainer.finetune_config import FinetuneConfig
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    if out is None and not dry_run:
        raise click.UsageError("Missing option '--out' (or give --dry-run).")
    config = load_section("finetune", FinetuneConfig, path=path, overrides=overrides)
    section = load_section("encoder", EncoderConfig, path=path, overrides=overrides)
    cut = load_section("split", SplitConfig, path=path, overrides=overrides)
    import_tensorflow()
    from dualtower_trainer.encoder_source import resolve_encoder
    from dualtower_trainer.finetune import distil_into, finetune, make_plan
    from dualtower_trainer.finetune.plan import matmul_flops_per_s
    from dualtower_trainer.finetune.run import refuse_wrong_use
    from dualtower_trainer.finetune.text_pairs import text_pairs

    refuse_wrong_use(config, None if dry_run else out)
    dataset = load_dataset(data)
    texts = list(dataset.catalogue.texts)

    def encoder(name: str, beside: Path):
        return resolve_encoder(dataclasses.replace(section, name=name), texts, beside)

    if dry_run:
        with tempfile.TemporaryDirectory() as folder:  # a tiny encoder is made, and forgotten
            student = encoder(name or section.name, Path(folder))
        plan = make_plan(student.config, config, student.max_tokens, matmul_flops_per_s())
        _show_plan(plan, as_json)
        return
    assert out is not None
    beside = out.absolute().parent
    student = encoder(name or section.name, beside)
    if distil_from is not None:
        distil_into(student, encoder(distil_from, beside), texts, config, out)
    else:
        train = split(dataset, cut).train
        finetune(student, *text_pairs(train, texts, config), config, out)
    if as_json:
        report = json.loads((out / "tuning.json").read_text(encoding="utf-8"))
        click.echo(json.dumps({"folder": str(out), **report}))
    else:
        click.echo(out)


def plan_table(plan: Plan) -> Table:
    """The plan as a table."""
    share = plan.parameters_trainable / plan.parameters_total
    rows = [
        ("weights", f"{plan.parameters_total:,}"),
        ("trained", f"{plan.parameters_trainable:,} ({share:.2%})"),
        ("operations a step", f"{plan.flops_per_step / 1e9:,.1f} GFLOP"),
        ("memory, estimated", f"{plan.memory_bytes / 2**30:.2f} GiB"),
        ("a step, estimated", f"{plan.step_s:.2f} s"),
        ("all steps, estimated", f"{plan.total_s / 60:.1f} min"),
    ]
    return Table("finetune", rows)


def _show_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(plan)))
    else:
        show([plan_table(plan)])
