"""Where the parts of a pushed bundle lie below its target, for who pushes and for who rolls out.

    TARGET/
      bundles/FINGERPRINT/N/          the bundle but for its models: bundle.json, edge, index, ...
      item_tower/N  recommender/N  user_tower/N      what a server polls

That is also the order in which they become visible. The user tower comes last, because it is what
answers people: when it is there, everything that its vectors are compared with is there, and so
`user_tower/N/saved_model.pb` says that the whole bundle has arrived.
"""

from __future__ import annotations

__all__ = ["BUNDLES", "PUSH_LOCK", "PUSH_ORDER", "bundle_place", "model_place", "place_of"]

BUNDLES = "bundles"
PUSH_LOCK = ".push.lock"  # held by who adds versions to a target, or takes them away
PUSH_ORDER = ("item_tower", "recommender", "user_tower")


def bundle_place(fingerprint: str, version: int) -> str:
    """The folder of all that is no model, below the target."""
    return f"{BUNDLES}/{fingerprint}/{version}"


def model_place(model: str, version: int) -> str:
    """The version folder of a model, below the target."""
    return f"{model}/{version}"


def place_of(name: str, fingerprint: str, version: int) -> str:
    """Where the file that the manifest calls `name` lies below the target.

    Example:
        >>> place_of("serving/user_tower/3/saved_model.pb", "ab12", 3)
        'user_tower/3/saved_model.pb'
        >>> place_of("edge/vocab.txt", "ab12", 3)
        'bundles/ab12/3/edge/vocab.txt'
    """
    for model in PUSH_ORDER:
        if name.startswith(f"serving/{model}/{version}/"):
            return name.removeprefix("serving/")
    return f"{bundle_place(fingerprint, version)}/{name}"
