"""Why a run recommends items to a user: which items of the history, and which words, did it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtower.errors import DataError, UsageError
from dualtower.progress import say
from dualtower_trainer.candidates import choose_candidates
from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.explain.attribution import (
    Attribution,
    Explanation,
    ItemExplanation,
    Player,
)
from dualtower_trainer.explain.games import (
    TextReader,
    history_game,
    score_in_history,
    word_game,
)
from dualtower_trainer.explain.shapley import (
    MOST_EXACT_PLAYERS,
    Game,
    Shapley,
    exact_shapley,
    sampled_shapley,
)
from dualtower_trainer.explain.words import words_of
from dualtower_trainer.recommend_offline import rank_users
from dualtower_trainer.scoring_towers import towers_of
from dualtower_trainer.user_histories import read_histories

__all__ = ["ExplainConfig", "explain"]


@dataclass(frozen=True)
class ExplainConfig:
    """Section [explain].

    Attributes:
        exact_items: histories up to so many items get exact values, longer ones sampled values.
        exact_words: the same for the words of a text.
        item_blocks: blocks of eight random orders that sample a history; each order asks the user
            tower once for each item.
        word_blocks: the same for a text; each order asks the encoder once for each word.
        word_items: of the history, so many of the most influential items have their words
            explained.
        seed: of the orders.
    """

    exact_items: int = 10
    exact_words: int = 8
    item_blocks: int = 16
    word_blocks: int = 6
    word_items: int = 2
    seed: int = 7

    def __post_init__(self) -> None:
        for name, low, high in (
            ("exact_items", 0, MOST_EXACT_PLAYERS), ("exact_words", 0, MOST_EXACT_PLAYERS - 1),
            ("item_blocks", 2, 100_000), ("word_blocks", 2, 100_000), ("word_items", 0, 1000),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low} to {high}, got {value}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")


def explain(
    trained: Trained,
    data: Path,
    user_id: str,
    *,
    item_id: str | None = None,
    k: int = 5,
    config: ExplainConfig | None = None,
) -> Explanation:
    """Explains one item to a user, or the k best of the user's recommendations.

    Args:
        trained: the run.
        data: the folder with the user's history.
        user_id: unknown users are explained by the fallback that they get.
        item_id: an item of the run's catalogue.
        k: without `item_id`, how many recommendations.

    Raises:
        UsageError: the run has no such item, or `k` is below 1.
        DataError: the data cannot be read, or nothing is left to recommend.
    """
    config = config or ExplainConfig()
    if k < 1:
        raise UsageError(f"k must be at least 1, got {k}")
    histories = read_histories(data, [user_id])
    history = histories.places_in(trained.item_ids)[0]
    if not len(history):
        say(f"  nothing is known of user {user_id!r}: the learned fallback speaks for them")
    towers = towers_of(trained)
    candidates = choose_candidates(
        towers, None,
        blocked_ids=frozenset(histories.catalogue.item_ids[histories.catalogue.blocked]),
    )  # fmt: skip
    ranked = next(rank_users(towers, candidates, histories, len(candidates.item_ids)))
    order = list(candidates.item_ids[ranked])
    chosen = order[:k] if item_id is None else [_known(trained, item_id)]
    if not chosen:
        raise DataError(f"user {user_id!r} has taken every item: nothing is left to recommend")
    rows = np.array([trained.catalogue.rows[item] for item in chosen], np.int64)
    ranks = {item: place + 1 for place, item in enumerate(order)}
    read = history[: trained.config.history_items]
    if len(read) < len(history):
        say(f"  the {len(read)} most recent of {len(history)} items are read, no other counts")
    solved = _solve(
        history_game(trained, read, trained.vectors[rows]), len(read),
        config.exact_items, config.item_blocks, config.seed,
    )  # fmt: skip
    texts = TextReader(towers.embed_texts)
    user = trained.embed_histories([read])[0].astype(np.float64)
    items = []
    for place, row in enumerate(rows):
        names = [("item", str(trained.item_ids[at]), str(trained.texts[at])) for at in read]
        by_history = _attribution(solved, place, names)
        influence = np.argsort(-np.abs(solved.values[:, place]), kind="stable")
        items.append(
            ItemExplanation(
                item_id=str(trained.item_ids[row]),
                text=str(trained.texts[row]),
                rank=ranks.get(trained.item_ids[row]),
                score=by_history.full,
                history=by_history,
                words=_explain_words(trained, row, lambda v: (v @ user)[:, None], texts, config),
                history_words={
                    str(trained.item_ids[read[at]]): _explain_words(
                        trained, read[at],
                        score_in_history(trained, read, int(at), trained.vectors[row]),
                        texts, config,
                    )
                    for at in influence[: config.word_items]
                },
            )
        )  # fmt: skip
    return Explanation(user_id, len(history), len(read), tuple(items))


def _explain_words(
    trained: Trained,
    row: int,
    score: Callable[[np.ndarray], np.ndarray],
    read: TextReader,
    config: ExplainConfig,
) -> Attribution:
    # a word is a token at least, so that no word beyond these is read
    words = words_of(str(trained.texts[row]), most=trained.max_tokens)
    with_id = bool(trained.warm[row])
    game = word_game(words, trained.vectors[row], with_id=with_id, read=read, score=score)
    names = [("word", word, "") for word in words.words]
    names += [("id", str(trained.item_ids[row]), words.text)] * with_id
    solved = _solve(game, len(names), config.exact_words + with_id, config.word_blocks, config.seed)
    return _attribution(solved, 0, names)


def _solve(game: Game, players: int, exact_players: int, blocks: int, seed: int) -> Shapley:
    if players <= exact_players:
        return exact_shapley(game, players)
    return sampled_shapley(game, players, blocks=blocks, seed=seed)


def _attribution(solved: Shapley, target: int, names: list[tuple[str, str, str]]) -> Attribution:
    return Attribution(
        players=tuple(
            Player(kind, name, text, float(value), float(error))
            for (kind, name, text), value, error in zip(
                names, solved.values[:, target], solved.errors[:, target], strict=True
            )
        ),
        empty=float(solved.empty[target]),
        full=float(solved.full[target]),
        exact=solved.exact,
    )


def _known(trained: Trained, item_id: str) -> str:
    if item_id in trained.catalogue.rows:
        return item_id
    near = difflib.get_close_matches(item_id, list(trained.item_ids), n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give an item_id of its catalogue"
    raise UsageError(f"{trained.path} has no item {item_id!r}; {hint}")
