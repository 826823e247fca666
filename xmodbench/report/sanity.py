"""What scores cannot be if the metrics compute what they say and the images are where they belong.

Each check has a name of its own (`Check.metric`), and fails on one kind of fault:

- ``probe``: a metric with another constant or peak than its definition's, by two flat images with known values;
- ``psnr``: PSNR that does not follow from the MSE beside it, image by image;
- ``order``: images in another order than their targets, or a slice off;
- ``offset``, ``turn``: images moved in the plane, or turned over;
- ``scale``, ``wrap``: grey values multiplied, or run over the range of their bits;
- ``identity``: images that are their sources.

Only images with the anatomy of their target are judged: of noise, or of one image for all, nothing follows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from xmodbench.metrics import probe
from xmodbench.metrics.registry import PSNR_CAP
from xmodbench.plan.plan import Plan
from xmodbench.report.checks import Check, answers
from xmodbench.report.collect import CellResult
from xmodbench.report.looks import GreyScale, Move, Placement
from xmodbench.report.summary import Group, is_control

PROBE_TOLERANCE = 1e-5  # relative; a range of 2 in place of 1 changes SSIM there by 5e-4
PSNR_TOLERANCE = 1e-6  # dB
FEWEST = 6
"""Images: of fewer, what they share may be chance."""
ANATOMY = 0.4
"""Correlation of edges with a target's, from which on an image shows its anatomy."""
Z = 4.0
TURN_GAIN, SHIFT_GAIN, OFFSET_GAIN = 0.02, 0.01, 0.05
OFFSET = 2  # pixels; one may be what a registration leaves
EXCHANGE_GAIN, EXCHANGE_FIT = 0.05, 0.5
"""Sound images gain nothing from other targets: no dealing is better than each its own."""
SCALE = (0.6, 1.6)
SCALE_FIT, SCALE_INTERCEPT = 0.85, 0.06
JUMPS, WRAP_FIT = 5e-4, 0.75


def sanity_checks(plan: Plan, group: Group) -> list[Check]:
    """All checks of a group's cells with scores."""
    done = [item for item in group.results if item.complete]
    found = [*_probe(group, done), *_psnr(group, done)] if done else []
    for item in done:
        role = answers(plan, item.cell.method)
        if role in ("mean", "shuffled"):
            continue
        label = plan.method_label(item.cell.method)
        if role == "source":
            label = f"{label} (pairs of source and target)"
        if item.looks is not None:
            grey = list(_grey(group, label, item.looks.grey_scale)) if role != "source" else []
            spoilt = next((check.metric for check in grey if check.metric == "wrap" and not check.passed), None)
            found += [*_placed(group, label, item.looks.placement, spoilt), *grey]
        if not is_control(plan, item.cell):
            found.append(_identity(group, label, item))
    return found


def _probe(group: Group, done: list[CellResult]) -> Iterator[Check]:
    text = "has, on two flat images, the value that its formula gives"
    wrong: list[str] = []
    seen = [item.looks.probe for item in done if item.looks is not None]
    if not seen:
        return
    for name, wanted in probe.known().items():
        values = {values.get(name, np.nan) for values in seen}
        odd = [value for value in values if not abs(value - wanted) <= PROBE_TOLERANCE * abs(wanted)]
        wrong += [f"{name} is {odd[0]:.6g}, not {wanted:.6g}"] if odd else []
    yield Check(group, "Metrics", text, "probe", "; ".join(wrong) or f"{len(probe.known())} metrics", not wrong)


def _psnr(group: Group, done: list[CellResult]) -> Iterator[Check]:
    text = "is -10 log10 of the MSE over the squared peak, image by image"
    wrong = []
    for family, peak in (("paper", 255.0), ("standard", 1.0)):
        # by seed: the mean of several PSNRs is not that of their mean error
        apart = [
            (max(np.abs(_expected(run, family, peak)).max() for run in item.runs), item.cell.method) for item in done
        ]
        worst, method = max(apart)
        if worst > PSNR_TOLERANCE:
            wrong.append(f"{family}.psnr of {method} is {worst:.3g} dB off")
    images = sum(len(item.image_scores) for item in done)
    yield Check(group, "PSNR", text, "psnr", "; ".join(wrong) or f"{images} images", not wrong)


