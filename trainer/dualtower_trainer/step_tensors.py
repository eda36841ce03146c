"""A batch as the compiled step takes it: tensors of fixed types and free sizes."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import tensorflow as tf

from dualtower_trainer.sampling import Batch

__all__ = ["STEP_SIGNATURE", "step_tensors"]

STEP_SIGNATURE = (
    tf.SparseTensorSpec([None, None], tf.float32),  # grams of each row's text
    tf.TensorSpec([None], tf.int32),  # rows
    tf.TensorSpec([None, None], tf.int32),  # history
    tf.TensorSpec([None, None], tf.float32),  # history_mask
    tf.TensorSpec([None, None], tf.int32),  # targets
    tf.TensorSpec([None, None], tf.float32),  # target_mask
    tf.TensorSpec([None], tf.int32),  # candidates
    tf.TensorSpec([None, None], tf.bool),  # accidental
    tf.TensorSpec([None], tf.float32),  # log_expected_count
    tf.TensorSpec([None, None], tf.float32),  # ratings
    tf.TensorSpec([None, None], tf.int32),  # events
    tf.TensorSpec([2], tf.int32),  # seed of the step
)


def step_tensors(
    batch: Batch, bag: sp.csr_matrix, seed: tuple[int, int]
) -> list[tf.Tensor | tf.SparseTensor]:
    """The arguments of a step, in the order of STEP_SIGNATURE.

    Args:
        batch: the batch.
        bag: float32 [items, grams], the weight of each gram in each text; a table's row 0 stands
            for everything without one, so that the grams begin at 1.
        seed: of the run, and the number of the step.
    """
    entries = bag[batch.rows].tocoo()
    places = np.stack([entries.row, entries.col + 1], axis=1).astype(np.int64)
    grams = tf.SparseTensor(places, entries.data, [len(batch.rows), bag.shape[1] + 1])
    arrays = (
        batch.rows, batch.history, batch.history_mask, batch.targets, batch.target_mask,
        batch.candidates, batch.accidental, batch.log_expected_count, batch.ratings, batch.events,
        np.array(seed, np.int32),
    )  # fmt: skip
    return [grams, *(tf.convert_to_tensor(array) for array in arrays)]
