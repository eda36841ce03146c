"""Which image may serve which bundle."""

from __future__ import annotations

import pytest

from dualtower.bundle import MODELS, Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_serving.deploy.image_check import check_image
from dualtower_serving.deploy.image_reference import ImageReference


def check(folder, tensorflow: str) -> str:
    return check_image(Bundle.open(folder), tensorflow, image=f"tensorflow/serving:{tensorflow}")


@pytest.mark.parametrize("tensorflow", ["2.21.0", "2.21.3", "2.22.0", "3.0.0"])
def test_as_new_as_the_writer_or_newer(bundle, tensorflow: str) -> None:
    assert f"TensorFlow {tensorflow} reads" in check(bundle, tensorflow)


def test_an_older_one_that_the_gates_of_the_export_found_to_have_every_op(bundle) -> None:
    assert "every op and attribute" in check(bundle, "2.20.0")


def test_an_older_one_that_the_export_was_made_for(make_bundle) -> None:
    config = {"target_serving": "2.20.0", "force_newer": True}
    assert "on purpose" in check(make_bundle(config=config, gates=[]), "2.20.0")


def test_an_older_one_is_refused_with_what_to_run(bundle) -> None:
    with pytest.raises(UsageError) as caught:
        check(bundle, "2.19.1")
    text = str(caught.value)
    assert "tensorflow/serving:2.19.1 has TensorFlow 2.19.1, but 2.21.0 wrote this bundle" in text
    assert "known to load in 2.20.0, 2.21.0" in text
    assert "--image tensorflow/serving:2.21.0" in text
    assert "--set export.target_serving=2.19.1 --force-newer" in text


def test_one_model_that_does_not_fit_is_enough(make_bundle) -> None:
    details = dict.fromkeys(MODELS, "9 kinds, in stock servers 2.20.0, 2.21.0")
    details["item_tower"] = "9 kinds, in stock servers 2.21.0"
    gates = [{"name": f"ops/{m}", "passed": True, "detail": text} for m, text in details.items()]
    with pytest.raises(UsageError, match=r"known to load in 2\.21\.0"):
        check(make_bundle(gates=gates), "2.20.0")
    failed = [{**gate, "passed": False} for gate in gates]
    with pytest.raises(UsageError, match="no older server"):
        check(make_bundle("failed", gates=failed), "2.20.0")


def test_a_bundle_that_does_not_say_what_wrote_it(make_bundle) -> None:
    with pytest.raises(BundleError, match=r"versions\.tensorflow"):
        check(make_bundle(versions={}), "2.21.0")


def test_a_version_that_is_none(bundle) -> None:
    with pytest.raises(UsageError, match=r"written 2\.20\.0, got 'newest'"):
        check(bundle, "newest")


DIGEST = "sha256:" + "a1" * 32


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("tensorflow/serving:2.20.0", ("tensorflow/serving", "2.20.0", "", "2.20.0")),
        ("r.example:5000/a/b:2.20.0-gpu", ("r.example:5000/a/b", "2.20.0-gpu", "", "2.20.0")),
        (f"serving@{DIGEST}", ("serving", "", DIGEST, "")),
        (f"a/b:2.20.0@{DIGEST}", ("a/b", "2.20.0", DIGEST, "2.20.0")),
        ("a/b:2.20.0-ours", ("a/b", "2.20.0-ours", "", "")),
    ],
)
def test_names_of_images(text: str, parts: tuple[str, str, str, str]) -> None:
    image = ImageReference.parse(text, option="--image")
    assert (image.repository, image.tag, image.digest, image.release) == parts
    assert str(image) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tensorflow/serving", "not pinned"),
        ("tensorflow/serving:latest", "not pinned"),
        ("r.example:5000/serving", "not pinned"),
        ("Tensorflow/Serving:2.20.0", "is no image"),
        ("a b:1", "is no image"),
        ("a:1@sha256:12", "is no image"),
        ("", "is no image"),
        ("a:1\nRUN rm -rf /", "is no image"),
    ],
)
def test_what_is_no_pinned_image(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        ImageReference.parse(text, option="--image")
