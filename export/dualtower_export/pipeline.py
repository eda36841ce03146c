"""A trained run becomes a bundle: built under a temporary name, gated as a whole, then renamed.

    plan ─► TFLite ─► verdicts ─► SavedModels ─► gates ─► index, edge, card ─► manifest ─► out

A gate that says no, a full disk or a kill leaves nothing at `out`; what the gates said of a refused
bundle lies beside it in `OUT.rejected.json`.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf

from dualtower.bundle import Bundle, write_manifest
from dualtower.bundle_verify import verify
from dualtower.errors import BundleError, GateFailed, UsageError
from dualtower.files import atomic_folder, remove_stale, write_text
from dualtower.progress import say, step
from dualtower_export.config import ExportConfig
from dualtower_export.edge_cards import Identity
from dualtower_export.edge_files import write_edge_files
from dualtower_export.edge_jobs import conversion_forks
from dualtower_export.edge_recommenders import convert_recommenders, keep_what_ships
from dualtower_export.edge_variants import convert_variants, measure_variants
from dualtower_export.gate import Gate, failures
from dualtower_export.gate_data import GateData, load_gate_data
from dualtower_export.gates import check_models
from dualtower_export.index_file import write_index
from dualtower_export.manifest import manifest_fields, published_config, read_results
from dualtower_export.model_card import model_card
from dualtower_export.models_writer import write_models
from dualtower_export.plan import Plan, check_room, plan_export
from dualtower_export.reference import Reference
from dualtower_export.server_config import write_server_configs
from dualtower_export.verdict import Measured, judge
from dualtower_export.warmup import Samples

__all__ = ["existing_bundle", "export_bundle", "rejected_path"]


def export_bundle(
    run: Path,
    out: Path,
    config: ExportConfig | None = None,
    *,
    data: Path | None = None,
    command: str = "",
) -> Bundle:
    """Writes the bundle of a trained run, or finds it there already.

    Args:
        run: what `dualtower train` wrote.
        out: the bundle's folder; it must not be there, or be this very bundle.
        config: section [export].
        data: the data folder, where it is no longer at the place that the run recorded.
        command: how to repeat this, for the manifest.

    Raises:
        GateFailed: a gate said no. Nothing is published; the reasons lie in `OUT.rejected.json`.
        UsageError, DataError: the run, the data or the target cannot be used.
        UnavailableError: no space is left, or a conversion failed.

    Example:
        bundle = export_bundle(Path("run"), Path("bundle"))
        bundle.fingerprint
    """
    config = config or ExportConfig()
    run, out = Path(run), Path(out)
    with step("read the run"):
        plan = plan_export(run, config)
    if (found := existing_bundle(out, plan)) is not None:
        say(f"  {out} is already the bundle of {run}: {found.fingerprint[:12]}…")
        return found
    if plan.k_max < config.k_max:
        say(f"  k_max {config.k_max} is cut to the {plan.k_max} items of the catalogue")
    compared_on = load_gate_data(plan.trained, config, data)
    remove_stale(out.parent)
    _refuse_second_export(out)
    check_room(plan.room_bytes, out)
    command = command or f"dualtower export {run} --out {out}"
    with _published(out) as folder:
        _build(
            plan, compared_on, folder, rejected=rejected_path(out),
            data_path=data or plan.trained.data_path, command=command,
        )  # fmt: skip
    rejected_path(out).unlink(missing_ok=True)
    return Bundle.open(out)


def rejected_path(out: Path) -> Path:
    """Where the gates' answers go when one says no."""
    return out.with_name(f"{out.name}.rejected.json")


def existing_bundle(out: Path, plan: Plan) -> Bundle | None:
    """The bundle at `out`, if it is whole and the very one that the plan would write.

    Raises:
        UsageError: something else is there.
    """
    if not out.exists():
        return None
    advice = f"remove it (rm -r {out}), or choose another folder with --out"
    try:
        bundle = Bundle.open(out)
    except BundleError as error:
        raise UsageError(f"{out} exists and is no bundle; {advice}") from error
    if bundle.fingerprint != plan.fingerprint:
        raise UsageError(
            f"{out} holds another bundle, {bundle.fingerprint[:12]}… version {bundle.version}, and "
            f"this run makes {plan.fingerprint[:12]}…; a bundle is never rewritten: {advice}"
        )
    wanted = published_config(plan)
    different = [key for key in wanted if bundle.manifest.get("config", {}).get(key) != wanted[key]]
    if different:
        raise UsageError(
            f"{out} holds this run exported with other settings ({', '.join(different)}); {advice}"
        )
    problems = verify(out)
    if problems:
        raise UsageError(f"{out} is this run's bundle but damaged ({problems[0]}); {advice}")
    return bundle


