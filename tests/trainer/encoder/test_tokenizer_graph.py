"""The tokeniser in the graph gives the ids of the one outside, on everything we could think of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dualtower.edge.tokenizer import Tokenizer

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


def test_there_are_enough_hard_strings() -> None:
    assert len({text if isinstance(text, bytes) else text.encode() for text in HARD}) >= 200


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("max_tokens", [2, 3, 24, 512])
def test_hard_strings(
    max_tokens: int,
    lowercase: bool,
    check_graph: Callable[..., None],
    spelled: Callable[..., list[str]],
) -> None:
    check_graph(spelled(HARD), HARD, max_tokens, lowercase)


@pytest.mark.network
def test_hard_strings_with_the_real_vocabulary(
    minilm: Path, check_graph: Callable[..., None]
) -> None:
    vocab = Tokenizer.from_vocab(minilm / "vocab.txt").vocab
    for max_tokens in (8, 128):
        check_graph(vocab, HARD, max_tokens, lowercase=True)
