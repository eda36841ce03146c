"""What an index needs of a backend. Whatever comes in has been checked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dualtower_clients.index.filters import Keep
from dualtower_clients.index.index_file import Saved
from dualtower_clients.index.items import Items
from dualtower_clients.index.results import SearchResult

__all__ = ["Store"]


class Store(Protocol):
    """Holds items and ranks them. Threads may share one."""

    def __len__(self) -> int: ...

    def known(self, item_ids: Sequence[str]) -> list[str]:
        """Those of the ids that are here, in their order."""
        ...

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        exclude: Sequence[Collection[str]],
        keep: Keep | None,
    ) -> list[SearchResult]:
        """The k best items for each of at least one query."""
        ...

    def put(self, items: Items, *, replace: bool) -> None:
        """Adds items. One that is here is an error, or keeps its place and is replaced."""
        ...

    def remove(self, item_ids: Sequence[str]) -> None:
        """Takes items out; one that is not here is an error."""
        ...

    def saved(self) -> Saved:
        """All that is here."""
        ...

    def close(self) -> None: ...
