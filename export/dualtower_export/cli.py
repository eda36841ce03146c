"""`dualtower export` and `dualtower verify`. TensorFlow is imported only when it is needed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from dualtower.bundle import MODELS, Bundle
from dualtower.bundle_verify import Problem
from dualtower.bundle_verify import verify as verify_bytes
from dualtower.config import load_section
from dualtower_export.config import ExportConfig

__all__ = ["export", "verify"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", type=_PATH)
@click.option("--out", type=_PATH, required=True, metavar="BUNDLE", help="The folder to write.")
@click.option(
    "--config", "config_file", type=_PATH, metavar="FILE", help="A TOML file with [export]."
)
@click.option(
    "--set", "overrides", multiple=True, metavar="export.KEY=VALUE", help="Overrides a setting."
)
@click.option(
    "--version", "version", type=click.IntRange(1), metavar="N",
    help="Version of all three models on the server.  [default: export.version, 1]",
)  # fmt: skip
@click.option(
    "--data", type=_PATH, metavar="DATA",
    help="The data folder, if it is no longer where the training read it.",
)  # fmt: skip
@click.option(
    "--force-newer", is_flag=True,
    help="Export although TensorFlow is newer than export.target_serving.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
def export(
    run: Path,
    out: Path,
    config_file: Path | None,
    overrides: Sequence[str],
    version: int | None,
    data: Path | None,
    force_newer: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Write the gated, fingerprinted bundle of the trained RUN.

    The bundle holds SavedModels of both towers and of the recommender with warm-up files, TFLite
    files for phones, and the catalogue's vectors. Every part is compared with the trained towers
    first; if a gate says no, nothing is written but BUNDLE.rejected.json, and the exit code is 1.

    \b
    Settings (export.KEY): version, k_max, index, index_dtype, index_oversample, ivf_lists,
    ivf_probes, ivf_recall, variants, edge_tokens, edge_tokens_variants, train_steps,
    calibration_examples, edge_recommenders, edge_k, edge_most_items, batch_sizes, pad_batches,
    length_buckets, encoder_copies, encoder_shards, compute_dtype, half_error, half_cosine,
    target_serving, force_newer, version_policy, version_labels, batch_timeout_us, batch_threads,
    max_enqueued_batches, gate_users, gate_texts, parity_texts, parity_users, parity_error,
    parity_cosine, variant_cosine_mean, variant_cosine_min, variant_overlap_at_10,
    variant_recall_ratio, variant_ndcg_ratio, variant_latency_ratio, jobs, seed, data_licence,
    encoder_licence

    \b
    Example:
      dualtower export run --out bundle
      dualtower export run --out bundle-2 --version 2 --set export.k_max=200
    """
    config = load_section("export", ExportConfig, path=config_file, overrides=overrides)
    if version is not None:
        config = replace(config, version=version)
    if force_newer:
        config = replace(config, force_newer=True)
        overrides = [*overrides, "export.force_newer=true"]
    from dualtower_trainer.quiet_tensorflow import import_tensorflow

    import_tensorflow()
    from dualtower_export import pipeline
    from dualtower_export.plan import plan_export

    if dry_run:
        plan = plan_export(run, config)
        intent = {
            "there_already": pipeline.existing_bundle(out, plan) is not None,
            "out": str(out),
            "fingerprint": plan.fingerprint,
            "version": config.version,
            "models": list(MODELS),
            "variants": list(config.variants),
            "edge_recommenders": list(config.edge_recommenders),
            "k_max": plan.k_max,
            "room_bytes": plan.room_bytes,
            "written": False,
        }
        click.echo(json.dumps(intent, indent=2) if as_json else _intent_text(intent))
        return
    command = _command(run, out, config_file, overrides, version, data)
    bundle = pipeline.export_bundle(run, out, config, data=data, command=command)
    result = _result(bundle)
    click.echo(json.dumps(result, indent=2) if as_json else _result_text(result))


@click.command()
@click.argument("bundle", type=_PATH)
@click.option("--deep", is_flag=True, help="Also load every model and ask it.  [TensorFlow]")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
@click.pass_context
def verify(context: click.Context, bundle: Path, deep: bool, as_json: bool) -> None:
    """Check every byte of BUNDLE against its manifest.

    Exit code 0: all parts agree. 1: something does not, each finding on a line with the repair.
    2: it is no bundle.

    \b
    Example:
      dualtower verify bundle
      dualtower verify bundle --deep     # also asks each model for its fingerprint
    """
    opened = Bundle.open(bundle)
    problems = verify_bytes(bundle)
    if deep:
        from dualtower_trainer.quiet_tensorflow import import_tensorflow

        import_tensorflow()
        from dualtower_export.deep_verify import verify_deep

        problems += verify_deep(opened)
    repair = _repair(opened, bundle)
    if as_json:
        result = {
            "bundle": str(bundle),
            "fingerprint": opened.fingerprint,
            "version": opened.version,
            "files": len(opened.manifest["files"]),
            "deep": deep,
            "ok": not problems,
            "problems": [{"where": p.where, "what": p.what} for p in problems],
            "repair": repair if problems else None,
        }
        click.echo(json.dumps(result, indent=2))
    else:
        click.echo(_verify_text(opened, bundle, problems, repair, deep=deep))
    if problems:
        context.exit(1)


