"""`dualtower bench graph`: every form is the same encoder, and who is compared with whom."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import dualtower_trainer  # noqa: F401  sets the environment of TensorFlow
from dualtower.cli import main
from dualtower.edge.tokenizer import Tokenizer
from dualtower.errors import UsageError
from dualtower_benchmarks.schema.layout import schema_of
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import expected_shapes
from dualtower_trainer.encoder import Encoder

SMALL = BertConfig(
    vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=32, max_position_embeddings=16,
)  # fmt: skip

# speaks the reference's side of the protocol: a call takes a second of the wall, half of the CPU
STAND_IN = """
import json, sys
job = json.loads(sys.stdin.readline())
def say(answer): print(json.dumps(answer), flush=True)
zeros = [[0.0] * (job["bert"]["heads"] * job["bert"]["head_size"])] * 12
say({"ready": f"stand-in, {job['threads']} threads", "file_bytes": 0, "check": zeros})
for line in sys.stdin:
    n = json.loads(line)["calls"]
    say({"wall_s": [1.0] * n, "cpu_s": [0.5] * n})
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    random = np.random.default_rng(2)
    tensors = {
        name: random.normal(float(name.endswith("LayerNorm.weight")), 0.3, shape)
        for name, shape in expected_shapes(SMALL).items()
    }
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "tea", *(f"w{n}" for n in range(55))]
    return Encoder(
        folder=tmp_path_factory.mktemp("encoder"),
        config=SMALL,
        tensors=tensors,
        tokenizer=Tokenizer.from_vocab(pieces, max_tokens=12),
    )


def test_every_form_is_the_trainers_encoder(encoder: Encoder) -> None:
    import tensorflow as tf

    from dualtower_benchmarks.graph.forms import FORMS, build_form

    random = np.random.default_rng(4)
    for rows, columns in ((1, 6), (13, 12), (0, 3)):
        ids = random.integers(0, 60, (rows, columns)).astype(np.int32)
        mask = (np.arange(columns) < random.integers(0, columns + 1, (rows, 1))).astype(np.int32)
        wanted = encoder.model([ids, mask]).numpy()
        for form in FORMS:
            encode, variables = build_form(form, encoder.config, encoder.tensors)
            found = encode(tf.constant(ids), tf.constant(mask)).numpy()
            np.testing.assert_allclose(found, wanted, atol=5e-6, err_msg=form.name)
            assert bool(variables) != form.constants


def test_each_form_adds_one_trick() -> None:
    from dualtower_benchmarks.graph.forms import FORMS, SERVED

    names = [form.name for form in FORMS]
    assert len(set(names)) == len(names)
    assert SERVED in FORMS
    tricks = [(form.onednn, form.constants, form.flat, form.joined, form.served) for form in FORMS]
    for before, after in itertools.pairwise(tricks):
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@pytest.mark.slow
def test_engines_take_turns_and_are_compared(encoder: Encoder, tmp_path: Path) -> None:
    from dualtower_benchmarks.graph.forms import FORMS, SERVED
    from dualtower_benchmarks.graph.speed import REFERENCE, GraphSpeed, measure_graphs
    from dualtower_benchmarks.graph.table import graph_tables

    program = tmp_path / "stand_in.py"
    program.write_text(STAND_IN)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{program}"\n')
    python.chmod(0o755)
    speed = GraphSpeed(
        batches=(1, 9), tokens=12, threads=(1,), rounds=6, calls=2,
        forms=(FORMS[0], SERVED), reference_python=str(python),
    )  # fmt: skip
    document = measure_graphs(speed, encoder, ["tea", "w1 w2 w3 w4 w5 w6"])
    plain = json.loads(json.dumps(document))
    jsonschema.Draft202012Validator(schema_of("graph")).validate(plain)
    assert document["engines"][REFERENCE] == "stand-in, 1 threads"
    assert [(row["name"], row["batch"]) for row in document["forms"]] == [
        (form.name, batch) for form in (FORMS[0], SERVED) for batch in (1, 9)
    ]
    for row in document["forms"]:
        assert row["error"] < 1e-5
        assert row["file_bytes"] > 10_000
        assert row["ratio"]["low"] <= row["ratio"]["value"] <= row["ratio"]["high"]
        # a call of the stand-in takes 1 s of the wall and half of one of the CPU
        assert row["ratio"]["low"] <= row["wall_ms"] / 1e3 <= row["ratio"]["high"]
        assert row["cpu_ratio"]["low"] <= row["cpu_ms"] / 500 <= row["cpu_ratio"]["high"]
    reference = document["reference"][0]
    assert (reference["wall_ms"], reference["cpu_ms"]) == (1000.0, 500.0)
    fixed, longest, real = document["padding"]
    assert fixed["tokens"] == 32 * 12
    assert longest["tokens"] == 32 * 8  # the longer text has 8 pieces, which is a bucket
    assert 32 * 3 < real["tokens"] < 32 * 8
    assert fixed["ratio"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    one, nine, padding = graph_tables(document)
    assert [row[0] for row in one.rows] == [FORMS[0].name, SERVED.name, REFERENCE]
    assert "batch 9, 12 tokens, threads 1" in nine.title
    assert padding.rows[1][1] == "256 (× 0.67)"


def test_without_a_reference_there_is_no_ratio() -> None:
    from dualtower_benchmarks.graph.table import graph_tables

    row = {
        "name": "naive", "threads": 1, "batch": 1, "file_bytes": 2_000_000, "error": 1e-6,
        "wall_ms": 4.0, "cpu_ms": 2.0, "ratio": None, "cpu_ratio": None,
    }  # fmt: skip
    document = {
        "settings": {"threads": [1], "batches": [1], "tokens": 8},
        "machine": {"load_average_1_min_before": 0.5},
        "forms": [row, {**row, "name": "faster", "cpu_ms": 1.0}],
        "reference": [],
        "padding": [],
    }
    (table,) = graph_tables(document)
    assert table.rows == [
        ["naive", "4.00", "2.00", "", "", "", "1e-06", "2.00\u00a0MB"],
        ["faster", "4.00", "1.00", "", "", "× 0.50", "1e-06", "2.00\u00a0MB"],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 5}, "rounds must be at least 6, for an interval"),
        ({"batches": (32, 1)}, "batches must rise"),
        ({"threads": (0,)}, "threads must rise from 1"),
        ({"tokens": 2}, "tokens must lie in"),
        ({"calls": 0}, "calls must be at least 1"),
    ],
)
def test_settings_that_make_no_sense(options, message: str) -> None:
    from dualtower_benchmarks.graph.speed import GraphSpeed

    with pytest.raises(ValueError, match=message):
        GraphSpeed(**options)


def test_a_source_that_has_no_weights(tmp_path: Path, encoder: Encoder) -> None:
    from dualtower_benchmarks.graph.speed import read_source

    encoder.save(tmp_path / "bert")
    found, texts = read_source(tmp_path / "bert", 12)
    assert found.config == SMALL
    assert texts == []
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(UsageError, match="is a bundle"):
        read_source(tmp_path, 12)


def test_the_command_has_an_example_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["bench", "graph", "--help"])
    assert stop.value.code == 0
    assert "Example: dualtower bench graph run --reference-python" in capsys.readouterr().out
    for wrong in (["--batches", "x"], ["--rounds", "3"], []):
        with pytest.raises(SystemExit) as stop:
            main(["bench", "graph", "no-such-folder", *wrong])
        assert stop.value.code == 2
