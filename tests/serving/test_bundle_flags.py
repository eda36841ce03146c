"""A bundle's own `server.flags`: what `serve` and `deploy` make of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError
from dualtower_serving import engines
from dualtower_serving.bundle_flags import FILE_NAME, OwnFlags, own_flags
from dualtower_serving.embedded.flags import parse

OFF = "--model_config_file=/models/models.config\n--tensorflow_intra_op_parallelism=2\n"
ON = f"{OFF}--enable_batching\n--batching_parameters_file=/models/batching.config\n"


def copied(source: Path, folder: Path, text: str) -> Bundle:
    for path in source.rglob("*"):
        if path.is_file():
            place = folder / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())
    (folder / "serving" / FILE_NAME).write_text(text)
    return Bundle.open(folder)


def planned(bundle: Bundle, **settings) -> engines.Plan:
    return engines.plan("embedded", bundle, port=8500, models_config=Path("/m"), **settings)


def test_the_bundles_threads_and_batching_count(mini_bundle: Path, tmp_path: Path) -> None:
    bundle = copied(mini_bundle, tmp_path / "b", OFF)
    assert own_flags(bundle) == OwnFlags(("--tensorflow_intra_op_parallelism=2",), batching=False)
    plan = planned(bundle)
    assert "--tensorflow_intra_op_parallelism=2" in plan.command
    assert "--tensorflow_intra_op_parallelism=1" not in plan.command
    assert "--model_config_file=/models/models.config" not in plan.command
    assert not plan.batching
    assert "--enable_batching" not in plan.command
    assert planned(bundle, batching=True).batching
    mine = planned(bundle, flags=["--tensorflow_intra_op_parallelism=3"])
    flags = [part for part in mine.command if part.startswith("--")]
    assert parse(flags).tensorflow_intra_op_parallelism == 3
    assert not any("intra_op" in part for part in planned(bundle, aim="latency").command)


def test_batching_is_on_where_the_file_says_so_or_is_not_there(
    mini_bundle: Path, tmp_path: Path
) -> None:
    assert planned(copied(mini_bundle, tmp_path / "b", ON)).batching
    assert own_flags(Bundle.open(mini_bundle)) is None
    assert planned(Bundle.open(mini_bundle)).batching
    assert not planned(copied(mini_bundle, tmp_path / "c", ON), batching=False).batching


def test_a_line_that_is_no_flag_is_refused(mini_bundle: Path, tmp_path: Path) -> None:
    bundle = copied(mini_bundle, tmp_path / "b", f"{ON}threads=3\n")
    with pytest.raises(BundleError, match="'threads=3', which is no flag"):
        planned(bundle)