def _command(
    run: Path,
    out: Path,
    config_file: Path | None,
    overrides: Sequence[str],
    version: int | None,
    data: Path | None,
) -> str:
    """The command line that does the same again."""
    parts = ["dualtower", "export", str(run), "--out", str(out)]
    parts += ["--config", str(config_file)] if config_file else []
    for override in overrides:
        parts += ["--set", override]
    parts += ["--version", str(version)] if version is not None else []
    parts += ["--data", str(data)] if data else []
    return shlex.join(parts)


def _repair(bundle: Bundle, path: Path) -> str:
    command = bundle.manifest.get("command", f"dualtower export RUN --out {path}")
    return f"rm -r {shlex.quote(str(path))} && {command}"


def _result(bundle: Bundle) -> dict[str, Any]:
    manifest = bundle.manifest
    files = manifest["files"]
    return {
        "path": str(bundle.path),
        "fingerprint": bundle.fingerprint,
        "version": bundle.version,
        "files": len(files),
        "size_bytes": sum(fact["size_bytes"] for fact in files.values()),
        "gates": manifest["gates"],
        "variants": manifest["variants"],
        "recommenders": manifest.get("recommenders", []),
    }


def bundle_text(bundle: Bundle) -> str:
    """What a bundle holds, for a terminal."""
    return _result_text(_result(bundle))


def _result_text(result: Mapping[str, Any]) -> str:
    lines = [
        f"bundle       {result['path']}",
        f"fingerprint  {result['fingerprint']}",
        f"version      {result['version']}",
        f"files        {result['files']}, {result['size_bytes'] / 1e6:.1f} MB",
        f"gates        {len(result['gates'])} passed",
        "",
        f"{'TFLite':<26}{'MB':>8}{'gzip':>8}{'cosine':>9}{'least':>9}{'R@10':>8}{'float':>8}",
    ]
    for one in result["variants"]:
        lines.append(
            f"{one['tower']}.{one['variant']:<{25 - len(one['tower'])}}"
            f"{one['size_bytes'] / 1e6:>8.2f}{one['gzip_bytes'] / 1e6:>8.2f}"
            f"{one['cosine_mean']:>9.4f}{one['cosine_min']:>9.4f}"
            f"{_rounded(one['recall_at_10']):>8}{_rounded(one['recall_at_10_float']):>8}"
            f"  {one['verdict']}"
        )
    for one in result["recommenders"]:
        lines.append(
            f"{one['form']}.{one['variant']:<{25 - len(one['form'])}}"
            f"{one['size_bytes'] / 1e6:>8.2f}{one['gzip_bytes'] / 1e6:>8.2f}{'':>18}"
            f"{_rounded(one['recall_at_10']):>8}{_rounded(one['recall_at_10_float']):>8}"
            f"  {one['verdict']}"
        )
    return "\n".join([*lines, "", f"next: dualtower serve {shlex.quote(result['path'])}"])


def _intent_text(intent: Mapping[str, Any]) -> str:
    if intent["there_already"]:
        return f"{intent['out']} is already this bundle, {intent['fingerprint']}: nothing to do"
    return "\n".join(
        [
            f"would write  {intent['out']}, up to {intent['room_bytes'] / 1e6:.0f} MB",
            f"fingerprint  {intent['fingerprint']}",
            f"version      {intent['version']}",
            f"models       {', '.join(intent['models'])}; lists of {intent['k_max']}",
            f"TFLite       {', '.join(intent['variants'])}",
            f"recommender  {', '.join(intent['edge_recommenders']) or 'none'} for a phone",
        ]
    )


def _verify_text(
    opened: Bundle, path: Path, problems: Sequence[Problem], repair: str, *, deep: bool
) -> str:
    if problems:
        return "\n".join([*map(str, problems), f"{len(problems)} problems; repair: {repair}"])
    asked = ", and every model says so" if deep else ""
    return (
        f"{path} is whole: {len(opened.manifest['files'])} files, version {opened.version}, "
        f"fingerprint {opened.fingerprint}{asked}"
    )


def _rounded(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
