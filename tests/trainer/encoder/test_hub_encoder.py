"""Encoders in TF Hub's format: BERTs made here as TF Model Garden exports them, read into ours."""

from __future__ import annotations

import http.server
import io
import shutil
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dualtower_trainer  # noqa: F401  before TensorFlow

import tensorflow as tf  # isort: skip
import tf_keras  # isort: skip

from dualtower.cli import main
from dualtower.errors import DataError, UnavailableError, UsageError
from dualtower_trainer.checkpoint import load_trained
from dualtower_trainer.encoder import Encoder, EncoderConfig
from dualtower_trainer.encoder_source import require_encoder, resolve_encoder
from dualtower_trainer.hub_encoder import encoder_of_hub

HIDDEN, HEADS, INNER, LAYERS, POSITIONS = 24, 3, 40, 2, 48
TEXTS = ["green tea", "Black TÉA cups!", "", "tea " * 30]
HUB = "pip install 'dualtower[hub]'"
layers = tf_keras.layers


class Positions(tf_keras.layers.Layer):
    def build(self, input_shape: tf.TensorShape) -> None:
        self.table = self.add_weight(name="embeddings", shape=(POSITIONS, HIDDEN))

    def call(self, words: tf.Tensor) -> tf.Tensor:
        return tf.broadcast_to(self.table[: tf.shape(words)[1]], tf.shape(words))


