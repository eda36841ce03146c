"""The model card says what a reader must know, from the fields of a manifest."""

from __future__ import annotations

from dualtower_export.model_card import model_card


def test_the_card_of_a_bundle(bundle) -> None:
    card = (bundle.path / "model_card.md").read_text(encoding="utf-8")
    assert bundle.fingerprint in card
    for heading in ("What it is", "Data", "Quality", "How it was made", "TFLite", "Gates",
                    "Limits", "Licences", "How to make it again"):  # fmt: skip
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
                {
                    "method": "dualtower",
                    "title": "dualtower",
                    "recall_at_20": {"value": 0.1284, "se": 0.0045},
                },
                {"method": "slim", "title": "a|b", "recall_at_20": {"value": None, "se": None}},
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
        "full": {"interactions": 150_000}, "validation": {"users": 900}, "test": {"users": 1651},
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
    assert "900 people took from 2011-09-15 on" in card
    assert "150000 different pairs of a person and an item before the test period" in card
    assert "Judged on what 1651 people took from 2011-10-13 on" in card
    assert "- Data: CC BY 4.0" in card


def test_how_it_was_made(bundle) -> None:
    card = (bundle.path / "model_card.md").read_text(encoding="utf-8")
    assert "An item's 32 numbers are 30 of taste" in card
    assert "contrastive training of 50 steps (Recall@20 of known items 0.2500 at the start" in card
    assert "regularisation 300, prior 0.1, a trend of power 0.5 with a half-life of 5.0%" in card
    assert "scored 0.75 times" in card
    wide = bundle.manifest["wide"]
    rows = wide["pieces"] + wide["pairs"] + 1
    assert wide["pairs"] > 0
    assert wide["table_bytes"] == 4 * rows * (31 + 1)
    assert f"{wide['pieces']} word pieces and {wide['pairs']} pairs" in card
    assert "users of the test period, which training has not seen" in card
    assert "## Recommender for a phone\nA list of 60 over" in card
    assert "| one file | int8 |" in card
    assert "| catalogue, with a user tower | int8 |" in card


def test_what_training_has_seen_is_not_called_quality(bundle) -> None:
    compared_on = {**bundle.manifest["compared_on"], "period": "validation",
                   "seen_in_training": True}  # fmt: skip
    wide = dict.fromkeys(bundle.manifest["wide"], 0)
    training = {"kept": "closed form", "closed_form": {"regularisation": 3e2, "prior": 0.1,
                "trends": []}}  # fmt: skip
    fields = {**bundle.manifest, "compared_on": compared_on, "wide": wide, "training": training,
              "data_report": {"interactions": 5}}  # fmt: skip
    card = model_card("f" * 64, {**fields, "recommenders": []})
    assert "Recommender for a phone" not in card
    assert "users of the validation period, which training has seen: it compares formats" in card
    assert "Training held nothing out to judge by" in card
    assert "no wide part" in card
    assert "Validation kept the closed form; everything" in card
    assert "prior 0.1, no trend." in card


def test_variants_hold_every_number_and_slices_their_people(bundle) -> None:
    from dualtower_export.card_variants import HEAD, variant_rows, variants_section

    entry = bundle.manifest["variants"][1] | {
        "size_bytes": 22_800_000, "gzip_bytes": 15_200_000, "cosine_mean": 0.9971,
        "cosine_min": 0.9912, "recall_at_10": 0.25, "recall_at_10_float": 0.26,
        "recall_at_10_loss_se": 0.01, "ndcg_at_10": 0.125, "ndcg_at_10_float": 0.13,
        "ndcg_at_10_loss_se": 0.005, "overlap_at_10": 0.97, "ms_p50": {"2": 2.5, "1": 4.0},
        "times_float32": {"1": 0.7, "2": 0.8}, "ops": 300, "delegated_ops": 250, "partitions": 2,
        "peak_memory_bytes": 31_000_000, "verdict": "do not ship", "reason": "a | b",
    }  # fmt: skip
    (row,) = variant_rows([entry])
    assert dict(zip(HEAD, row, strict=True)) == {
        "tower": "item_tower",
        "variant": entry["variant"],
        "MB (gzip)": "22.80 (15.20)",
        "cosine of tastes: mean (least)": "0.9971 (0.9912)",
        "Recall@10 (float)": "0.2500 ± 0.0196 (0.2600)",
        "NDCG@10 (float)": "0.1250 ± 0.0098 (0.1300)",
        "overlap@10": "0.970",
        "ms with 1 / 2 threads": "4.00 / 2.50",
        "× float32, 1 / 2 threads": "0.70 / 0.80",
        "ops delegated / all (partitions)": "250 / 300 (2)",
        "peak memory MB": "31",
        "verdict": "do not ship: a | b",
    }
    text = variants_section([entry], {"users": 9, "texts": 7}, "users")
    assert "a \\| b" in text
    slices = {"1": {"value": 0.3, "se": 0.01, "users": 40}, "50+": {"value": None, "users": 0}}
    method = {"method": "dualtower", "title": "dualtower", "recall_at_20_by_history": slices,
              "recall_at_20": {"value": 0.1, "se": 0.01}}  # fmt: skip
    evaluation = {"warm": {"users": 40, "methods": [method]}}
    card = model_card("f" * 64, {**bundle.manifest, "evaluation": evaluation})
    assert "| 1 | 40 | 0.3000 ± 0.0196 |" in card
    assert "50+" not in card
