"""What the controls must show if the metrics and the data are sound.

A control says in its ``method.yaml`` what it ``answers`` with: ``target``, ``source``, ``mean`` (of training targets) or
``shuffled`` (targets of other subjects). Only what follows from that is judged:

- the target itself has every metric's best value, so nothing scores better;
- the source itself has a similarity of 1 with the source;
- shuffled targets are the same set of images, so distances between sets are 0; and they share less information with the
  target than the source of the same slice does. Their SSIM and MSE are not judged: an aligned source in another contrast
  may well score worse there than another subject's image in the right one, and so may a mean image in mutual information.

The mean image is not judged either: that its squared error is about half a shuffled target's holds only where training and
test subjects are alike, and a benchmark may well test on another site.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xmodbench.metrics.registry import METRICS
from xmodbench.plan.plan import Plan
from xmodbench.report.summary import Entry, Group, competes

TOLERANCE = 1e-6
ROUNDING = 1e-3
"""Of an Inception distance between equal sets: features come in single precision."""


@dataclass(frozen=True)
class Check:
    """One expectation; ``passed`` is None where it could not be judged."""

    group: Group
    control: str
    expectation: str
    metric: str
    seen: str
    passed: bool | None

    @property
    def rank(self) -> int:
        """Where it stands in a list: those that failed first, then those that could not be judged."""
        return {False: 0, None: 1, True: 2}[self.passed]


def answers(plan: Plan, method: str) -> str | None:
    """What a control answers with, None for other methods."""
    return plan.methods[method].plugin.meta.get("answers")


def run_checks(plan: Plan, group: Group, entries: list[Entry]) -> list[Check]:
    """All checks of a group whose controls are there."""
    values = {(entry.cell.method, entry.metric.id): entry.value for entry in entries}
    controls = {role: item.cell.method for item in group.results if (role := answers(plan, item.cell.method))}
    checks = _Checks(plan, group, values, controls)
    return [*checks.target(entries), *checks.source(), *checks.shuffled()]


@dataclass(frozen=True)
class _Checks:
    plan: Plan
    group: Group
    values: dict[tuple[str, str], float | None]
    controls: dict[str, str]  # what is answered -> method

    def target(self, entries: list[Entry]) -> Iterator[Check]:
        if "target" not in self.controls:
            return
        for name in ("paper.ssim_tar", "paper.mi", "paper.psnr", "paper.mse", "standard.ssim_tar", "standard.nmi"):
            if name.endswith("mi") and self._constant_targets():
                continue  # a constant image shares no information even with itself
            low, high = METRICS[name].bounds
            best = high if METRICS[name].higher_is_better else low
            assert best is not None  # these are bounded
            yield self._equals("target", name, best, TOLERANCE, f"has the best possible value, {best:g}")
        for name in ("paper.mi", "standard.mi", "paper.psnr", "standard.ssim_tar"):
            yield self._unbeaten(name, entries)
        yield from self._no_distance("target", "is the real set")

    def source(self) -> Iterator[Check]:
        for name in ("paper.ssim_src", "standard.ssim_src"):
            if "source" in self.controls:
                yield self._equals("source", name, 1.0, TOLERANCE, "is the source, so SSIM-Src is 1")

    def shuffled(self) -> Iterator[Check]:
        text = "shares less information with the target than a copy of its source does"
        for name in ("paper.mi", "standard.mi"):
            yield from self._less("shuffled", "source", name, text)
        yield from self._no_distance("shuffled", "is the real set in another order")

    def _value(self, role: str, metric: str) -> float | None:
        return self.values.get((self.controls.get(role, ""), metric))

    def _check(self, role: str, metric: str, text: str, seen: str, passed: bool | None) -> Check:
        label = self.plan.method_label(self.controls[role])
        return Check(self.group, label, text, metric, seen, passed)

    def _equals(self, role: str, metric: str, wanted: float, tolerance: float, text: str) -> Check:
        value = self._value(role, metric)
        if value is None:
            return self._check(role, metric, text, "no value", None)
        return self._check(role, metric, text, f"{value:.6g}", abs(value - wanted) <= tolerance)

    def _no_distance(self, role: str, text: str) -> Iterator[Check]:
        for name, tolerance in (("paper.fid", ROUNDING), ("standard.frechet_hog", TOLERANCE)):
            if role in self.controls and (name != "paper.fid" or self._value(role, name) is not None):
                yield self._equals(role, name, 0.0, tolerance, f"{text}, so its distance is 0")

    def _less(self, role: str, other: str, metric: str, text: str) -> Iterator[Check]:
        if role not in self.controls or other not in self.controls:
            return
        value, bound = self._value(role, metric), self._value(other, metric)
        if value is None or bound is None:
            yield self._check(role, metric, text, "no value", None)
        else:
            yield self._check(role, metric, text, f"{value:.4g} against {bound:.4g}", value < bound)

    def _unbeaten(self, metric: str, entries: list[Entry]) -> Check:
        value, better = self._value("target", metric), METRICS[metric].higher_is_better
        text = "is beaten by nothing"
        if value is None:
            return self._check("target", metric, text, "no value", None)
        # of some of the slices alone a mean may be higher
        whole = [entry for entry in entries if entry.metric.id == metric and not entry.result.partial]
        rivals = [(entry, entry.value) for entry in whole if entry.value is not None]
        sign = 1 if better else -1
        above = [entry for entry, theirs in rivals if sign * (theirs - value) > TOLERANCE]
        names = ", ".join(self.plan.method_label(entry.cell.method) for entry in above)
        return self._check("target", metric, text, names or f"{len(rivals) - 1} others", not above)

    def _constant_targets(self) -> bool:
        return any(item.counts.get("constant_target", 0) for item in self.group.results)


def not_better_than_controls(plan: Plan, entries: list[Entry]) -> list[tuple[Entry, list[str]]]:
    """Methods' entries that a control without skill matches or beats, with the ids of those controls.

    The control that answers with the target is left out, and so are distances (shuffled targets have none).
    """
    judged = [
        (entry, entry.value)
        for entry in entries
        if entry.value is not None and entry.metric.level == "image" and entry.metric.ranked and entry.metric.headline
    ]
    skilless = [item for item in judged if answers(plan, item[0].cell.method) in ("source", "mean", "shuffled")]
    found = []
    for entry, value in judged:
        if not competes(plan, entry.result):
            continue
        sign = 1 if entry.metric.higher_is_better else -1
        rivals = [(other, theirs) for other, theirs in skilless if other.metric is entry.metric]
        if above := [other.cell.method for other, theirs in rivals if sign * (theirs - value) >= 0]:
            found.append((entry, above))
    return found