class Block(tf_keras.layers.Layer):
    """A layer of Model Garden's encoder, out of Keras' own attention."""

    def __init__(self, name: str, epsilon: float, activation: Callable) -> None:
        super().__init__(name=name)
        self.attention = layers.MultiHeadAttention(HEADS, HIDDEN // HEADS, name="self_attention")
        self.norm = layers.LayerNormalization(epsilon=epsilon, name="self_attention_layer_norm")
        self.inner = layers.EinsumDense(
            "abc,cd->abd", (None, INNER), bias_axes="d", name="intermediate", activation=activation
        )
        self.outer = layers.EinsumDense("abc,cd->abd", (None, HIDDEN), bias_axes="d", name="output")
        self.last = layers.LayerNormalization(epsilon=epsilon, name="output_layer_norm")

    def call(self, states: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        square = tf.cast(mask, tf.bool)[:, tf.newaxis, :]
        states = self.norm(states + self.attention(states, states, attention_mask=square))
        return self.last(states + self.outer(self.inner(states)))


def tanh_gelu(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.gelu(x, approximate=True)


def keras_bert(
    vocab: list[str],
    *,
    epsilon: float = 1e-12,
    activation: Callable = tanh_gelu,
    seed: int = 0,
) -> tf_keras.Model:
    """The encoder as a Keras model with random weights, large ones so that nothing is near 0."""
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in names}
    words = layers.Embedding(len(vocab), HIDDEN, name="word_embeddings")(inputs["input_word_ids"])
    kinds = layers.Embedding(2, HIDDEN, name="type_embeddings")(inputs["input_type_ids"])
    states = words + Positions(name="position_embedding")(words) + kinds
    states = layers.LayerNormalization(epsilon=epsilon, name="embeddings/layer_norm")(states)
    outputs = []
    for index in range(LAYERS):
        block = Block(f"transformer/layer_{index}", epsilon, activation)
        states = block(states, inputs["input_mask"])
        outputs.append(states)
    pooler = layers.Dense(HIDDEN, activation="tanh", name="pooler_transform")
    model = tf_keras.Model(
        inputs,
        {
            "pooled_output": pooler(states[:, 0]),
            "sequence_output": states,
            "encoder_outputs": outputs,
        },
    )
    random = np.random.default_rng(seed)
    for weight in model.weights:
        centre = 1.0 if "gamma" in weight.name else 0.0
        weight.assign(random.normal(centre, 0.3, weight.shape))
    return model


def write_hub(
    folder: Path, vocab: list[str], model: tf_keras.Model, lowercase: bool | None = True
) -> Path:
    """A folder of TF Hub; with `lowercase` None it does not say whether it lowers."""
    assets = folder.with_name(f"{folder.name}-vocab")
    assets.mkdir()
    (assets / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8")
    model.vocab_file = tf.saved_model.Asset(str(assets / "vocab.txt"))
    if lowercase is not None:
        model.do_lower_case = tf.Variable(lowercase, trainable=False)
    tf.saved_model.save(model, str(folder))
    return folder


@pytest.fixture(scope="module")
def model(vocab: list[str]) -> tf_keras.Model:
    return keras_bert(vocab)


@pytest.fixture(scope="module")
def hub_folder(vocab: list[str], model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_hub(tmp_path_factory.mktemp("hub") / "bert", vocab, model)


def own_answer(model: tf_keras.Model, encoder: Encoder) -> np.ndarray:
    """The masked mean of what the Keras model says of TEXTS."""
    ids, mask = encoder.tokenizer(TEXTS)
    asked = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": 0 * ids}
    states = model({name: tf.constant(value) for name, value in asked.items()})["sequence_output"]
    return (states.numpy() * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]


def test_the_layout_is_that_of_tf_hub(hub_folder: Path) -> None:
    names = {name.name for name in tf.saved_model.load(str(hub_folder)).variables}
    assert {
        "word_embeddings/embeddings:0",
        "position_embedding/embeddings:0",
        "type_embeddings/embeddings:0",
        "embeddings/layer_norm/gamma:0",
        "transformer/layer_1/self_attention/query/kernel:0",
        "transformer/layer_1/self_attention/attention_output/bias:0",
        "transformer/layer_0/self_attention_layer_norm/beta:0",
        "transformer/layer_0/intermediate/kernel:0",
        "transformer/layer_0/output/kernel:0",
        "transformer/layer_0/output_layer_norm/gamma:0",
        "pooler_transform/kernel:0",
    } <= names


def test_a_folder_gives_an_encoder(hub_folder: Path, model, vocab: list[str]) -> None:
    encoder = encoder_of_hub(hub_folder, max_tokens=16)
    assert encoder.tokenizer.vocab == vocab
    assert encoder.tokenizer.lowercase
    assert (encoder.config.num_hidden_layers, encoder.config.num_attention_heads) == (LAYERS, HEADS)
    assert (encoder.config.hidden_act, encoder.config.layer_norm_eps) == ("gelu_new", 1e-12)
    np.testing.assert_allclose(encoder.encode(TEXTS), own_answer(model, encoder), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"activation": tf.nn.gelu, "epsilon": 1e-12}, ("gelu", 1e-12)),
        ({"epsilon": 1e-3}, ("gelu_new", 1e-3)),
    ],
    ids=["erf", "epsilon"],
)
def test_what_no_weight_tells_is_tried(
    settings: dict, found: tuple, vocab: list[str], tmp_path: Path
) -> None:
    encoder = encoder_of_hub(write_hub(tmp_path / "bert", vocab, keras_bert(vocab, **settings)))
    assert (encoder.config.hidden_act, encoder.config.layer_norm_eps) == found


def test_another_graph_is_refused(vocab: list[str], tmp_path: Path) -> None:
    folder = write_hub(tmp_path / "bert", vocab, keras_bert(vocab, activation=tf.nn.relu))
    with pytest.raises(DataError, match=r"differ by .*at most 1e-04.*other than GELU"):
        encoder_of_hub(folder)


class Plain(tf.Module):
    """A reusable SavedModel without Keras: the same variables, and a call of one argument."""

    def __init__(self, model: tf_keras.Model, leave_out: str = "", prefix: str = "") -> None:
        super().__init__(name="plain")
        self._model = model
        self.variables = [
            tf.Variable(weight, name=prefix + weight.name.partition(":")[0])
            for weight in model.weights
            if weight.dtype.is_floating and weight.name != leave_out
        ]

    variables: list = []  # noqa: RUF012  in place of the property

    @tf.function(input_signature=[
        {name: tf.TensorSpec([None, None], tf.int32, name) for name in
         ("input_word_ids", "input_mask", "input_type_ids")}
    ], autograph=False)  # fmt: skip
    def __call__(self, inputs):
        return self._model(inputs)


def test_a_plain_module_whose_variables_have_a_prefix(model, vocab, tmp_path: Path) -> None:
    plain = Plain(model, prefix="bert_model/")
    plain.vocab_file = model.vocab_file
    tf.saved_model.save(plain, str(tmp_path / "bert"))
    encoder = encoder_of_hub(tmp_path / "bert")
    np.testing.assert_allclose(encoder.encode(TEXTS), own_answer(model, encoder), atol=1e-5)


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("type_embeddings/embeddings:0", "lacks variables: type_embeddings/embeddings"),
        ("transformer/layer_1/output/bias:0", "lacks tensors: encoder.layer.1.output.dense.bias"),
    ],
)
def test_weights_that_are_missing(model, left_out: str, message: str, tmp_path: Path) -> None:
    plain = Plain(model, left_out)
    plain.vocab_file = model.vocab_file
    tf.saved_model.save(plain, str(tmp_path / "bert"))
    with pytest.raises(DataError, match=message):
        encoder_of_hub(tmp_path / "bert")


