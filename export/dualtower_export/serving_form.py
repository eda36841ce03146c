"""How the served encoder is written: the choices of `serving_bert`, without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COMPUTE_DTYPES", "FEW_TOKENS", "ServingForm"]

COMPUTE_DTYPES = ("float32", "bfloat16", "float16")

# Up to so many tokens oneDNN chooses one packed layout for a weight, from 128 on another; in the
# wrong one a single text takes twice to three times as long, a batch of four 1.3 times.
FEW_TOKENS = 64


@dataclass(frozen=True)
class ServingForm:
    """The form of one encoder in a graph.

    Attributes:
        constants: weights as constants, which oneDNN packs once; else as variables, which it packs
            on every call, but of which a session keeps one copy instead of several.
        copies: of the layers as constants. oneDNN keeps one packed layout a MatMul, that of the
            first call: with 2, few tokens and many have layers of their own, and the file is the
            size of all layers larger (43 MB for MiniLM). With 1 the first call after a load
            decides; the warm-up file begins with a single text.
        shards: parts of a layer that need one another only in two sums, so that as many threads of
            a server run them side by side; cut to what divides the heads. An op that is split among
            threads wakes and waits for them every time, which gains little where it takes a tenth
            of a millisecond.
        dtype: what the layers compute in, one of COMPUTE_DTYPES; float32 goes in and out.
    """

    constants: bool = True
    copies: int = 2
    shards: int = 2
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.copies not in (1, 2):
            raise ValueError(f"copies must be 1 or 2, got {self.copies}")
        if self.shards < 1:
            raise ValueError(f"shards must be at least 1, got {self.shards}")
        if self.dtype not in COMPUTE_DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(COMPUTE_DTYPES)}, got {self.dtype}")
