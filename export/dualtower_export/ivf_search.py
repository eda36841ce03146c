"""Search in an inverted file inside of a graph, in ops of core TensorFlow alone.

One user after the other: the best `probes` lists by their centres, all items of these lists, the k
best of them. Where excluded items leave fewer than k in the lists, as many further lists are read
as it takes: a list is short only where the catalogue has no item left.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from dualtower_export.best_rows import Best
from dualtower_export.exact_search import score_again
from dualtower_export.index_codes import Codes
from dualtower_export.ivf_lists import IvfLists

__all__ = ["IvfSearch"]

_NOWHERE = -1
_AT_ONCE = 4  # users whose loops may overlap, where there are threads for it


class IvfSearch(tf.Module):
    """Ranks the items of the most promising lists.

    Args:
        lists: of the items that may be recommended.
        vectors: float32 [n, dim] of the whole catalogue, shared with the history lookup.
        codes: of the tastes of all n items, kept a second time in the order of the lists, so that
            a list is read in one piece and in fewer bytes; None scores rows of `vectors`.
        k: length of the lists that are returned.
        probes: lists that are read, cut to those there are.
        oversample: with codes, how many times k items are scored again in float32.
    """

    def __init__(
        self,
        lists: IvfLists,
        vectors: tf.Variable,
        codes: Codes | None,
        k: int,
        probes: int,
        oversample: int,
    ) -> None:
        super().__init__(name="ivf_search")
        members, count = lists.members, int(vectors.shape[0])
        self._vectors, self._k = vectors, k
        self._probes, self._candidates = min(probes, len(lists.sizes)), k * oversample
        self._centres = tf.constant(lists.centres)
        self._bonus = tf.constant(lists.bonus)
        self._starts, self._sizes = tf.constant(lists.starts), tf.constant(lists.sizes)
        self._members = tf.Variable(members, trainable=False, name="members")
        list_of_row, place_of_row = (np.full(count, _NOWHERE, np.int32) for _ in range(2))
        list_of_row[members] = lists.list_of_member
        place_of_row[members] = np.arange(len(members), dtype=np.int32)
        self._list_of_row = tf.Variable(list_of_row, trainable=False, name="list_of_row")
        self._place_of_row = tf.Variable(place_of_row, trainable=False, name="place_of_row")
        self._codes = self._scales = None
        if codes is not None:
            self._codes = tf.Variable(codes.values[members], trainable=False, name="codes")
            if codes.scales is not None:
                self._scales = tf.Variable(codes.scales[members], trainable=False, name="scales")

    def __call__(self, users: tf.Tensor, excluded: tf.Tensor) -> Best:
        """The best rows of users float32 [batch, dim]; arguments and answer as of `ExactSearch`."""
        return self.by_probes(users, excluded, self._probes)

    def by_probes(self, users: tf.Tensor, excluded: tf.Tensor, probes: int) -> Best:
        """The same with another number of probes, at most that of the lists."""

        def one(place: tf.Tensor) -> Best:
            mine = tf.boolean_mask(excluded[:, 1], tf.equal(excluded[:, 0], place))
            return self._of_one(users[place], mine, probes)

        return tf.map_fn(
            one,
            tf.range(tf.shape(users)[0]),
            fn_output_signature=(
                tf.TensorSpec([self._k], tf.float32),
                tf.TensorSpec([self._k], tf.int32),
            ),
            parallel_iterations=_AT_ONCE,
        )

    def _of_one(self, user: tf.Tensor, mine: tf.Tensor, probes: int) -> Best:
        """The best rows of one user float32 [dim], without the rows `mine` int32 [e]."""
        mine, _ = tf.unique(mine)
        lists = tf.gather(self._list_of_row.read_value(), mine)
        mine, lists = (tf.boolean_mask(part, lists >= 0) for part in (mine, lists))
        probed = self._probed(user, lists, probes)
        starts, sizes = tf.gather(self._starts, probed), tf.gather(self._sizes, probed)
        places = tf.raw_ops.RaggedRange(
            starts=starts, limits=starts + sizes, deltas=tf.constant(1), Tsplits=tf.int32
        ).rt_dense_values
        shift = tf.cumsum(sizes, exclusive=True) - starts
        scores = self._scores(user, places)
        scores = self._without(scores, mine, lists, probed, shift)
        return self._best(user, scores, places)

    def _probed(self, user: tf.Tensor, lists: tf.Tensor, probes: int) -> tf.Tensor:
        """int32 lists to read, best first: `probes`, or more where too many items are excluded."""
        promise = tf.linalg.matvec(self._centres, user[: self._centres.shape[1]]) + self._bonus
        _, probed = tf.math.top_k(promise, probes)
        gone = tf.math.unsorted_segment_sum(
            tf.ones_like(lists), lists, num_segments=self._sizes.shape[0]
        )
        left = self._sizes - gone
        needed = tf.minimum(self._k, tf.reduce_sum(left))

        def further() -> tf.Tensor:
            _, order = tf.math.top_k(promise, self._sizes.shape[0])
            short = tf.cast(tf.cumsum(tf.gather(left, order)) < needed, tf.int32)
            return order[: tf.reduce_sum(short) + 1]

        enough = tf.reduce_sum(tf.gather(left, probed)) >= needed
        return tf.cond(enough, lambda: probed, further)

    def _scores(self, user: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        if self._codes is None:
            rows = tf.gather(self._members.read_value(), places)
            return tf.linalg.matvec(tf.gather(self._vectors.read_value(), rows), user)
        codes = tf.cast(tf.gather(self._codes.read_value(), places), tf.float32)
        scores = tf.linalg.matvec(codes, user[: self._codes.shape[1]])
        return (
            scores
            if self._scales is None
            else scores * tf.gather(self._scales.read_value(), places)
        )

    def _without(
        self,
        scores: tf.Tensor,
        mine: tf.Tensor,
        lists: tf.Tensor,
        probed: tf.Tensor,
        shift: tf.Tensor,
    ) -> tf.Tensor:
        """-inf for each excluded row, at its place among the scores, if its list was read."""
        lost = tf.fill([self._sizes.shape[0]], tf.int32.min)
        shift_of_list = tf.tensor_scatter_nd_update(lost, probed[:, None], shift)
        theirs = tf.gather(shift_of_list, lists)
        read = theirs > tf.int32.min
        at = tf.boolean_mask(tf.gather(self._place_of_row.read_value(), mine) + theirs, read)
        gone = tf.fill([tf.size(at)], tf.constant(-np.inf, tf.float32))
        return tf.tensor_scatter_nd_update(scores, at[:, None], gone)

    def _best(self, user: tf.Tensor, scores: tf.Tensor, places: tf.Tensor) -> Best:
        """The k best by float32 scores; of equal ones the lower row, which lists do not keep."""
        wanted = self._k if self._codes is None else self._candidates
        best, _ = tf.math.top_k(scores, tf.minimum(wanted, tf.size(scores)))
        chosen = tf.where((scores >= best[-1]) & (scores > -np.inf))[:, 0]  # all that tie, too
        rows = tf.gather(self._members.read_value(), tf.gather(places, chosen))
        coarse = tf.gather(scores, chosen)
        scores, rows = score_again(self._vectors, user[None], coarse[None], rows[None], self._k)
        return scores[0], rows[0]
