"""The three models that a server loads, with the signatures of `contract.SIGNATURES`.

user_tower    history ─► embedding
item_tower    text    ─► embedding
recommender   history ─► embedding ─► the k best items of the catalogue

The towers are reusable SavedModels as well (https://www.tensorflow.org/hub/reusable_saved_models):
`tensorflow_hub.load` gives something to be called, and `hub.KerasLayer` a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from dualtower_export.catalogue_graph import CatalogueGraph
from dualtower_export.contract import DESCRIBE_INPUT
from dualtower_export.item_graph import ItemGraph
from dualtower_export.retrieval_graph import Retrieval
from dualtower_export.user_graph import UserGraph

__all__ = ["Description", "ItemTowerModel", "RecommenderModel", "UserTowerModel"]


def _strings(rank: int, name: str) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, tf.string, name)


_TOKENS = [tf.TensorSpec([None, None], tf.int32, name) for name in ("ids", "mask")]


@dataclass(frozen=True)
class Description:
    """What a model says of itself when a client asks."""

    model: str
    fingerprint: str
    bundle_version: int
    dim: int
    history_items: int
    item_tokens: int
    k_max: int

    def tensors(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Each fact once a row, shape `rows`."""
        values = {
            "fingerprint": tf.constant(self.fingerprint),
            "bundle_version": tf.constant(self.bundle_version, tf.int64),
            "dim": tf.constant(self.dim, tf.int32),
            "history_items": tf.constant(self.history_items, tf.int32),
            "item_tokens": tf.constant(self.item_tokens, tf.int32),
            "k_max": tf.constant(self.k_max, tf.int32),
            "model": tf.constant(self.model),
        }
        return {name: tf.fill(rows, value) for name, value in values.items()}


class _Describing(tf.Module):
    """A model with the signature `describe`."""

    def __init__(self, description: Description) -> None:
        super().__init__(name=description.model)

        # A default that is a tensor goes into SignatureDef.defaults: the client may leave it out.
        def describe(ask: tf.Tensor = tf.constant([""])) -> dict[str, tf.Tensor]:  # noqa: B008
            return description.tensors(tf.shape(ask))

        self.describe = tf.function(
            describe, input_signature=[_strings(1, DESCRIBE_INPUT)], autograph=False
        )


class _Reusable(_Describing):
    """A tower that TF Hub can load: what it has beyond signatures and `__call__`.

    Nothing of it is trainable, since most weights are constants of the graph. `serving_default`
    goes through `__call__`, so that the file holds that graph, and its vocabulary, once.
    """

    # in place of tf.Module's properties, which a SavedModel does not keep
    variables: Sequence[tf.Variable] = ()
    trainable_variables: Sequence[tf.Variable] = ()

    def __init__(self, description: Description, graph: tf.Module) -> None:
        super().__init__(description)
        self.variables = list(graph.variables)
        self.trainable_variables = []
        self.regularization_losses: list[tf.Tensor] = []


class ItemTowerModel(_Reusable):
    """Texts, or word pieces, to item embeddings."""

    def __init__(self, description: Description, item: ItemGraph) -> None:
        super().__init__(description, item)
        self._item = item

    @tf.function(input_signature=[_strings(1, "text")], autograph=False)
    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        return self._item.of_texts(text)

    @tf.function(input_signature=[_strings(1, "text")], autograph=False)
    def serving_default(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self(text)}

    @tf.function(input_signature=_TOKENS, autograph=False)
    def from_tokens(self, ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self._item.of_tokens(*self._item.tidy(ids, mask))}


class UserTowerModel(_Reusable):
    """Histories to user embeddings."""

    def __init__(self, description: Description, user: UserGraph) -> None:
        super().__init__(description, user)
        self._user = user

    @tf.function(input_signature=[_strings(2, "history")], autograph=False)
    def __call__(self, history: tf.Tensor) -> tf.Tensor:
        embedding, _ = self._user.of_texts(history)
        return embedding

    @tf.function(input_signature=[_strings(2, "history")], autograph=False)
    def serving_default(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self(history)}

    @tf.function(input_signature=[_strings(2, "item_ids")], autograph=False)
    def from_item_ids(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        embedding, _ = self._user.of_item_ids(item_ids)
        return {"embedding": embedding}

    @tf.function(input_signature=_TOKENS, autograph=False)
    def from_tokens(self, ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self._user.of_tokens(ids, mask)}


class RecommenderModel(_Describing):
    """Histories to recommendations: never an item of the history, of `exclude`, or blocked."""

    def __init__(
        self,
        description: Description,
        user: UserGraph,
        catalogue: CatalogueGraph,
        retrieval: Retrieval,
    ) -> None:
        super().__init__(description)
        self._user, self._catalogue, self._retrieval = user, catalogue, retrieval

    @tf.function(input_signature=[_strings(2, "history"), _strings(2, "exclude")], autograph=False)
    def serving_default(self, history: tf.Tensor, exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._recommend(*self._user.of_texts(history), exclude)

    @tf.function(input_signature=[_strings(2, "item_ids"), _strings(2, "exclude")], autograph=False)
    def from_item_ids(self, item_ids: tf.Tensor, exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._recommend(*self._user.of_item_ids(item_ids), exclude)

    def _recommend(
        self, users: tf.Tensor, seen: tf.Tensor, exclude: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        rows = self._catalogue.rows_of_ids(exclude)
        named = tf.where(rows >= 0)
        unwanted = tf.stack([tf.cast(named[:, 0], tf.int32), tf.gather_nd(rows, named)], axis=1)
        item_ids, scores = self._retrieval(users, tf.concat([seen, unwanted], axis=0))
        return {"item_ids": item_ids, "scores": scores}