def _build(
    plan: Plan, data: GateData, folder: Path, *, rejected: Path, data_path: Path, command: str
) -> None:
    """Fills the temporary folder of a bundle.

    Raises:
        GateFailed: after `rejected` was written.
    """
    trained, tokenizer = plan.trained, plan.encoder.tokenizer
    serving, edge, index, scratch = (
        folder / name for name in ("serving", "edge", "index", ".scratch")
    )
    for place in (serving, edge, index, scratch):
        place.mkdir()
    reference = Reference(trained, plan.encoder, plan.index)
    samples = Samples(
        histories=data.histories,
        item_ids=trained.item_ids,
        texts=trained.texts,
        history_items=trained.config.history_items,
        tokenizer=tokenizer,
    )
    with conversion_forks(scratch) as forks:
        with step("TFLite variants"):  # first, while this process is small: the forks are not
            identity = Identity.of(trained, plan.encoder, plan.config, plan.fingerprint)
            files = convert_variants(
                trained, tokenizer, data, plan.config, identity,
                edge=edge, scratch=scratch, forks=forks,
            )  # fmt: skip
            measured = measure_variants(files, trained, reference, data)
        variants, gates = _decide(measured, plan.config, edge)
        _stop_if_refused(gates, variants, rejected)
        with step("recommender for a phone"):
            asked = convert_recommenders(
                trained, data, plan.config, identity, edge=edge, scratch=scratch, forks=forks
            )
            recommenders = keep_what_ships(asked, plan.config, edge)
    with step("SavedModels"):
        folders = write_models(plan, samples, serving)
        write_server_configs(serving, plan.config)
    with step("gates of the SavedModels"):
        gates += check_models(plan, reference, data, folders)
    _stop_if_refused(gates, variants, rejected)
    shutil.rmtree(scratch)
    with step("catalogue, card and manifest"):
        write_index(index / "catalogue.parquet", trained)
        write_edge_files(
            edge, trained, tokenizer, fingerprint=plan.fingerprint, version=plan.config.version
        )
        fields = manifest_fields(
            plan, read_results(trained.path), gates, variants, recommenders,
            compared_on=data, data_path=data_path, command=command,
        )  # fmt: skip
        card = model_card(plan.fingerprint, fields)
        (folder / "model_card.md").write_text(card, encoding="utf-8")
        write_manifest(folder, fields)


def _decide(
    measured: Sequence[Measured], config: ExportConfig, edge: Path
) -> tuple[list[dict[str, Any]], list[Gate]]:
    """Verdicts, with the files of refused variants removed. Only float32 can fail the export."""
    variants, gates = [], []
    for one in measured:
        reasons = judge(one, config)
        variants.append(one.as_json(reasons))
        if reasons:
            say(f"  {one.tower}.{one.variant} does not ship: {'; '.join(reasons)}")
            (edge.parent / one.file).unlink()
        if one.variant == "float32":
            detail = "; ".join(reasons) or f"smallest cosine of tastes {one.cosine_min:.7f}"
            gates.append(
                Gate(
                    f"edge/{one.tower}.float32",
                    not reasons,
                    one.cosine_min,
                    config.parity_cosine,
                    detail,
                )
            )
    return variants, gates


def _stop_if_refused(
    gates: Sequence[Gate], variants: Sequence[dict[str, Any]], rejected: Path
) -> None:
    reasons = failures(gates)
    if not reasons:
        return
    answers = {"gates": [gate.as_json() for gate in gates], "variants": list(variants)}
    write_text(rejected, json.dumps(answers, indent=2, ensure_ascii=False) + "\n")
    lines = "\n".join(f"  {reason}" for reason in reasons)
    raise GateFailed(
        f"{len(reasons)} of {len(gates)} gates said no, nothing was published:\n{lines}\n"
        f"all answers are in {rejected}; train again, or change a threshold with "
        "--set export.NAME=VALUE (`dualtower export --help` lists them)"
    )


def _refuse_second_export(out: Path) -> None:
    """Temporaries of dead processes are gone by now, so one that is left is being written."""
    if others := sorted(out.parent.glob(f"{out.name}.tmp-*")):
        raise UsageError(
            f"another export is writing {out} ({others[0].name}); wait for it, or choose another "
            "folder with --out"
        )


@contextmanager
def _published(out: Path) -> Iterator[Path]:
    """`atomic_folder`, with the errors of two more cases in words."""
    try:
        with atomic_folder(out) as folder:
            try:
                yield folder
            except tf.errors.OpError as error:  # TensorFlow writes files by itself
                if "No space left" not in str(error):
                    raise
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from error
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise UsageError(
            f"{out} was published by another export meanwhile; check it with `dualtower verify "
            f"{out}`"
        ) from error
