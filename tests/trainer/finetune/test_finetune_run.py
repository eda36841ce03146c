"""The whole of it: a new folder, exact resume after SIGKILL, and wrong use."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from resume_child import tune

from dualtower.errors import DataError, UsageError
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune import finetune


def test_a_pair_comes_closer_in_the_new_folder(
    encoder, settings, texts, pairs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = dataclasses.replace(settings, steps=40, learning_rate=3e-3, ema_decay=0.9)
    out = finetune(encoder, texts, pairs, settings, tmp_path / "tuned")
    tuned = Encoder.load(out, max_tokens=16)
    kind = np.arange(len(texts)) // 12

    def lead(candidate: Encoder) -> float:
        """Mean cosine inside a kind above that between kinds."""
        vectors = candidate.encode(texts)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors @ vectors.T
        same = kind[:, None] == kind
        inside = same & ~np.eye(len(texts), dtype=bool)
        return cosines[inside].mean() - cosines[~same].mean()

    assert lead(tuned) > lead(encoder) + 0.2
    assert tuned.config == encoder.config
    assert tuned.tokenizer.vocab == encoder.tokenizer.vocab
    report = json.loads((out / "tuning.json").read_text())
    assert len(report["losses"]) == 40
    assert report["from_encoder_sha256"] == encoder.sha256
    assert report["tokens"]["bucketed"] <= report["tokens"]["plain"]
    assert [path.name for path in tmp_path.iterdir()] == ["tuned"]
    said = capsys.readouterr().err
    assert "no GPU: training on CPU" in said
    assert "of the tokens saved" in said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "more"])
def test_killed_at_any_step_it_ends_the_same(
    forks: BaseContext, encoder, kind: str, tmp_path: Path
) -> None:
    source = encoder.save(tmp_path / "source")

    def child(out: str, kill_at: int) -> int:
        process = forks.Process(target=tune, args=(source, tmp_path / out, kill_at, kind))
        process.start()
        process.join()
        return process.exitcode

    assert child("whole", 0) == 0
    for kill_at in (1, 5):  # before the first state, and between two
        assert child("killed", kill_at) == -signal.SIGKILL
        assert not (tmp_path / "killed").exists()
    assert child("killed", 0) == 0
    whole, killed = (
        json.loads((tmp_path / name / "tuning.json").read_text()) for name in ("whole", "killed")
    )
    assert whole["losses"] == killed["losses"]
    assert len(whole["losses"]) == 9
    one, other = (Encoder.load(tmp_path / name, 16).sha256 for name in ("whole", "killed"))
    assert one == other
    assert not (tmp_path / "killed.tuning").exists()


def test_a_state_of_other_settings_is_refused(
    encoder, settings, texts, pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = dataclasses.replace(settings, checkpoint_every=2)
    out = tmp_path / "tuned"
    from dualtower_trainer.finetune import batches

    whole = batches.PairBatches.batches

    def stops(self, *, seed: int, step: int, count: int):
        if step == 3:
            raise KeyboardInterrupt
        return whole(self, seed=seed, step=step, count=count)

    with monkeypatch.context() as patch:
        patch.setattr(batches.PairBatches, "batches", stops)
        with pytest.raises(KeyboardInterrupt):
            finetune(encoder, texts, pairs, settings, out)
    other = dataclasses.replace(settings, learning_rate=1e-3, temperature=0.1)
    with pytest.raises(UsageError, match=r"with another learning_rate, temperature; remove"):
        finetune(encoder, texts, pairs, other, out)
    (out.with_name("tuned.tuning") / "state.safetensors").write_bytes(b"broken")
    with pytest.raises(DataError, match=r"cannot be used .* to start again"):
        finetune(encoder, texts, pairs, settings, out)


def test_frozen_and_a_folder_that_exists_are_wrong_use(
    encoder, settings, texts, pairs, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"finetune\.mode is frozen"):
        finetune(
            encoder, texts, pairs, dataclasses.replace(settings, mode="frozen"), tmp_path / "x"
        )
    with pytest.raises(UsageError, match="exists already"):
        finetune(encoder, texts, pairs, settings, tmp_path)
    devices = dataclasses.replace(settings, devices=("TPU:0",))
    with pytest.raises(UsageError, match=r"finetune\.devices names TPU:0"):
        finetune(encoder, texts, pairs, devices, tmp_path / "x")


def test_divergence_says_what_to_lower(encoder, settings, texts, pairs, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"diverged at step \d+.*learning_rate"):
        finetune(
            encoder, texts, pairs, dataclasses.replace(settings, learning_rate=1e30, steps=20),
            tmp_path / "x",
        )  # fmt: skip
