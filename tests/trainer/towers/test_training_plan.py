"""The dry run: sizes counted by hand, and nothing written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.cli import load_run_config, train
from dualtower_trainer.graph_flops import graph_flops
from dualtower_trainer.train import train as train_towers


@pytest.fixture
def dry_run(shop: Path, settings: tuple[str, ...], tmp_path: Path):
    def run(*more: str):
        sets = [part for setting in settings for part in ("--set", setting)]
        arguments = ["--data", str(shop), "--out", str(tmp_path / "run"), "--dry-run", *sets]
        result = CliRunner().invoke(train, [*arguments, *more])
        assert result.exit_code == 0, result.output
        assert list(tmp_path.iterdir()) == []
        return result

    return run


def test_the_plan_counts_what_a_training_makes(dry_run, trained_run: Path) -> None:
    plan = json.loads(dry_run("--json").stdout)["plan"]
    assert (plan["items"], plan["users"]) == (90, 150)
    from safetensors.numpy import load_file

    stored = load_file(trained_run / "model" / "towers.safetensors")
    own = stored.pop("catalogue/vectors")
    towers = sum(tensor.size for tensor in stored.values())
    temperature = 1
    assert plan["parameters"]["total"] == towers + own[:, :-1].size + temperature
    integers = sum(tensor.size for tensor in stored.values() if tensor.dtype == np.int32)
    idf_and_mean = stored["item_head/wide/idf"].size + stored["item_head/centre/mean"].size
    fixed = integers + idf_and_mean
    assert plan["parameters"]["trainable"] == plan["parameters"]["total"] - fixed
    assert plan["flops_per_step"] > 0
    assert 10**8 < plan["memory_bytes"] < 2**36
    times = list(plan["time_s"].values())
    assert times[-1] == pytest.approx(sum(times[:-1]))
    assert min(times) > 0


def test_the_configuration_can_be_read_back(dry_run) -> None:
    result = dry_run("--set", "train.seed=7")
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    assert tomllib.loads(result.stdout)["train"]["seed"] == 7
    assert "# parameters, trained" in result.stdout
    assert result.stderr.count("GPU") == 1


def test_products_of_a_graph_are_counted_forward_and_backward() -> None:
    weights = tf.Variable(tf.ones([5, 7]))

    @tf.function(autograph=False)
    def step(left: tf.Tensor, batch: tf.Tensor, sparse: tf.SparseTensor):
        with tf.GradientTape() as tape:
            out = tf.matmul(left, weights)  # [3, 5] x [5, 7]
            out = tf.matmul(out, out, transpose_b=True)  # [3, 7] x [7, 3]
            pooled = tf.matmul(batch, weights)  # [2, 4, 5] x [5, 7]
            mixed = tf.sparse.sparse_dense_matmul(sparse, weights)  # 2 entries, 7 columns
            total = sum(map(tf.reduce_sum, (out, pooled, mixed)))
        return total, tape.gradient(total, weights)

    sparse = tf.sparse.from_dense([[0.0, 1, 0, 0, 0], [2, 0, 0, 0, 0]])
    graph = step.get_concrete_function(tf.ones([3, 5]), tf.ones([2, 4, 5]), sparse).graph
    forward = 3 * 5 * 7 + 3 * 7 * 3 + 2 * 4 * 5 * 7 + 2 * 7
    backward = 3 * 5 * 7 + 2 * (3 * 3 * 7) + 2 * 4 * 5 * 7 + 2 * 7
    assert graph_flops(graph, sparse_entries=2) == 2 * (forward + backward)


def test_a_shape_that_is_not_known_is_named() -> None:
    spec = tf.TensorSpec([None, 3], tf.float32)
    graph = (
        tf.function(lambda x: tf.matmul(x, tf.ones([3, 2])), autograph=False)
        .get_concrete_function(spec)
        .graph
    )
    with pytest.raises(ValueError, match="is not known"):
        graph_flops(graph)


def test_json_of_a_training_is_all_that_stands_on_stdout(
    shop: Path, settings: tuple[str, ...], own_run: Path
) -> None:
    sets = [part for setting in settings for part in ("--set", setting)]
    arguments = ["--data", str(shop), "--out", str(own_run), *sets, "--json"]
    result = CliRunner().invoke(train, arguments)
    assert json.loads(result.stdout)["reused"]
    assert train_towers(shop, own_run, load_run_config(None, settings))["reused"]


def test_tuning_the_encoder_is_counted_where_it_is_on(dry_run) -> None:
    tuning = ("finetune.mode=bitfit", "finetune.steps=7", "finetune.batch_pairs=8")
    sets = [part for setting in tuning for part in ("--set", setting)]
    plan = json.loads(dry_run("--json", *sets).stdout)["plan"]
    biases = 16 + (4 * 16 + 16) + (32 + 16 + 16)  # of embeddings, attention and its norm, the rest
    assert plan["finetune"]["parameters_trainable"] == biases
    assert plan["finetune"]["flops_per_step"] > 0
    assert plan["time_s"]["tune the encoder"] == plan["finetune"]["total_s"] > 0
    assert plan["time_s"]["in all, at most"] > plan["time_s"]["tune the encoder"]
    said = dry_run(*sets).stdout
    assert f"{plan['finetune']['parameters_trainable']:,} of " in said
    assert "# tune the encoder" in said
