"""TFLite Metadata: read back without our reader, and by MediaPipe where it is installed."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from dualtower.edge.flatbuffer import add_metadata, metadata_of
from dualtower.edge.metadata import (
    Associated,
    FileCard,
    TensorCard,
    check_whole,
    facts_of,
    with_card,
)
from dualtower_export.config import DEFAULT_VARIANTS as VARIANTS
from dualtower_export.edge_normalise import normalise_for_app

_FILES = [f"{tower}.{variant}" for tower in ("item_tower", "user_tower") for variant in VARIANTS]


class _Reader:
    """A flatbuffer table by `struct` alone: field n of the table at `place`."""

    def __init__(self, raw: bytes, place: int) -> None:
        self.raw, self.place = raw, place

    @classmethod
    def root(cls, raw: bytes) -> _Reader:
        return cls(raw, struct.unpack_from("<I", raw, 0)[0])

    def _where(self, field: int) -> int | None:
        vtable = self.place - struct.unpack_from("<i", self.raw, self.place)[0]
        size = struct.unpack_from("<H", self.raw, vtable)[0]
        if 4 + 2 * field >= size:
            return None
        offset = struct.unpack_from("<H", self.raw, vtable + 4 + 2 * field)[0]
        return self.place + offset if offset else None

    def _target(self, field: int) -> int:
        where = self._where(field)
        assert where is not None, field
        return where + struct.unpack_from("<I", self.raw, where)[0]

    def table(self, field: int) -> _Reader:
        return _Reader(self.raw, self._target(field))

    def number(self, field: int, form: str) -> int:
        where = self._where(field)
        return 0 if where is None else struct.unpack_from(form, self.raw, where)[0]

    def tables(self, field: int) -> list[_Reader]:
        if self._where(field) is None:
            return []
        start = self._target(field)
        (count,) = struct.unpack_from("<I", self.raw, start)
        places = [start + 4 + 4 * i for i in range(count)]
        return [_Reader(self.raw, p + struct.unpack_from("<I", self.raw, p)[0]) for p in places]

    def bytes(self, field: int) -> bytes:
        start = self._target(field)
        (count,) = struct.unpack_from("<I", self.raw, start)
        return self.raw[start + 4 : start + 4 + count]

    def text(self, field: int) -> str:
        return self.bytes(field).decode()


def _metadata(content: bytes) -> _Reader:
    model = _Reader.root(content)
    entries = {entry.text(0): entry.number(1, "<I") for entry in model.tables(6)}
    raw = model.tables(4)[entries["TFLITE_METADATA"]].bytes(0)
    assert raw[4:8] == b"M001"
    return _Reader.root(raw)


@pytest.mark.parametrize("name", _FILES)
def test_a_file_says_what_it_is(bundle, name: str) -> None:
    content = (bundle.edge_path / f"{name}.tflite").read_bytes()
    tower, variant = name.split(".")
    metadata = _metadata(content)
    assert metadata.text(0) == f"dualtower {tower.replace('_', ' ')}"
    assert metadata.text(2) == str(bundle.version)
    assert metadata.text(5) == "not stated"
    (graph,) = metadata.tables(3)
    inputs = [tensor.text(0) for tensor in graph.tables(2)]
    (output,) = graph.tables(3)
    assert output.text(0) == "embedding"
    assert "30 numbers of taste" in output.text(1)
    assert inputs == (
        ["ids", "mask", "segment_ids"] if tower == "item_tower" else ["items", "mask"]
    )
    (own,) = graph.tables(9)
    facts = json.loads(own.bytes(1))
    assert own.text(0) == "dualtower"
    assert facts["fingerprint"] == bundle.fingerprint
    assert (facts["part"], facts["variant"], facts["dim"]) == (tower, variant, 32)


def test_the_tokeniser_and_its_vocabulary(bundle) -> None:
    content = (bundle.edge_path / "item_tower.dynamic_int8.tflite").read_bytes()
    (graph,) = _metadata(content).tables(3)
    (unit,) = graph.tables(5)
    assert unit.number(0, "<B") == 4  # BertTokenizerOptions
    (file,) = unit.table(1).tables(0)
    assert (file.text(0), file.number(2, "<b")) == ("vocab.txt", 5)  # VOCABULARY
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entry = archive.getinfo("vocab.txt")
        assert entry.compress_type == zipfile.ZIP_STORED
        assert archive.read(entry) == (bundle.edge_path / "vocab.txt").read_bytes()


@pytest.fixture(scope="module")
def plain() -> bytes:
    """A file as the converter leaves it: a product, a table, and two outputs."""
    import tensorflow as tf

    table = np.arange(7 * 300, dtype=np.float32).reshape(300, 7)

    @tf.function(input_signature=[tf.TensorSpec([1, 5], tf.int32, "rows")], autograph=False)
    def graph(rows):
        picked = tf.gather(tf.constant(table), rows[0])
        return {"picked": picked, "all": tf.matmul(picked, tf.constant(table), transpose_b=True)}

    return tf.lite.TFLiteConverter.from_concrete_functions(
        [graph.get_concrete_function()], tf.Module()
    ).convert()


def test_tensorflows_own_reader_finds_the_model_and_every_buffer_at_its_old_alignment(
    plain: bytes,
) -> None:
    """By the code that is generated from the schema, and not by ours."""
    from tensorflow.lite.python import schema_py_generated as schema

    fresh = add_metadata(plain, "more", b"of it", unread_input="unread")
    before, after = (schema.Model.GetRootAs(content, 0) for content in (plain, fresh))
    assert schema.Model.ModelBufferHasIdentifier(fresh, 0)
    assert (after.Version(), after.Description()) == (before.Version(), before.Description())
    assert after.OperatorCodesLength() == before.OperatorCodesLength()
    assert after.SignatureDefsLength() == before.SignatureDefsLength() == 1
    count = before.BuffersLength()
    assert after.BuffersLength() == count + 1
    shifts = set()
    for index in range(count):
        old, new = (model.Buffers(index).DataAsNumpy() for model in (before, after))
        np.testing.assert_array_equal(old, new)
        if isinstance(old, np.ndarray) and old.size > 64:
            shifts.add(fresh.index(new.tobytes()) - plain.index(old.tobytes()))
    assert len(shifts) == 1
    assert shifts.pop() % 16 == 0
    assert after.Buffers(count).DataAsNumpy().tobytes() == b"of it"
    assert fresh.index(b"of it") % 16 == 0
    graphs = [model.Subgraphs(0) for model in (before, after)]
    assert graphs[1].InputsLength() == graphs[0].InputsLength() + 1
    tensor = graphs[1].Tensors(graphs[1].Inputs(1))
    assert (tensor.Name(), tensor.Type()) == (b"unread", schema.TensorType.INT32)
    assert tensor.ShapeAsNumpy().tolist() == [1, 5]
    assert graphs[1].OutputsAsNumpy().tolist() == graphs[0].OutputsAsNumpy().tolist()


def test_a_described_model_answers_as_before(plain: bytes) -> None:
    rows = np.array([[5, 0, 299, 17, 5]], np.int32)
    answers = [
        Interpreter(model_content=content).get_signature_runner()(rows=rows)
        for content in (plain, add_metadata(plain, "more", b"", unread_input="unread"))
    ]
    for name in ("picked", "all"):
        np.testing.assert_array_equal(answers[0][name], answers[1][name])


def test_the_third_input_is_read_by_nothing_and_asked_by_no_signature(bundle) -> None:
    interpreter = Interpreter(str(bundle.edge_path / "item_tower.float32.tflite"))
    inputs = interpreter.get_input_details()
    assert [tuple(detail["shape"]) for detail in inputs] == [(1, 12)] * 3
    assert inputs[2]["name"] == "segment_ids"
    assert sorted(interpreter.get_signature_runner().get_input_details()) == ["ids", "mask"]
    reading = [op for op in interpreter._get_ops_details() if inputs[2]["index"] in op["inputs"]]
    assert not reading


def test_one_entry_behind_another(plain: bytes) -> None:
    content = plain
    for size in range(1, 40, 7):
        content = add_metadata(content, f"more {size}", b"x" * size)
    assert [metadata_of(content, f"more {size}") for size in range(1, 40, 7)] == [
        b"x" * size for size in range(1, 40, 7)
    ]
    assert metadata_of(content, "none") is None
    assert facts_of(content) == {}
    assert set(Interpreter(model_content=content).get_signature_list()) == {"serving_default"}


def test_any_changed_byte_and_any_lost_end_is_found(bundle) -> None:
    content = (bundle.edge_path / "user_tower.dynamic_int8.tflite").read_bytes()
    check_whole(content)
    random = np.random.default_rng(5)
    for place in random.integers(len(content) - 400, size=60):
        broken = bytearray(content)
        broken[place] ^= 1 << random.integers(8)
        with pytest.raises(ValueError, match=r"differs|changed|damaged"):
            check_whole(bytes(broken))
    for length in (0, 1, 100, len(content) // 2, len(content) - 1):
        with pytest.raises(ValueError, match="missing or damaged"):
            check_whole(content[:length])


def test_two_makings_are_the_same_bytes(plain: bytes) -> None:
    card = FileCard(
        name="n", description="d", version="1", inputs=(), outputs=(),
        facts={"fingerprint": "f"}, files=(Associated("a.txt", b"a", "one"),),
    )  # fmt: skip
    assert with_card(plain, card) == with_card(plain, card)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"facts": {}}, "must hold the fingerprint"),
        ({"files": (Associated("a", b"", ""), Associated("a", b"", ""))}, "distinct names"),
        ({"vocabulary": "vocab.txt"}, "one of the files"),
    ],
)
def test_a_card_that_says_nothing_is_refused(changed: dict, said: str) -> None:
    whole = {
        "name": "n", "description": "d", "version": "1", "facts": {"fingerprint": "f"},
        "inputs": (TensorCard("a", ""),), "outputs": (),
    }  # fmt: skip
    with pytest.raises(ValueError, match=said):
        FileCard(**{**whole, **changed})


_ASK_MEDIAPIPE = """
import json, sys
import numpy as np
from mediapipe.tasks.python import BaseOptions, text
options = text.TextEmbedderOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with text.TextEmbedder.create_from_options(options) as embedder:
    found = [embedder.embed(t).embeddings[0].embedding for t in json.load(sys.stdin)]
