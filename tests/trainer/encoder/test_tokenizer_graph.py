"""The tokeniser in the graph gives the ids of the one outside, on everything we could think of."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtower.errors import UsageError
from dualtower_trainer.tokenizer import Tokenizer
from dualtower_trainer.tokenizer_graph import graph_tokenizer, normalise

LATIN = [
    *("café", "CAFÉ", "cafe\u0301", "naïve façade", "Ångström", "Å", "A\u030a", "ÀÉÎÕÜ", "ç Ç"),
    *("İstanbul", "ıI iİ", "I\u0307", "ŁÓDŹ", "đĐ", "øØ", "ŒUVRE œuvre", "Æsir", "ŋŊ", "ẞ ß ẞß"),
    *("Straße STRASSE", "ﬁne ﬂow ﬃ ﬅ", "ǅ ǆ Ǆ", "ñandú", "ệ ẫ ự", "ŀ Ŀ", "ſ long s", "ŉ", "ǰ"),
    *("H₂O x² 10³", "№ 5", "ªº", "µ μ Μ", "K K Å Å", "Ω Ω", "Ⅷ ⅷ", "①②③", "½ ¼ ¾ ⅓", "½kg", "™®©"),
    *(
        "… ellipsis...",
        "10 ㎏ 5㎝",
        "ＦＵＬＬ　ｗｉｄｔｈ １２３",
        "ｶﾞ half",
        "℡ ℃ ℉",
        "ﷺ",
        "㍿",
        "ʼn",
    ),
]
SCRIPTS = [
    *(
        "日本語テキスト",
        "漢字kanji混在",
        "中文，标点。",
        "한국어 텍스트",
        "ᄒ\u1161ᆫ",
        "ｱｲｳ",
        "ガギグ",
        "か\u3099",
    ),
    *(
        "Привет МИР Ёё Йй",
        "Ѐѝ",
        "ΟΔΥΣΣΕΥΣ",
        "ΟΔΟΣ ΣΑΣ Σ",
        "ὈΔΥΣΣΕΎΣ ᾳ ᾼ",
        "ς σ Σ",
        "Ά ά α\u0301",
        "ϴ θ Θ",
    ),
    *(
        "שלום עולם",
        "שָׁלוֹם",
        "مرحبا بالعالم",
        "مَرْحَبًا",
        "ﻻ ﷲ",
        "\u202bRTL\u202c ltr",
        "हिन्दी नमस्ते",
        "தமிழ்",
    ),
    *(
        "ไทย น้ำ กำ",
        "ລາວ",
        "မြန်မာ",
        "ខ្មែរ",
        "བོད་",
        "ქართული ᲥᲐᲠᲗ",
        "Ꭰꭰ ᏸ",
        "𐐀𐐨",
        "አማርኛ",
        "ⴰⵣ",
        "Հայերեն և ԵՒ",
    ),
    *(
        "𠀀𪜀",
        "\U0002b820x",
        "豈 樂",
        "々〆〇",
        "𝐀𝐛 𝒞 𝟘",
        "🄰 🅰",
        "ⓐⒶ",
        "ᵃᵇ",
        "ᴀʙᴄ",
        "𛀀",
        "〱 〲",
        "ㄅㄆ",
    ),
]
SYMBOLS = [
    *(
        "🙂",
        "👩‍👩‍👧‍👦",
        "👍🏽",
        "🇩🇪🇫🇷",
        "❤️",
        "☺︎ ☺️",
        "tea🍵cup",
        "🙂" * 25,
        "🙂" * 26,
        "1️⃣",
        "✂️✈",
        "♥♦",
    ),
    *(
        "don't stop-it",
        "a.b,c;d:e",
        "'quoted' \"double\"",
        "‘curly’ “double”",
        "«guillemets»",
        "a—b–c-d",
    ),
    *(
        "$5 €6 £7 ¥8",
        "50% off!",
        "C++ C#",
        "a/b\\c",
        "snake_case",
        "e-mail@host.com",
        "#tag @user",
        "~`^|",
    ),
    *(
        "¿Qué? ¡Sí!",
        "a·b•c",
        "×÷±",
        "→←↑",
        "<b>html</b>",
        "{json: [1]}",
        "1,234.56",
        "3:30pm",
        "§ ¶ †‡",
    ),
    *(
        "[SEP]",
        "[CLS] a [MASK]",
        "[PAD][UNK]",
        "a[SEP]b",
        "[sep]",
        "##s",
        "## s",
        "[unused1]",
        "<s></s>",
    ),
]
SPACES = [
    *(
        "",
        " ",
        "   ",
        "\t",
        "\n",
        "\r\n",
        " tea ",
        "a  b",
        "a\tb\nc",
        "a\u00a0b",
        "a\u3000b",
        "a\u2028b",
    ),
    *(
        "a\u2029b",
        "a\u0085b",
        "a\x0bb",
        "a\x0cb",
        "a\u1680b",
        "a\u2003b",
        "a\u202fb",
        "a\u205fb",
        "\u00a0",
    ),
    *(
        "a\u200bb",
        "a\u200cb\u200dc",
        "a\u00adb",
        "\ufeffbom",
        "a\u2060b",
        "a\u180eb",
        "\u200e\u200f",
        "\u034f",
    ),
    *(
        "a\x00b",
        "\x00",
        "\x01\x02",
        "a\x1bb",
        "\x7f",
        "a\x80b\x9f",
        "a\ue000b",
        "\U000f0000",
        "a\U000e0041b",
    ),
    *(
        "a\ufffdb",
        "\ufffd",
        "a\ufffeb",
        "a\uffffb",
        "a\ufdd0b",
        "\u0378",
        "\U0001fbff",
        "a\u0301\u0302b",
        "\u0301",
    ),
]
SIZES = [
    *(
        "a" * 99,
        "a" * 100,
        "a" * 101,
        "x" * 100_000,
        "tea " * 5_000,
        "é" * 50,
        "é" * 100,
        "é" * 101,
    ),
    *(
        "ж" * 50,
        "ж" * 51,
        "a" * 60 + " " + "ж" * 60,
        "ж" * 60 + "tea",
        "漢" * 300,
        "ก" * 33,
        "ก" * 34,
    ),
    *(
        "tea" * 40,
        "!" * 500,
        "a " * 500,
        "a\u0301" * 500,
        "\u200b" * 5_000 + "tea",
        "ab" * 50 + "c",
        "ß" * 50,
    ),
    *("ß" * 51, "İ" * 60, "한" * 16, "한" * 17, "ﬃ" * 34, "\x00" * 10_000, "a-" * 60, "🙂tea" * 30),
]
BYTES = [
    *(
        b"\xff",
        b"a\xffb",
        b"\xff\xfe",
        b"tea\xc3",
        b"\xc3tea",
        b"\xe2\x82",
        b"ab\xe2\x82A",
        b"\xf0\x9f\x99",
    ),
    *(
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"a\xed\xbf\xbfb",
        b"\xf4\x90\x80\x80",
    ),
    *(
        b"\xf5\x80\x80\x80",
        b"\x80\x81",
        b"a\xf8\x88\x80\x80\x80b",
        b"caf\xe9",
        b"\xa35",
        b"\xff" * 500,
    ),
    *(
        b"\x00\xff\x00",
        b"\xef\xbf\xbe",
        b"\xef\xbb\xbftea",
        b"\xc3\x28",
        b"\xe2\x28\xa1",
        b"\xf0\x28\x8c\xbc",
    ),
]
HARD: list[str | bytes] = [*LATIN, *SCRIPTS, *SYMBOLS, *SPACES, *SIZES, *BYTES]

LOCAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def as_bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", errors="surrogatepass")


def spelled(texts: list[str | bytes]) -> list[str]:
    """A vocabulary in which every character of `texts` is a piece, so that none hides in [UNK]."""
    letters: dict[str, None] = {}
    for text in texts:
        plain = text if isinstance(text, str) else text.decode(errors="replace")
        for form in (plain, plain.lower(), unicodedata.normalize("NFD", plain).lower()):
            letters.update(dict.fromkeys(form))
    kept = [x for x in letters if unicodedata.category(x)[0] != "Z" and not _is_dropped(x)]
    return list(dict.fromkeys([*LOCAL, *kept, *("##" + letter for letter in kept), "tea", "##s"]))


def _is_dropped(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co")


def padded(ids: np.ndarray, mask: np.ndarray) -> list[list[int]]:
    """The rows without their padding, which is [PAD] after a run of ones in the mask."""
    assert np.all(np.diff(mask, axis=1) <= 0)
    assert np.all(ids[mask == 0] == LOCAL.index("[PAD]"))
    return [row[:count].tolist() for row, count in zip(ids, mask.sum(axis=1), strict=True)]


def check(vocab: list[str], texts: list[str | bytes], max_tokens: int, lowercase: bool) -> None:
    outside = Tokenizer(vocab, lowercase=lowercase, max_tokens=max_tokens)
    inside = graph_tokenizer(vocab, max_tokens, lowercase=lowercase)
    ids, mask = outside(texts)
    got_ids, got_mask = (
        side.numpy() for side in inside(tf.constant([as_bytes(text) for text in texts]))
    )
    assert got_ids.dtype == got_mask.dtype == np.int32
    for text, row, got in zip(texts, padded(ids, mask), padded(got_ids, got_mask), strict=True):
        if row != got:
            pieces = [vocab[token] for token in row], [vocab[token] for token in got]
            pytest.fail(f"{ascii(text)[:200]}: {pieces[0]} outside, {pieces[1]} inside")
    assert got_ids.shape == ids.shape


def test_there_are_enough_hard_strings() -> None:
    assert len({as_bytes(text) for text in HARD}) >= 200


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("max_tokens", [2, 3, 24, 512])
def test_hard_strings(max_tokens: int, lowercase: bool) -> None:
    check(spelled(HARD), HARD, max_tokens, lowercase)


@pytest.mark.network
def test_hard_strings_with_the_real_vocabulary(minilm: Path) -> None:
    vocab = Tokenizer.from_vocab(minilm / "vocab.txt").vocab
    for max_tokens in (8, 128):
        check(vocab, HARD, max_tokens, lowercase=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.text(max_size=60), st.binary(max_size=40)), min_size=1, max_size=20))
def test_any_text_and_any_bytes(texts: list[str | bytes]) -> None:
    check(spelled([*texts, "tea"]), texts, 24, lowercase=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(alphabet="aé Σς'-!ж漢\u0301\u200b\x00ß", max_size=300), min_size=1))
def test_long_words_of_mixed_width(texts: list[str]) -> None:
    check(spelled([*texts, "tea"]), list(texts), 24, lowercase=True)


@pytest.mark.slow
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_code_point(lowercase: bool) -> None:
    """Each one at the start, inside and at the end of a word."""
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    for begin in range(0, len(points), 25_000):
        letters = [chr(point) for point in points[begin : begin + 25_000]]
        vocab = spelled([*letters, "ab"])
        check(vocab, [f"{letter}a{letter}b{letter}" for letter in letters], 24, lowercase)


def test_normalise_keeps_the_shape() -> None:
    texts = tf.constant([["TÉA", ""], ["½", "a\tb"]])
    assert normalise(texts).numpy().tolist() == [[b"tea", b""], ["½".encode(), b"a b"]]
    assert normalise(tf.constant("ΟΔΟΣ")).numpy().decode() == "οδοσ"


def test_lower_casing_does_not_ask_for_the_place_in_the_word() -> None:
    assert normalise(tf.constant(["ΑΣ", "ας", "IİI"])).numpy().tolist() == [
        *("ασ".encode(), "ας".encode(), b"iii")
    ]


def test_no_texts_give_no_rows(vocab: list[str]) -> None:
    ids, mask = graph_tokenizer(vocab, 8)(tf.constant([], tf.string))
    assert ids.shape == mask.shape == (0, 2)


def test_a_saved_graph_has_two_ops_of_tf_text_and_plain_ones(
    vocab: list[str], tmp_path: Path
) -> None:
    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokenizer = graph_tokenizer(vocab, 8)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def serve(self, text):
            ids, mask = self.tokenizer(text)
            return {"ids": ids, "mask": mask}

    served = Served()
    tf.saved_model.save(served, str(tmp_path / "1"), signatures=served.serve)
    loaded = tf.saved_model.load(str(tmp_path / "1")).signatures["serving_default"]
    texts = ["Green TÉA!", "", "cups " * 10]
    got = loaded(text=tf.constant(texts))
    ids, mask = Tokenizer(vocab, max_tokens=8)(texts)
    np.testing.assert_array_equal(got["ids"], ids)
    np.testing.assert_array_equal(got["mask"], mask)
    ops = {op.type for op in served.serve.get_concrete_function().graph.get_operations()}
    unusual = {"FastWordpieceTokenizeWithOffsets", "NormalizeUTF8"}
    assert {op for op in ops if op.startswith(("Fast", "TFText", "Normalize", "Ragged"))} <= {
        *unusual,
        "RaggedTensorToTensor",
    }
    assert unusual <= ops


def test_no_room_for_a_text_is_an_error(vocab: list[str]) -> None:
    with pytest.raises(UsageError, match="max_tokens must be at least 2"):
        graph_tokenizer(vocab, 1)
