"""Which version or replica answered each request: "OK 2" in place of "OK" in what a load saw."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from dualtower_benchmarks.load.samples import OK, Samples

__all__ = ["answers_by", "plain", "who_answered"]


def plain(samples: Samples) -> Samples:
    """The same requests, every answer an "OK"."""
    status = np.where(_answered(samples), OK, samples.status)
    return replace(samples, status=status)


def who_answered(samples: Samples) -> npt.NDArray[np.str_]:
    """[n]: what stands behind "OK"; "" where nobody answered."""
    ours = _answered(samples)
    return np.where(ours, np.char.partition(samples.status, " ")[:, 2], "")


def answers_by(samples: Samples) -> dict[str, int]:
    """Answers by version or replica, in the order of their names."""
    return dict(sorted(Counter(who for who in who_answered(samples).tolist() if who).items()))


def _answered(samples: Samples) -> npt.NDArray[np.bool_]:
    return np.char.startswith(samples.status, f"{OK} ") | samples.answered