np.save(sys.argv[2], np.array(found))
"""


@pytest.mark.parametrize("variant", VARIANTS)
def test_mediapipe_agrees(bundle, plan, tmp_path: Path, variant: str) -> None:
    """Set DUALTOWER_MEDIAPIPE_PYTHON to the Python of an environment with mediapipe 1.2."""
    python = os.environ.get("DUALTOWER_MEDIAPIPE_PYTHON")
    if python is None:
        pytest.skip("DUALTOWER_MEDIAPIPE_PYTHON names no Python with mediapipe")
    from dualtower.edge.runner import EdgeItemTower

    hard = ["", "Café, ÜBER Tea!", "tea-bag 12% & 茶米", "a" * 150, "milk " * 40, "ΣΊΣΥΦΟΣ", "🍵"]
    texts = [*map(str, plan.trained.texts), *hard]
    path = bundle.edge_path / f"item_tower.{variant}.tflite"
    asked = json.dumps([normalise_for_app(text) for text in texts])
    subprocess.run(
        [python, "-c", _ASK_MEDIAPIPE, str(path), str(tmp_path / "found.npy")],
        input=asked, text=True, check=True, capture_output=True,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )  # fmt: skip
    ours = EdgeItemTower(path).embed(texts)
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), ours, atol=1e-6)


def test_no_tensorflow_is_needed_to_read(bundle) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from dualtower.edge.metadata import facts_of\n"
        f"facts = facts_of(Path({str(bundle.edge_path / 'user_tower.float32.tflite')!r})"
        ".read_bytes())\n"
        f"assert facts['fingerprint'] == {bundle.fingerprint!r}\n"
        "assert not {'tensorflow', 'tf_keras', 'pyarrow', 'ai_edge_litert'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
