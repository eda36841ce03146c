"""Which folders are versions, and which of them a policy wants."""

from __future__ import annotations

import pytest

from dualtower_clients.proto.management_pb2 import ServableVersionPolicy
from dualtower_serving.embedded.versions import VersionPolicy, choose, on_disk, policy_of

FOUND = {1: "1", 2: "2", 7: "00007", 10: "10"}


def test_only_integers_are_versions(tmp_path):
    for name in ("1", "00007", "7.tmp", "v6", "6.0", "-3", "", "٣", "9" * 30, "+4", " 5"):
        if name:
            (tmp_path / name).mkdir()
    assert on_disk(str(tmp_path)) == {
        1: str(tmp_path / "1"),
        7: str(tmp_path / "00007"),
        4: str(tmp_path / "+4"),
    }


def test_two_names_of_one_version_are_one(tmp_path):
    for name in ("7", "007"):
        (tmp_path / name).mkdir()
    assert list(on_disk(str(tmp_path))) == [7]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        on_disk(str(tmp_path / "gone"))


@pytest.mark.parametrize(
    ("policy", "want"),
    [
        (VersionPolicy(), [10]),
        (VersionPolicy(count=2), [7, 10]),
        (VersionPolicy(count=99), [1, 2, 7, 10]),
        (VersionPolicy("all"), [1, 2, 7, 10]),
        (VersionPolicy("specific", versions=frozenset({2, 10, 55})), [2, 10]),
    ],
)
def test_policies(policy, want):
    chosen = choose(policy, FOUND)
    assert sorted(chosen) == want
    assert all(chosen[version] == FOUND[version] for version in want)
    assert choose(policy, {}) == {}


def test_policies_are_read_from_the_configuration():
    assert policy_of(ServableVersionPolicy()) == VersionPolicy("latest", 1)
    assert policy_of(ServableVersionPolicy(latest={})) == VersionPolicy("latest", 1)
    assert policy_of(ServableVersionPolicy(latest={"num_versions": 3})) == VersionPolicy(count=3)
    assert policy_of(ServableVersionPolicy(all={})) == VersionPolicy("all")
    specific = policy_of(ServableVersionPolicy(specific={"versions": [2, 3]}))
    assert specific == VersionPolicy("specific", versions=frozenset({2, 3}))
