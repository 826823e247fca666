"""Whether methods kept to what they may see: no translation is the truth, nobody looked for more, and a wall held them.

Invariant 1 is enforced where jobs run (`xmodbench.stages.wall.process`); here stands what can be seen of it afterwards.
"""

from __future__ import annotations

from xmodbench.plan.plan import Plan
from xmodbench.report.checks import Check
from xmodbench.report.collect import CellResult
from xmodbench.report.summary import Group, is_control

NO_WALL = (
    "isolation: none. Nothing but the arrays they were handed kept these methods from reading the test targets: the "
    "machine they ran on has no Landlock, or the data lay where installed packages do."
)

TRUTH = "paper.mse"
"""Judged on 8-bit images: 0 where every pixel is the same."""


def fairness_checks(plan: Plan, group: Group) -> list[Check]:
    """Of each method with scores: none of its images is the truth, and it looked for no more than it was handed."""
    found = []
    for item in (run for result in group.results for run in result.runs):
        if is_control(plan, item.cell):
            continue
        label, equal = plan.run_label(item.cell), images_like_the_truth(item)
        seen = f"{equal} of {len(item.image_scores)} images" if equal else "no image"
        text = "is handed no test target, so no image of its equals one"
        found.append(Check(group, label, text, TRUTH, seen, not equal))
        for verb, record in item.records.items():
            if asked := record.get("looked_for"):
                text = f"has no need to look for more than it is handed ({verb})"
                found.append(Check(group, label, text, "files asked for", ", ".join(map(str, asked)), False))
    return found


def images_like_the_truth(item: CellResult) -> int:
    """How many translations equal their targets in 8 bits, as an oracle's do; constant targets can be met by chance."""
    equal = int((item.image_scores[TRUTH] == 0).sum())
    return max(0, equal - item.counts.get("constant_target", 0))


def isolation(item: CellResult) -> dict[str, str]:
    """What held the cell's method in each of its jobs, by verb."""
    verbs = [verb for verb in ("pretrain", "train", "translate") if verb in item.records]
    return {verb: str(item.records[verb].get("isolation", "none")) for verb in verbs}


def not_walled(plan: Plan, results: list[CellResult]) -> list[str]:
    """Labels of the methods of which some job ran without a wall; controls are exempt."""
    names = [
        item.cell.method for item in results if "none" in isolation(item).values() and not is_control(plan, item.cell)
    ]
    return [plan.method_label(name) for name in dict.fromkeys(names)]
