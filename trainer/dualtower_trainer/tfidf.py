"""TF-IDF of texts: a baseline, and the teacher of the tiny encoder.

Terms are words and pairs of neighbouring words, without punctuation; weights are (1 + log tf) ·
(log((1 + n) / (1 + df)) + 1) and rows have unit length (Salton and Buckley 1988,
https://doi.org/10.1016/0306-4573(88)90021-0).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from dualtower_trainer.wordpiece import words_of

__all__ = ["tfidf_matrix"]

_HAS_WORD = re.compile(r"\w")


def tfidf_matrix(texts: Sequence[str], *, min_texts: int = 1) -> sparse.csr_matrix:
    """TF-IDF of n texts, float32 [n, terms], rows of unit length; a row without terms is zero.

    A term counts only if it is in `min_texts` texts. Above 1 that drops what a text shares with no
    other, which shortens what is left to compare.
    """
    rows = [_terms(text) for text in texts]
    texts_with = Counter(term for row in rows for term in row)
    columns = {
        term: column
        for column, term in enumerate(sorted(t for t, n in texts_with.items() if n >= min_texts))
    }
    indptr, indices, values = [0], [], []
    for row in rows:
        for term, count in sorted(row.items()):
            if term in columns:
                idf = np.log((1 + len(texts)) / (1 + texts_with[term])) + 1
                indices.append(columns[term])
                values.append((1 + np.log(count)) * idf)
        indptr.append(len(indices))
    matrix = sparse.csr_matrix(
        (np.asarray(values, np.float64), indices, indptr), shape=(len(texts), len(columns))
    )
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    scale = sparse.diags(1.0 / np.where(lengths > 0, lengths, 1.0))
    return sparse.csr_matrix(scale @ matrix, dtype=np.float32)


def _terms(text: str) -> Counter[str]:
    words = [word for word in words_of(text) if _HAS_WORD.search(word)]
    pairs = (f"{first} {second}" for first, second in itertools.pairwise(words))
    return Counter([*words, *pairs])
