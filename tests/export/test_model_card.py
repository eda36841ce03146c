"""The model card says what a reader must know, from the fields of a manifest."""

from __future__ import annotations

from dualtower_export.model_card import model_card


def test_the_card_of_a_bundle(bundle) -> None:
    card = (bundle.path / "model_card.md").read_text(encoding="utf-8")
    assert bundle.fingerprint in card
    for heading in ("What it is", "Data", "Quality", "TFLite", "Gates", "Limits", "Licences",
                    "How to make it again"):  # fmt: skip
        assert f"\n## {heading}" in card
    assert "60 items, of which 57 were seen in" in card
    assert bundle.manifest["command"] in card
    assert "Not evaluated" in card


def test_metrics_have_intervals_and_missing_ones_a_dash(bundle) -> None:
    evaluation = {
        "warm": {
            "users": 1651,
            "candidates": 3545,
            "methods": [
                {"method": "dualtower", "recall_at_20": {"value": 0.1284, "se": 0.0045}},
                {"method": "a|b", "recall_at_20": {"value": None, "se": None}},
            ],
        },
        "cold_in_full": {
            "users": 9,
            "methods": [{"method": "dualtower", "cold_share_of_lists": 0.15}],
            "random": {"recall_at_20": {"value": 0.005, "se": 0.0}},
        },
    }
    report = {
        "interactions": 266_221, "users": 4334, "first": "2010-12-01", "last": "2011-12-09",
        "validation_start": "2011-09-15", "test_start": "2011-10-13",
        "train": {"interactions": 150_000}, "test": {"users": 1651},
    }  # fmt: skip
    fields = {**bundle.manifest, "evaluation": evaluation, "data_report": report}
    fields["config"] = {**fields["config"], "data_licence": "CC BY 4.0"}
    card = model_card("f" * 64, fields)
    assert "| dualtower | 0.1284 ± 0.0088 |" in card
    assert "| a\\|b | – |" in card
    assert "(1651 people)" in card
    assert "| method | cold share of lists |" in card
    assert "| dualtower | 0.150 |\n| random order | – |" in card
    assert "266221 interactions of 4334 people" in card
    assert "- Data: CC BY 4.0" in card
