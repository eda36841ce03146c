from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from dualtower.config import load_section
from dualtower.errors import ConfigError, UsageError
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.encoder import Encoder, EncoderConfig, weights_sha256

TEXTS = ["green tea", "", "a", "black teas, 3 cups!", "xyz " * 50, b"t\xffea", "green tea", "9"]


def test_vectors_come_in_the_order_of_the_texts(make_encoder: Callable[..., Encoder]) -> None:
    encoder = make_encoder()
    vectors = encoder.encode(TEXTS, batch_size=3)
    assert vectors.shape == (len(TEXTS), encoder.hidden)
    assert vectors.dtype == np.float32
    for place, text in enumerate(TEXTS):
        np.testing.assert_allclose(vectors[place], encoder.encode([text])[0], atol=1e-5)
    np.testing.assert_allclose(vectors[0], vectors[6], atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 64])
def test_batch_mates_change_a_vector_only_by_rounding(
    make_encoder: Callable[..., Encoder], batch_size: int
) -> None:
    generator = np.random.default_rng(0)
    words = ["tea", "green", "black", "cup", "s", "xyz"]
    texts = [" ".join(generator.choice(words, generator.integers(0, 9))) for _ in range(100)]
    encoder = make_encoder()
    whole = encoder.encode(texts, batch_size=batch_size)
    shuffled = generator.permutation(len(texts))
    again = encoder.encode([texts[place] for place in shuffled], batch_size=batch_size)
    np.testing.assert_allclose(again, whole[shuffled], atol=1e-5)


def test_encoding_twice_gives_the_same_bits(make_encoder: Callable[..., Encoder]) -> None:
    encoder = make_encoder()
    np.testing.assert_array_equal(encoder.encode(TEXTS), encoder.encode(TEXTS))
    np.testing.assert_array_equal(encoder.encode(TEXTS), make_encoder().encode(TEXTS))


def test_an_empty_text_has_a_vector(make_encoder: Callable[..., Encoder]) -> None:
    vectors = make_encoder().encode(["", "\x00", b"\xff"])
    assert np.all(np.isfinite(vectors))
    assert np.any(vectors[0])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_no_texts_give_no_vectors(make_encoder: Callable[..., Encoder]) -> None:
    assert make_encoder().encode([]).shape == (0, 24)


def test_progress_goes_to_stderr(
    make_encoder: Callable[..., Encoder], capsys: pytest.CaptureFixture[str]
) -> None:
    make_encoder().encode(["tea"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("texts", ["tea", b"tea"])
def test_one_text_is_no_list_of_texts(make_encoder: Callable[..., Encoder], texts: str) -> None:
    with pytest.raises(TypeError, match="a sequence of texts, got a single one"):
        make_encoder().encode(texts)


def test_what_is_no_text_is_refused(make_encoder: Callable[..., Encoder]) -> None:
    with pytest.raises(TypeError, match="must be str or bytes, got None"):
        make_encoder().encode(["tea", None])  # type: ignore[list-item]


def test_batch_size_is_checked(make_encoder: Callable[..., Encoder]) -> None:
    with pytest.raises(UsageError, match="batch_size must be at least 1, got 0"):
        make_encoder().encode(["tea"], batch_size=0)


def test_a_saved_folder_loads_equal(make_encoder: Callable[..., Encoder], tmp_path: Path) -> None:
    encoder = make_encoder(seed=3)
    folder = encoder.save(tmp_path / "bert")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt")
    ]
    loaded = Encoder.load(folder, max_tokens=16)
    assert loaded.folder == folder
    assert (loaded.config, loaded.max_tokens, loaded.hidden) == (encoder.config, 16, 24)
    assert loaded.sha256 == encoder.sha256
    np.testing.assert_array_equal(loaded.encode(TEXTS), encoder.encode(TEXTS))


def test_saving_twice_writes_the_same_bytes(
    make_encoder: Callable[..., Encoder], tmp_path: Path
) -> None:
    one, two = (make_encoder().save(tmp_path / name) for name in ("one", "two"))
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_a_cased_folder_stays_cased(make_encoder: Callable[..., Encoder], tmp_path: Path) -> None:
    folder = make_encoder(lowercase=False).save(tmp_path / "bert")
    assert Encoder.load(folder).tokenizer.lowercase is False
    (folder / "tokenizer_config.json").unlink()
    assert Encoder.load(folder).tokenizer.lowercase is True


def test_the_model_is_frozen(make_encoder: Callable[..., Encoder]) -> None:
    assert make_encoder().model.trainable_variables == []


def test_the_hash_sees_every_part(make_encoder: Callable[..., Encoder]) -> None:
    tensors = dict(make_encoder().tensors)
    name = "embeddings.LayerNorm.bias"
    changed = tensors[name].copy()
    changed[5] = np.nextafter(changed[5], 1)
    hashes = {
        weights_sha256(tensors),
        weights_sha256({**tensors, name: changed}),
        weights_sha256({**tensors, name: tensors[name].astype(np.float64)}),
        weights_sha256({**tensors, name: tensors[name].reshape(1, -1)}),
        weights_sha256({other: value for other, value in tensors.items() if other != name}),
    }
    assert len(hashes) == 5
    assert make_encoder().sha256 == weights_sha256(dict(reversed(tensors.items())))
    assert make_encoder(seed=1).sha256 != make_encoder(seed=2).sha256


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UsageError, match=rf"lacks {name}; a BERT folder has config\.json"):
        Encoder.load(folder)


