"""`variant = "all"`: every file for a phone that a bundle ships, known once there is a bundle."""

from __future__ import annotations

import dataclasses

from dualtower.bundle import Bundle
from dualtower_benchmarks.drivers.litert_driver import edge_entries
from dualtower_benchmarks.scenario.case import Case
from dualtower_benchmarks.scenario.scenario import Scenario
from dualtower_benchmarks.scenario.subject import ALL

__all__ = ["of_bundle"]


def of_bundle(scenario: Scenario, bundle: Bundle) -> Scenario:
    """The scenario with a case for each variant in the place of "all".

    A file that was not to ship is left out, and so is one of any length, which has no shape to be
    filled. Where the bundle has no file of the model the case stays, and is absent from the run.
    """
    if all(case.variant != ALL for case in scenario.cases):
        return scenario
    cases = {
        one.key: one
        for case in scenario.cases
        for one in (_of_all(case, bundle) if case.variant == ALL else [case])
    }
    return dataclasses.replace(scenario, cases=tuple(cases.values()))


def _of_all(case: Case, bundle: Bundle) -> list[Case]:
    names = [
        entry["variant"]
        for entry in edge_entries(bundle, case.model)
        if entry.get("verdict", "ship") == "ship" and entry.get("item_tokens") != 0
    ]
    return [dataclasses.replace(case, variant=name) for name in names] or [case]
