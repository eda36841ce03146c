"""The tokeniser in the graph beside Hugging Face `tokenizers`: hard strings, and real texts.

`hard_strings.jsonl` holds one string a line with its group and what is hard about it: as `text`, as
`base64` where it is no UTF-8, or as `repeat`, pairs of a string and how often it comes.
"""

from __future__ import annotations

import ast
import base64
import importlib.metadata
import json
import sysconfig
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tokenizers import BertWordPieceTokenizer
from tokenizers.normalizers import BertNormalizer

from dualtower.cache import cache_folder
from dualtower.edge.tokenizer import Tokenizer, read_vocab
from dualtower_export.config import ExportConfig
from dualtower_export.models_writer import build_models
from dualtower_export.plan import plan_export
from dualtower_export.saved_model import write_saved_model
from dualtower_export.serving_session import open_model
from dualtower_trainer.tokenizer_graph import graph_tokenizer
from dualtower_trainer.wordpiece import train_wordpiece

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BY_DESIGN = "special tokens"  # the one group in which Hugging Face's ids are not ours
LONG = "long texts"
Text = str | bytes


@cache
def corpus() -> list[tuple[str, Text]]:
    """Pairs of group and string."""
    path = Path(__file__).parent / "hard_strings.jsonl"
    return [_entry(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def _entry(entry: dict) -> tuple[str, Text]:
    assert entry["note"]
    if "base64" in entry:
        return entry["group"], base64.b64decode(entry["base64"])
    parts = entry.get("repeat", [[entry.get("text"), 1]])
    return entry["group"], "".join(text * count for text, count in parts)


def as_bytes(text: Text) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass")


def as_text(text: Text) -> str:
    """What a library that takes no bytes can be given."""
    return as_bytes(text).decode("utf-8", errors="replace")


def hugging_face(
    vocab: Sequence[str], texts: Sequence[Text], max_tokens: int, lowercase: bool
) -> list[list[int]]:
    """The ids of BERT's tokeniser as Hugging Face assembles it, special tokens in texts and all."""
    rows = {piece: row for row, piece in enumerate(vocab)}
    theirs = BertWordPieceTokenizer(vocab=rows, lowercase=lowercase)
    theirs.enable_truncation(max_tokens)
    return [encoding.ids for encoding in theirs.encode_batch([as_text(text) for text in texts])]


def in_graph(
    vocab: Sequence[str], texts: Sequence[Text], max_tokens: int, lowercase: bool
) -> list[list[int]]:
    tokenize = graph_tokenizer(vocab, max_tokens, lowercase=lowercase)
    ids, mask = (side.numpy() for side in tokenize(tf.constant([as_bytes(t) for t in texts])))
    return [row[: int(used)].tolist() for row, used in zip(ids, mask.sum(axis=1), strict=True)]


def mismatches(
    vocab: Sequence[str], texts: Sequence[Text], *, max_tokens: int, lowercase: bool
) -> list[str]:
    """What the graph and Hugging Face read differently, and the tokeniser outside of the graph."""
    wanted = hugging_face(vocab, texts, max_tokens, lowercase)
    found = in_graph(vocab, texts, max_tokens, lowercase)
    assert found == Tokenizer(vocab, lowercase=lowercase, max_tokens=max_tokens).rows(texts)
    pieces = np.array(vocab, object)
    return [
        f"{ascii(text)[:80]}: {pieces[theirs[:12]]} there, {pieces[ours[:12]]} here"
        for text, theirs, ours in zip(texts, wanted, found, strict=True)
        if theirs != ours
    ]


@cache
def spelled(lowercase: bool) -> list[str]:
    """A vocabulary with a piece for every character of the corpus, so that none hides in [UNK]."""
    normaliser = BertNormalizer(lowercase=lowercase)
    letters = dict.fromkeys(
        letter
        for _, text in corpus()
        for letter in normaliser.normalize_str(as_text(text)[:1000])
        if not letter.isspace()
    )
    known = ["tea", "##tea", "##s", "cup", "[sep]", "##12"]
    return list(dict.fromkeys([*SPECIAL, *letters, *(f"##{x}" for x in letters), *known]))


@cache
def learned() -> list[str]:
    """A vocabulary trained on the corpus: whole words, and much that is unknown."""
    return train_wordpiece([as_text(text)[:1000] for _, text in corpus()], size=900)


@cache
def real_texts() -> list[str]:
    """Lines of the standard library's documentation and of the metadata of what is installed."""
    lines = dict.fromkeys(line.strip() for text in _documents() for line in text.splitlines())
    return [line for line in lines if len(line) > 3]


def _documents() -> Iterator[str]:
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py"))[:120]:
        tree = ast.parse(path.read_bytes())
        kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
        for node in ast.walk(tree):
            if isinstance(node, kinds) and (text := ast.get_docstring(node)):
                yield text
    named = {dist.metadata["Name"]: dist for dist in importlib.metadata.distributions()}
    for name in sorted(filter(None, named)):
        yield (named[name].read_text("METADATA") or "")[:20_000]


def test_the_corpus_is_as_hard_as_it_says() -> None:
    strings = {(type(text), text) for _, text in corpus()}
    groups = {group for group, _ in corpus()}
    assert len(strings) == len(corpus()) >= 320
    assert {
        *("accents", "han and ideographs", "emoji", "arabic and hebrew", "controls", "invisible"),
        *("invalid UTF-8", "surrogates", LONG, BY_DESIGN, "spaces", "hangul", "kana"),
    } <= groups
    assert max(len(text) for _, text in corpus()) >= 10**6
    assert any(text == "" for _, text in corpus())


@pytest.mark.parametrize("lowercase", [True, False], ids=["lowercase", "cased"])
@pytest.mark.parametrize("max_tokens", [3, 128])
def test_hard_strings(lowercase: bool, max_tokens: int) -> None:
    texts = [text for group, text in corpus() if group not in (BY_DESIGN, LONG)]
    for vocab in (spelled(lowercase), learned()):
        assert not mismatches(vocab, texts, max_tokens=max_tokens, lowercase=lowercase)


def test_a_million_characters() -> None:
    texts = [text for group, text in corpus() if group == LONG]
    assert not mismatches(learned(), texts, max_tokens=128, lowercase=True)


@pytest.mark.parametrize("lowercase", [True, False], ids=["lowercase", "cased"])
def test_special_tokens_in_a_text_are_text(lowercase: bool) -> None:
    """Hugging Face lets a title end itself; ours reads brackets and letters, as it would itself
    if the tokens had not been declared to it."""
    texts = [text for group, text in corpus() if group == BY_DESIGN]
    vocab = spelled(lowercase)
    assert len(mismatches(vocab, texts, max_tokens=32, lowercase=lowercase)) == len(texts)
    apart = [as_text(text).replace("[", "[ ").replace("]", " ]") for text in texts]
    plain = hugging_face(vocab, apart, 32, lowercase)
    assert in_graph(vocab, texts, 32, lowercase) == plain


@pytest.mark.parametrize("lowercase", [True, False], ids=["lowercase", "cased"])
def test_real_texts(lowercase: bool) -> None:
    texts = real_texts()[:6_000]
    assert len(texts) >= 3_000
    vocab = train_wordpiece(texts, size=2_000)
    assert not mismatches(vocab, texts, max_tokens=32, lowercase=lowercase)


def test_the_vocabulary_of_minilm() -> None:
    path = cache_folder("encoders") / "minilm" / "vocab.txt"
    if not path.is_file():
        pytest.skip("minilm is not in this user's cache; run: dualtower encoder fetch minilm")
    vocab = read_vocab(path)
    hard = [text for group, text in corpus() if group not in (BY_DESIGN, LONG)]
    for lowercase in (True, False):
        texts = [*hard, *real_texts()[:6_000]]
        assert not mismatches(vocab, texts, max_tokens=64, lowercase=lowercase)


def test_what_is_written_reads_hard_strings_so_too(new_run, tmp_path: Path) -> None:
    """The item tower on disk, from texts, beside the same from Hugging Face's ids."""
    letters = [piece for piece in spelled(True) if not piece.isascii() and piece not in "茶米"]
    run = new_run("hard", extra_vocabulary=tuple(letters), max_tokens=24)
    plan = plan_export(run, ExportConfig())
    model = next(model for model in build_models(plan) if model.name == "item_tower")
    write_saved_model(model, tmp_path / "1")
    vocab = plan.encoder.tokenizer.vocab
    texts = [text for group, text in corpus() if group != BY_DESIGN]
    rows = hugging_face(vocab, texts, 24, True)
    with open_model(tmp_path / "1") as served:
        for begin in range(0, len(texts), 64):
            some = slice(begin, begin + 64)
            ids, mask = plan.encoder.tokenizer.pad(rows[some])
            wanted = served("from_tokens", ids=ids, mask=mask)["embedding"]
            found = served("serving_default", text=np.array(list(map(as_bytes, texts[some]))))
            np.testing.assert_allclose(found["embedding"], wanted, atol=1e-5)
