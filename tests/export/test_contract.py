"""The public contract, spelled out once more by hand, and read back from the files."""

from __future__ import annotations

from dualtower_export import contract
from dualtower_export.saved_model import read_signatures

DESCRIBE = (
    {"ask": ("string", [None])},
    {
        "fingerprint": ("string", [None]),
        "bundle_version": ("int64", [None]),
        "dim": ("int32", [None]),
        "history_items": ("int32", [None]),
        "item_tokens": ("int32", [None]),
        "k_max": ("int32", [None]),
        "model": ("string", [None]),
    },
)
TOKENS = {"ids": ("int32", [None, None]), "mask": ("int32", [None, None])}
EMBEDDING = {"embedding": ("float32", [None, 32])}
RANKING = {"item_ids": ("string", [None, 20]), "scores": ("float32", [None, 20])}
STRINGS = ("string", [None, None])
EXPECTED = {
    "user_tower": {
        "serving_default": ({"history": STRINGS}, EMBEDDING),
        "from_item_ids": ({"item_ids": STRINGS}, EMBEDDING),
        "from_tokens": (TOKENS, EMBEDDING),
        "describe": DESCRIBE,
    },
    "item_tower": {
        "serving_default": ({"text": ("string", [None])}, EMBEDDING),
        "from_tokens": (TOKENS, EMBEDDING),
        "describe": DESCRIBE,
    },
    "recommender": {
        "serving_default": ({"history": STRINGS, "exclude": STRINGS}, RANKING),
        "from_item_ids": ({"item_ids": STRINGS, "exclude": STRINGS}, RANKING),
        "describe": DESCRIBE,
    },
}


def test_names_dtypes_and_shapes_are_in_the_files(bundle) -> None:
    for model, signatures in EXPECTED.items():
        found = read_signatures(bundle.model_path(model) / "1")
        assert {
            name: (facts["inputs"], facts["outputs"]) for name, facts in found.items()
        } == signatures


def test_only_describe_has_a_default_and_it_is_in_the_file(bundle) -> None:
    for model in EXPECTED:
        for name, facts in read_signatures(bundle.model_path(model) / "1").items():
            wanted = {"ask": ("string", [1])} if name == "describe" else {}
            assert facts["defaults"] == wanted


def test_the_manifest_carries_the_contract_without_sizes(bundle) -> None:
    signatures = bundle.manifest["space"]["signatures"]
    assert signatures == contract.as_json()
    recommend = signatures["recommender"]["serving_default"]
    assert recommend["outputs"]["scores"] == "float32 [batch, k_max]"
    assert recommend["inputs"]["exclude"] == "string [batch, any]"
