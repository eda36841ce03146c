"""A later log as the future: what counts as a target, and what is said about the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.data import Catalogue, Interactions
from dualtower_trainer.later_log import read_candidates, read_later_log


@pytest.fixture
def catalogue() -> Catalogue:
    ids = np.array(["a", "b", "c", "new", "banned"], object)
    return Catalogue(ids, ids.copy(), None, ids == "banned")


@pytest.fixture
def known() -> Interactions:
    """ann took b and then a; bob took c."""
    return Interactions(
        np.array([0, 0, 1], np.int32),
        np.array([0, 1, 2], np.int32),
        np.array([200, 100, 150], np.int64),
        np.ones(3, np.float32),
        np.array(["ann", "bob", "cid"], object),
    )


WARM = np.array([True, True, True, False, False])


def test_a_missing_column_is_named_without_an_option_that_is_not_there(
    tmp_path: Path, catalogue: Catalogue, known: Interactions
) -> None:
    path = tmp_path / "later.csv"
    path.write_text("user,item_id\nann,a\n")
    with pytest.raises(DataError, match="no column 'user_id', it has 'user', 'item_id'; rename"):
        read_later_log(path, catalogue, known, WARM)


def test_targets_are_what_the_user_did_not_take_before(
    tmp_path: Path, catalogue: Catalogue, known: Interactions
) -> None:
    path = tmp_path / "later.csv"
    path.write_text(
        "user_id,item_id,timestamp\n"
        "bob,a,300\nann,new,301\nann,a,302\nbob,a,303\nann,c,304\nbob,banned,305\n"
        "zoe,b,306\nbob,lost,307\ncid,b,10\nbob,c,308\n"
    )
    later = read_later_log(path, catalogue, known, WARM)
    held = later.heldout
    assert held.user_ids.tolist() == ["ann", "bob", "cid", "zoe"]
    assert held.users.tolist() == [0, 1, 2, -1]
    assert [history.tolist() for history in held.histories] == [[0, 1], [2], [], []]
    assert [rows.tolist() for rows in held.warm_targets] == [[2], [0], [1], [1]]
    assert [rows.tolist() for rows in held.cold_targets] == [[3], [], [], []]
    report = later.report
    assert report["rows"] == 10
    assert report["unusable_rows"] == {"unknown item": 1}
    assert report["pairs_known_from_training"] == 2
    assert report["pairs_with_blocked_items"] == 1
    assert report["repeated_rows"] == 1
    assert (report["users"], report["new_users"]) == (4, 1)
    assert (report["warm_targets"], report["cold_targets"]) == (4, 1)
    assert report["rows_not_later_than_training"] == 1


def test_a_log_without_times_will_do(
    tmp_path: Path, catalogue: Catalogue, known: Interactions
) -> None:
    path = tmp_path / "later.tsv"
    path.write_text("user_id\titem_id\nbob\ta\n")
    later = read_later_log(path, catalogue, known, WARM)
    assert later.heldout.user_ids.tolist() == ["bob"]
    assert later.report["rows_not_later_than_training"] == 0


def test_a_log_that_says_nothing_new_is_refused(
    tmp_path: Path, catalogue: Catalogue, known: Interactions
) -> None:
    path = tmp_path / "later.csv"
    path.write_text("user_id,item_id\nann,a\nbob,banned\n")
    with pytest.raises(DataError, match="has no target"):
        read_later_log(path, catalogue, known, WARM)


def test_candidates_are_ids_of_the_catalogue(tmp_path: Path, catalogue: Catalogue) -> None:
    path = tmp_path / "candidates.txt"
    path.write_text("b\nnew\nelsewhere\n")
    chosen, lacking = read_candidates(path, catalogue)
    assert chosen.tolist() == [False, True, False, True, False]
    assert lacking == 1
    path.write_text("x\ny\n")
    with pytest.raises(DataError, match="none of the 2 ids"):
        read_candidates(path, catalogue)