def _expected(item: CellResult, family: str, peak: float) -> np.ndarray:
    """By how much PSNR differs from what follows from the MSE."""
    mse = item.image_scores[f"{family}.mse"].to_numpy(float)
    floor = peak**2 / 10 ** (PSNR_CAP / 10)
    follows = np.minimum(PSNR_CAP, 10 * np.log10(peak**2 / np.maximum(mse, floor)))
    return item.image_scores[f"{family}.psnr"].to_numpy(float) - follows


def _placed(group: Group, label: str, found: Placement, spoilt: str | None) -> Iterator[Check]:
    """Order, turns and offset. What was done to images may look like another thing too: what explains most is named.

    Args:
        spoilt: name of the check by which their edges are not those of anatomy.
    """
    faults = {name: fault for name in PLACES if (fault := PLACES[name][1](found)) is not None}
    first = spoilt or (max(faults, key=lambda name: faults[name][0]) if faults else None)
    for name, (text, _) in PLACES.items():
        seen = f"edges correlate {found.fit:.2f} with the targets'"
        passed: bool | None = True
        if found.images < FEWEST:
            seen, passed = f"{found.images} images are too few", None
        elif name == first:
            seen, passed = faults[name][1], False
        elif name in faults:
            seen, passed = f"nobody can say, as '{first}' failed", None
        yield Check(group, label, text, name, seen, passed)


Fault = tuple[float, str]
"""The correlation of edges once it is undone, and what is told of it."""


def _order(found: Placement) -> Fault | None:
    dealt = found.exchanged
    if dealt.gain > EXCHANGE_GAIN and dealt.fit > EXCHANGE_FIT:
        return dealt.fit, f"edges correlate {dealt.fit:.2f} with other targets', {found.fit:.2f} with their own"
    return _better(found, {name: move for name, move in found.moves.items() if "slice" in name}, SHIFT_GAIN)


def _turn(found: Placement) -> Fault | None:
    return _better(found, {name: move for name, move in found.moves.items() if "slice" not in name}, TURN_GAIN)


def _offset(found: Placement) -> Fault | None:
    offset = found.offset
    if max(abs(offset.down), abs(offset.right)) < OFFSET or offset.share <= 0.5:
        return None
    seen = f"{offset.share:.0%} of images fit best {offset.down} pixels down and {offset.right} right of their targets"
    return (offset.fit, seen) if offset.gain > OFFSET_GAIN and offset.fit > ANATOMY else None


PLACES: dict[str, tuple[str, Callable[[Placement], Fault | None]]] = {
    "order": ("is in the order of its targets", _order),
    "turn": ("is not turned over", _turn),
    "offset": ("lies where its targets do", _offset),
}


def _better(found: Placement, moves: dict[str, Move], least: float) -> Fault | None:
    """The move, if any, after which images fit their targets better beyond chance."""
    better = {
        name: move.gain for name, move in moves.items() if move.z > Z and move.gain > least and move.fit > ANATOMY
    }
    if not better:
        return None
    name = max(better, key=lambda name: better[name])
    fit = moves[name].fit
    return fit, f"fits better {name}: edges correlate {fit:.2f} in place of {found.fit:.2f}"


def _grey(group: Group, label: str, found: GreyScale) -> Iterator[Check]:
    """Scale and wrap."""
    low, high = SCALE
    alike = found.fit > SCALE_FIT and abs(found.intercept) < SCALE_INTERCEPT
    seen = f"grey values correlate {found.fit:.2f} with the targets'"
    seen += f", which are {found.slope:.2f} times as bright" if alike else ""
    scaled = alike and not low < found.slope < high
    yield Check(group, label, "has the grey scale of its targets", "scale", seen, not scaled)
    seen = f"{found.jumps:.2%} of neighbouring pixels jump from end to end where the targets are flat"
    wrapped = found.jumps > JUMPS and found.fit_without > WRAP_FIT
    yield Check(group, label, "does not run over the range of its bits", "wrap", seen, not wrapped)


def _identity(group: Group, label: str, item: CellResult) -> Check:
    same = max(int((run.image_scores["paper.ssim_src"] > 1 - 1e-9).sum()) for run in item.runs)
    seen = f"{same} of {len(item.image_scores)} images" if same else "no image"
    return Check(group, label, "translates, so no image of its is its source", "identity", seen, not same)
