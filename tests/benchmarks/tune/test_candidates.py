"""Every setting that is tried can be served, changes nothing for callers, and is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError
from dualtower_benchmarks.tune.candidates import OFF, PRESENT, candidates_of
from dualtower_serving.bundle_flags import OwnFlags
from dualtower_serving.embedded.batching_settings import BatchingSettings, read_file
from dualtower_serving.embedded.flags import parse

PLAIN = OwnFlags(("--tensorflow_intra_op_parallelism=1",), batching=True)
CONFIGS = {
    "nothing said": "pad_variable_length_inputs: true\n",
    "an export's": "max_batch_size { value: 64 }\nbatch_timeout_micros { value: 1000 }\n"
    "max_enqueued_batches { value: 64 }\npad_variable_length_inputs: true\n",
    "padded": "max_batch_size { value: 16 }\nallowed_batch_sizes: 4\nallowed_batch_sizes: 16\n"
    "num_batch_threads { value: 1 }\n",
}


def bundle_with(folder: Path, batching: str) -> Bundle:
    (folder / "serving").mkdir()
    (folder / "serving" / "batching.config").write_text(batching)
    return Bundle(folder, {})


def read(folder: Path, text: str) -> BatchingSettings:
    """Raises where the server would not start."""
    (folder / "one.config").write_text(text)
    return read_file(str(folder / "one.config"))


@pytest.mark.parametrize("batching", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("cores", [2, 16])
def test_they_can_be_served_and_requests_stay_as_large(
    batching: str, cores: int, tmp_path: Path
) -> None:
    bundle, present = bundle_with(tmp_path, batching), read(tmp_path, batching)
    found = candidates_of(bundle, PLAIN, cores=cores, slo_ms=50.0)
    assert [one.present for one in found] == [True, *[False] * (len(found) - 1)]
    assert len({one.name for one in found}) == len(found) > 6
    seen = {(str(present), ())}
    for one in found[1:]:
        parse(["--model_base_path=/m", *one.flags])
        settings = present if one.batching == PRESENT else None
        if one.batching not in (PRESENT, OFF):
            settings = read(tmp_path, one.batching)
            for name in ("max_batch_size", "allowed_batch_sizes", "pad_variable_length_inputs"):
                assert getattr(settings, name) == getattr(present, name)
            assert settings.batch_timeout_micros <= 5000  # a tenth of the SLO
            assert not (present.allowed_batch_sizes and settings.enable_large_batch_splitting)
        seen.add((str(settings), one.flags))
    assert len(seen) == len(found)  # no two are the same to a server


def test_what_the_bundle_has_already_is_not_tried(tmp_path: Path) -> None:
    own = OwnFlags(("--tensorflow_inter_op_parallelism=1",), batching=False)
    found = candidates_of(bundle_with(tmp_path, CONFIGS["an export's"]), own, cores=2, slo_ms=50.0)
    assert not any(one.batching == OFF for one in found)  # that is the present one
    assert all("inter_op" not in flag for one in found for flag in one.flags)
    on = [read(tmp_path, one.batching) for one in found if one.batching != PRESENT]
    assert any(settings.batch_timeout_micros == 1000 for settings in on)  # the file, turned on


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"batching\.config cannot be read"):
        candidates_of(bundle_with(tmp_path, "max_batch_size: 3"), PLAIN, cores=2, slo_ms=50.0)
