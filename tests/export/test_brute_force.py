"""Lists of the served recommender against every dot product in numpy."""

from __future__ import annotations

import numpy as np
import pytest

K = 20


@pytest.fixture(scope="module")
def histories(trained) -> list[np.ndarray]:
    """Of 0, 1 and more items than the tower reads."""
    random = np.random.default_rng(4)
    longest = trained.config.history_items + 3
    return [random.permutation(len(trained.item_ids))[:length] for length in (0, 1, 4, longest)]


@pytest.mark.parametrize("signature", ["serving_default", "from_item_ids"])
def test_lists(served, trained, histories, signature: str) -> None:
    # rows 3 and 7 share their text, of which a history of texts knows the first alone
    names = trained.item_ids if signature == "from_item_ids" else trained.texts
    request = np.full((len(histories), max(map(len, histories))), "", object)
    for user, rows in enumerate(histories):
        request[user, : len(rows)] = names[rows]
    alias = "item_ids" if signature == "from_item_ids" else "history"
    exclude = np.array([[str(trained.item_ids[9])]] * len(histories), object)
    answer = served["recommender"](signature, **{alias: request, "exclude": exclude})

    distinct = [list(dict.fromkeys(names[rows])) for rows in histories]
    first = {name: row for row, name in reversed(list(enumerate(names)))}
    read = [np.array([first[name] for name in known], np.int64) for known in distinct]
    for user, people in enumerate(trained.embed_histories(read)):
        scores = np.array([float(np.dot(people.astype(np.float64), v)) for v in trained.vectors])
        seen = np.isin(names, distinct[user])
        scores[seen | trained.blocked | (np.arange(len(scores)) == 9)] = -np.inf
        best = np.argsort(-scores, kind="stable")[:K]
        np.testing.assert_allclose(answer["scores"][user], scores[best], atol=2e-6)
        found = [raw.decode() for raw in answer["item_ids"][user]]
        assert found == [str(trained.item_ids[row]) for row in best]


def test_a_score_has_neither_weight_nor_rest(served, trained) -> None:
    request = np.array([[str(trained.item_ids[4])]], object)
    (person,) = served["user_tower"]("from_item_ids", item_ids=request)["embedding"]
    assert person[-2:].tolist() == [0, 0]
    assert np.linalg.norm(person) == pytest.approx(1, abs=1e-5)
