"""TOML and overrides into dataclasses, with errors that help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from dualtower.config import load_section, to_toml
from dualtower.errors import ConfigError, UsageError


@dataclass(frozen=True)
class Sample:
    steps: int = 3
    rate: float = 0.5
    name: str = "a"
    flag: bool = False
    sizes: tuple[int, ...] = (1, 2)
    limit: int | None = None
    ratios: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


def load(*overrides: str, text: str | None = None, folder: Path | None = None) -> Sample:
    path = None
    if text is not None:
        assert folder is not None
        path = folder / "c.toml"
        path.write_text(text, encoding="utf-8")
    return load_section("train", Sample, path=path, overrides=overrides)


def test_a_file_is_read_and_an_override_wins(tmp_path: Path) -> None:
    found = load(
        "train.rate=2", "train.sizes=[4]", "train.name=b c", "train.limit=7", "bench.seed=1",
        text="[train]\nsteps = 9\nrate = 1.5\n[model]\nanything = 1\n", folder=tmp_path,
    )  # fmt: skip
    assert found == Sample(steps=9, rate=2.0, sizes=(4,), name="b c", limit=7)


def test_what_is_written_reads_back_the_same(tmp_path: Path) -> None:
    sample = Sample(7, 1e-5, 'quote " ü', True, (), None, (0.1, 3.0))
    assert load(text=to_toml({"train": sample}), folder=tmp_path) == sample


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.stpes=1", "unknown key 'stpes' .*did you mean 'steps'"),
        ("tarin.steps=1", "unknown section 'tarin' .*did you mean 'train'"),
        ("train.zzz=1", "known: steps, rate"),
        ("steps=1", "section.key=value"),
        ("train.steps", "section.key=value"),
        ("train.steps=1.5", "must be int, got 1.5"),
        ("train.steps=true", "must be int, got True"),
        ("train.rate=fast", "must be float, got 'fast'"),
        ("train.flag=1", "must be bool, got 1"),
        ("train.sizes=[1, 'x']", "must be int, got 'x'"),
        ("train.steps=0", "steps must be at least 1, got 0"),
    ],
)
def test_a_wrong_override_says_what_came_and_what_is_allowed(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(override)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train\nsteps = 1", "is not valid TOML"),
        ("[training]\nsteps = 1", r"unknown section 'training' .*c\.toml; did you mean 'train'"),
        ("train = 3", "must be a table"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(text=text, folder=tmp_path)


def test_a_missing_or_binary_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the configuration"):
        load_section("train", Sample, path=tmp_path / "none.toml")
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_section("train", Sample, path=tmp_path / "b.toml")
