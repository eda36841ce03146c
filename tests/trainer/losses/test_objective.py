"""Every kind through its common signature: gradients, compilation, weights, cuts, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dualtower_trainer.losses import LossConfig, make_loss

KINDS = (
    {"kind": "sampled_softmax"},
    {"kind": "info_nce"},
    {"kind": "info_nce", "symmetric": True},
    {"kind": "info_nce", "corrected": True},
    {"kind": "pairwise"},
    {"kind": "bce"},
    {"kind": "triplet", "mining": "all", "margin": 0.9},
    {"kind": "triplet", "mining": "hard", "margin": 0.9},
    {"kind": "triplet", "margin": 0.9},
    {"kind": "direct_au", "uniformity_weight": 0.7},
)
EXACT = [kind for kind in KINDS if not kind.get("corrected")]  # its factor has no gradient
# where users are compared with each other, a repeated one is its own neighbour
BY_ROW = [kind for kind in KINDS if kind["kind"] != "direct_au" and not kind.get("symmetric")]


@pytest.mark.parametrize("kind", EXACT, ids=str)
def test_gradients_equal_finite_differences(kind, example, numeric_gradient) -> None:
    loss, arguments = make_loss(LossConfig(**kind)), example.arguments()
    names = ("users", "positives", "candidates")
    variables = {name: tf.Variable(arguments[name]) for name in names}
    with tf.GradientTape() as tape:
        value = loss(**{**arguments, **variables})
    exact = tape.gradient(value, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    for name in names:
        numeric = numeric_gradient(lambda at, n=name: loss(**{**arguments, n: at}), arguments[name])
        np.testing.assert_allclose(exact[name].numpy(), numeric, rtol=1e-4, atol=2e-7)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_runs_in_float32_under_xla_with_the_same_value(kind, example) -> None:
    config = LossConfig(**kind, matryoshka_dims=(4, 8))
    arguments = {
        name: tf.constant(value, tf.bool if name == "accidental" else tf.float32)
        for name, value in example.arguments().items()
    }
    loss = make_loss(config)
    compiled = tf.function(loss, jit_compile=True, autograph=False)(**arguments)
    assert float(compiled) == pytest.approx(float(loss(**example.arguments())), rel=2e-5, abs=1e-5)


@pytest.mark.parametrize("kind", BY_ROW, ids=str)
def test_a_whole_weight_is_a_repeated_row(kind, example) -> None:
    """The loss with weight 2 on one user's targets is that of the batch that has the user twice."""
    loss, once = make_loss(LossConfig(**kind)), example.arguments()
    weighted = {**once, "weights": np.ones_like(once["weights"])}
    weighted["weights"][0] = 2
    again = [0, 0, 1, 2, 3]
    repeated = {**once, "weights": np.ones((5, 3))}
    for name in ("users", "positives", "positive_mask", "accidental"):
        repeated[name] = once[name][again]
    if kind["kind"] == "info_nce":  # candidates begin with the positives, row by row
        width = once["weights"].shape[1]
        order = np.concatenate([np.arange(width), np.arange(len(once["candidates"]))])
        repeated["candidates"] = once["candidates"][order]
        repeated["log_expected_count"] = once["log_expected_count"][order]
        repeated["accidental"] = repeated["accidental"][:, order]
        repeated["accidental"][:, :width] = True
    assert float(loss(**weighted)) == pytest.approx(float(loss(**repeated)), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_padded_targets_and_the_scale_of_the_weights_do_not_matter(kind, example) -> None:
    loss, arguments = make_loss(LossConfig(**kind)), example.arguments()
    before = float(loss(**arguments))
    moved = {**arguments, "positives": arguments["positives"].copy()}
    moved["positives"][arguments["positive_mask"] == 0] *= -1
    assert float(loss(**moved)) == pytest.approx(before, rel=1e-9)
    scaled = {**arguments, "weights": arguments["weights"] * 7}
    assert float(loss(**scaled)) == pytest.approx(before, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_training_on_it_ranks_the_positives_first(kind) -> None:
    """Ten users with one item each: free vectors learn the pairs under any of the losses."""
    random = np.random.default_rng(0)
    loss = make_loss(LossConfig(**kind))
    users = tf.Variable(random.normal(size=(10, 8)))
    items = tf.Variable(random.normal(size=(10, 8)))
    constants = {
        "positive_mask": tf.ones([10, 1], tf.float64),
        "log_expected_count": tf.zeros([10], tf.float64),
        "accidental": tf.eye(10, dtype=tf.bool),
        "temperature": tf.constant(0.2, tf.float64),
    }
    optimizer = tf.keras.optimizers.Adam(0.05)

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            left, right = tf.math.l2_normalize(users, 1), tf.math.l2_normalize(items, 1)
            value = loss(users=left, positives=right[:, None], candidates=right, **constants)
        optimizer.apply_gradients(
            zip(tape.gradient(value, [users, items]), [users, items], strict=True)
        )

    for _ in range(150):
        step()
    scores = tf.math.l2_normalize(users, 1) @ tf.transpose(tf.math.l2_normalize(items, 1))
    assert (np.argmax(scores.numpy(), 1) == np.arange(10)).mean() >= 0.9


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "softmax"}, "kind must be one of"),
        ({"kind": "bce", "symmetric": True}, "belong to info_nce"),
        ({"mining": "none"}, "mining must be"),
        ({"margin": 0.0}, "margin must be"),
        ({"uniformity_weight": -1.0}, "uniformity_weight"),
        ({"matryoshka_dims": (0,)}, "matryoshka_dims"),
        ({"matryoshka_dims": (8,), "matryoshka_weights": (1.0, 2.0)}, "matryoshka_weights"),
        ({"temperature": 1.5}, "temperature_min"),
        ({"ipw_power": 2.0}, "ipw_power"),
        ({"ipw_clip": 0.5}, "ipw_clip"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(options, words) -> None:
    with pytest.raises(ValueError, match=words):
        LossConfig(**options)


def test_section_loss_is_read_from_a_configuration(tmp_path) -> None:
    from dualtower.config import load_section, to_toml

    config = LossConfig(kind="info_nce", corrected=True, matryoshka_dims=(32, 64))
    file = tmp_path / "config.toml"
    file.write_text(to_toml({"loss": config}))
    assert load_section("loss", LossConfig, path=file) == config