def test_old_pytorch_weights_are_explained(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match=r"convert it to model\.safetensors"):
        Encoder.load(folder)


@pytest.mark.parametrize("name", ["none", "file"])
def test_what_is_no_folder_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"is no folder; .* dualtower encoder fetch minilm"):
        Encoder.load(tmp_path / name)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_an_error(folder: Path, share: float) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UsageError, match=r"no whole safetensors file .* fetch it again"):
        Encoder.load(folder)


def test_another_model_is_an_error(folder: Path, config: BertConfig) -> None:
    values = {**json.loads(config.to_json()), "model_type": "distilbert"}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match="model_type is 'distilbert', only 'bert' can be read"):
        Encoder.load(folder)


def test_a_vocabulary_of_another_size_is_an_error(folder: Path, vocab: list[str]) -> None:
    (folder / "vocab.txt").write_text("\n".join(vocab[:-1]))
    with pytest.raises(
        UsageError, match=rf"has {len(vocab) - 1} pieces, .* vocab_size {len(vocab)}"
    ):
        Encoder.load(folder)


def test_weights_of_another_bert_are_an_error(folder: Path, config: BertConfig) -> None:
    values = {**json.loads(config.to_json()), "num_hidden_layers": 3}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(UsageError, match=r"lacks tensors: encoder\.layer\.2") as caught:
        Encoder.load(folder)
    assert str(folder) in str(caught.value)


def test_more_tokens_than_positions_are_an_error(folder: Path) -> None:
    with pytest.raises(UsageError, match="max_tokens 65 is more than the 64 positions"):
        Encoder.load(folder, max_tokens=65)


def test_half_precision_weights_load(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    safetensors.numpy.save_file({n: t.astype(np.float16) for n, t in tensors.items()}, path)
    assert Encoder.load(folder).tensors["embeddings.LayerNorm.bias"].dtype == np.float32


def test_brain_floats_load(folder: Path) -> None:
    """bfloat16 has no numpy dtype; the upper half of a float32 has the same bits."""
    path = folder / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    entries, blobs, offset = {}, [], 0
    for name, value in tensors.items():
        blob = (value.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        entries[name] = {
            "dtype": "BF16",
            "shape": list(value.shape),
            "data_offsets": [offset, offset + len(blob)],
        }
        offset += len(blob)
        blobs.append(blob)
    header = json.dumps(entries).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"".join(blobs))
    loaded = Encoder.load(folder)
    name = "embeddings.word_embeddings.weight"
    np.testing.assert_allclose(loaded.tensors[name], tensors[name], rtol=2**-7)


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_broken_tokeniser_configuration_is_an_error(folder: Path, text: str) -> None:
    (folder / "tokenizer_config.json").write_text(text)
    with pytest.raises(UsageError, match=r"tokenizer_config\.json is not a valid"):
        Encoder.load(folder)


def test_a_folder_is_never_overwritten(make_encoder: Callable[..., Encoder], folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match="exists already"):
        make_encoder(seed=9).save(folder)
    assert (folder / "model.safetensors").read_bytes() == before


def test_a_kill_while_saving_leaves_no_half_folder(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from dualtower_trainer.encoder import Encoder\n"
        "encoder = Encoder.load(sys.argv[1])\n"
        "for n in range(10**9): encoder.save(f'{sys.argv[2]}/{n}')"
    )
    target = tmp_path / "many"
    target.mkdir()
    process = subprocess.Popen([sys.executable, "-c", code, str(folder), str(target)])
    try:
        deadline = time.monotonic() + 60
        while len(list(target.iterdir())) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    whole = [path for path in target.iterdir() if ".tmp-" not in path.name]
    assert len(whole) >= 4
    for path in whole:
        Encoder.load(path)


def test_saving_below_a_file_is_an_error(
    make_encoder: Callable[..., Encoder], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        make_encoder().save(tmp_path / "file" / "bert")


def test_loading_and_saving_need_no_tensorflow(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from dualtower_trainer.encoder import Encoder\n"
        "Encoder.load(sys.argv[1]).save(sys.argv[2])\n"
        "sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(tmp_path / "copy")], check=True)
    shutil.rmtree(tmp_path / "copy")


def test_configuration_defaults_and_overrides() -> None:
    assert load_section("encoder", EncoderConfig) == EncoderConfig("minilm", 32)
    changed = load_section(
        "encoder", EncoderConfig, overrides=["encoder.name=tiny", "encoder.max_tokens=48"]
    )
    assert changed == EncoderConfig("tiny", 48)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("encoder.max_tokens=2", r"max_tokens must lie in 3\.\.512, got 2"),
        ("encoder.max_tokens=513", r"max_tokens must lie in 3\.\.512, got 513"),
        ("encoder.max_tokens=many", "max_tokens must be int"),
        ('encoder.name=""', "name must be"),
        ("encoder.max_token=3", "did you mean 'max_tokens'"),
    ],
)
def test_configuration_errors(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_section("encoder", EncoderConfig, overrides=[override])


@pytest.mark.network
def test_batch_mates_change_a_vector_of_minilm_only_by_rounding(minilm: Path) -> None:
    encoder = Encoder.load(minilm)
    texts = [
        " ".join(["green tea", "bags", "of paper", "20 ct"][: n % 5]) + str(n) for n in range(60)
    ]
    whole = encoder.encode(texts)
    np.testing.assert_allclose(encoder.encode(texts[::-1], batch_size=7)[::-1], whole, atol=1e-5)
    np.testing.assert_allclose(encoder.encode(texts, batch_size=1), whole, atol=1e-5)