def test_weights_of_another_kind(model, tmp_path: Path) -> None:
    plain = Plain(model)
    plain.vocab_file = model.vocab_file
    plain.variables = [*plain.variables, tf.Variable([1.0], name="embedding_projection/kernel")]
    tf.saved_model.save(plain, str(tmp_path / "bert"))
    with pytest.raises(DataError, match=r"unknown variables: embedding_projection/kernel.*ALBERT"):
        encoder_of_hub(tmp_path / "bert")


def test_a_cased_vocabulary_is_known_by_its_pieces(model, vocab: list[str], tmp_path: Path) -> None:
    letters = ["Tea" if piece == "tea" else piece for piece in vocab]
    folder = write_hub(tmp_path / "cased", letters, keras_bert(vocab), lowercase=None)
    assert not encoder_of_hub(folder).tokenizer.lowercase
    folder = write_hub(tmp_path / "lower", vocab, keras_bert(vocab), lowercase=None)
    assert encoder_of_hub(folder).tokenizer.lowercase


def test_what_is_no_model_of_tf_hub(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(DataError, match="cannot be loaded as a SavedModel"):
        encoder_of_hub(tmp_path)
    tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
    with pytest.raises(DataError, match="no reusable one"):
        encoder_of_hub(tmp_path / "module")


@pytest.mark.parametrize("prefix", ["", "hub:"])
def test_a_run_keeps_what_it_read(prefix: str, hub_folder: Path, tmp_path: Path) -> None:
    config = EncoderConfig(name=f"{prefix}{hub_folder}", max_tokens=16)
    require_encoder(config)
    encoder = resolve_encoder(config, [], tmp_path)
    (kept,) = tmp_path.glob("hub-*")
    assert Encoder.load(kept, 16).sha256 == encoder.sha256 == encoder_of_hub(hub_folder).sha256
    written = (kept / "model.safetensors").stat().st_mtime_ns
    assert resolve_encoder(config, [], tmp_path, replace=True).sha256 == encoder.sha256
    assert (kept / "model.safetensors").stat().st_mtime_ns == written


def test_another_model_at_the_same_place_is_read_anew(vocab, model, tmp_path: Path) -> None:
    config = EncoderConfig(name=f"hub:{tmp_path / 'bert'}", max_tokens=16)
    write_hub(tmp_path / "bert", vocab, model)
    first = resolve_encoder(config, [], tmp_path).sha256
    (tmp_path / "bert").rename(tmp_path / "old")
    write_hub(tmp_path / "next", vocab, keras_bert(vocab, activation=tf.nn.gelu))
    (tmp_path / "next").rename(tmp_path / "bert")
    assert resolve_encoder(config, [], tmp_path).sha256 == first, "a training goes on with its own"
    assert resolve_encoder(config, [], tmp_path, replace=True).config.hidden_act == "gelu"


def test_a_handle_that_cannot_be_fetched(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("tensorflow_hub", reason=HUB, exc_type=ImportError)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    config = EncoderConfig(name="hub:http://127.0.0.1:9/google/bert/1")
    require_encoder(config)
    with pytest.raises(UnavailableError, match=r"hub:http://127.*could not be fetched") as caught:
        resolve_encoder(config, [], tmp_path)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.glob("hub-*"))


def test_two_models_beside_each_other(hub_folder: Path, vocab: list[str], tmp_path: Path) -> None:
    other = write_hub(tmp_path / "other", vocab, keras_bert(vocab, seed=1))
    names = (str(hub_folder), str(other))
    first, second = (resolve_encoder(EncoderConfig(name), [], tmp_path) for name in names)
    assert first.sha256 != second.sha256


def write_shop(folder: Path) -> Path:
    """Twenty people who take three of six items."""
    texts = [f"{colour} {kind}" for colour in ("green", "black") for kind in ("tea", "cup", "teas")]
    rows = [(f"u{n}", f"i{(n + step) % 6}", 86_400 * (1 + step)) for n in range(20)
            for step in range(3)]  # fmt: skip
    users, items, seconds = zip(*rows, strict=True)
    folder.mkdir()
    weights = pa.array(np.ones(len(rows), np.float32))
    times = pa.array(seconds, pa.int64())
    log = {"user_id": users, "item_id": items, "timestamp": times, "weight": weights}
    pq.write_table(pa.table(log), folder / "interactions.parquet")
    item_ids = [f"i{row}" for row in range(6)]
    catalogue = {"item_id": item_ids, "text": texts, "blocked": [False] * 6}
    pq.write_table(pa.table(catalogue), folder / "items.parquet")
    return folder


def train(tmp_path: Path, name: str) -> Path:
    settings = (
        f"encoder.name={name}", "encoder.max_tokens=8", "model.dim=16", "model.history_items=4",
        "closed_form.regularisation=30", "closed_form.sharpening=0", "train.steps=0",
        "split.kind=last", "train.fresh_share=0", "model.trend=false",
    )  # fmt: skip
    flags = [word for setting in settings for word in ("--set", setting)]
    data, run = write_shop(tmp_path / "data"), tmp_path / "run"
    main(["train", "--data", str(data), "--out", str(run), *flags])
    return run


def test_a_pair_is_trained_on_it(hub_folder: Path, tmp_path: Path) -> None:
    run = train(tmp_path, f"hub:{hub_folder}")
    trained = load_trained(run)
    assert trained.encoder().sha256 == encoder_of_hub(hub_folder).sha256
    assert np.isfinite(trained.vectors).all()


def test_the_command_says_why_nothing_came(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(SystemExit) as stopped:
        train(tmp_path, "hub:http://127.0.0.1:9/google/bert/1")
    assert stopped.value.code == 2
    assert "hub:http://127.0.0.1:9/google/bert/1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("variables/variables.data-00000-of-00001", "cannot be loaded as a SavedModel"),
        ("assets/vocab.txt", "lacks"),
    ],
)
def test_a_folder_that_was_cut_short(
    hub_folder: Path, broken: str, message: str, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(hub_folder, tmp_path / "bert"))
    whole = (folder / broken).read_bytes()
    (folder / broken).write_bytes(whole[: len(whole) // 2 if "data" in broken else 3])
    with pytest.raises(DataError, match=message):
        encoder_of_hub(folder)


def test_more_places_than_there_are(hub_folder: Path) -> None:
    with pytest.raises(DataError, match="max_tokens 64 is more than the 48 positions"):
        encoder_of_hub(hub_folder, max_tokens=64)


@pytest.fixture
def hub_server(hub_folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a model, at a server that has an archive of it as TF Hub has; and a list of
    what it was asked for."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as packed:
        packed.add(hub_folder, arcname=".")

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(archive.getvalue())

        def log_message(self, *_: object) -> None:
            """Nothing on the screen."""

    asked: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/google/bert/1", asked
        server.shutdown()
        thread.join()


def test_a_handle_is_downloaded_once(
    hub_server: tuple[str, list[str]], hub_folder: Path, tmp_path: Path, monkeypatch
) -> None:
    pytest.importorskip("tensorflow_hub", reason=HUB, exc_type=ImportError)
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    address, asked = hub_server
    config = EncoderConfig(name=f"hub:{address}", max_tokens=16)
    wanted = encoder_of_hub(hub_folder).sha256
    for run in ("first", "second"):
        assert resolve_encoder(config, [], tmp_path / run).sha256 == wanted
    assert asked == ["/google/bert/1?tf-hub-format=compressed"]


def test_names_that_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="hub:HANDLE"):
        EncoderConfig(name="hub:")
    for name in (f"hub:{tmp_path / 'none'}", str(tmp_path / "none"), "hub:ftp://host/bert"):
        with pytest.raises(UsageError, match="neither"):
            require_encoder(EncoderConfig(name=name))
    with pytest.raises(DataError, match="cannot be loaded"):
        resolve_encoder(EncoderConfig(name=f"hub:{tmp_path}"), [], tmp_path / "run")
