"""Whether the data a direction is scored on are pairs: of one place of one subject in source and target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from xmodbench.data.pairing.judge import Finding
from xmodbench.directions import modalities_of
from xmodbench.errors import UserError
from xmodbench.plan.plan import Plan
from xmodbench.report.checks import Check
from xmodbench.report.inspection.facts import open_stores, ordered_modalities, told_if_damaged
from xmodbench.report.inspection.pairing import Place, findings
from xmodbench.report.summary import Group

PAIRING = "pairing"
NAMED = 8
"""So many doubtful subjects are named in the check; the data section has all."""

Found = Mapping[Place, Sequence[Finding]]


def find_pairs(plan: Plan, dataset: str) -> Found | None:
    """The findings of a data set, None where it is not prepared."""
    try:
        with told_if_damaged(plan.data_dir(dataset)):
            stores = open_stores(plan.data_dir(dataset))
            return findings(stores, ordered_modalities(stores["train"]))
    except UserError:  # said with the cells that need it
        return None


def doubtful(group: Group, found: Found) -> list[str]:
    """The subjects whose source and target may not belong together, with what is suspected."""
    wanted = {*modalities_of(group.source), group.target}
    return [
        f"{name} ({split}): {item.suspected}"
        for (split, name), items in found.items()
        for item in items
        if item.suspected and {*item.pair} <= wanted
    ]


def pairing_checks(group: Group, found: Found | None) -> list[Check]:
    """The check of a direction's pairs; none where the data are not there."""
    if not found:
        return []
    named = doubtful(group, found)
    seen = f"none of {len(found)} subjects doubtful"
    if named:
        more = f" and {len(named) - NAMED} more, see the data section" if len(named) > NAMED else ""
        seen = f"{len(named)} of {len(found)} subjects doubtful. " + ". ".join(named[:NAMED]) + more
    text = "is one place of one subject in source and target, so no other pairing fits better"
    return [Check(group, "Pairs of the data", text, PAIRING, seen, not named)]
