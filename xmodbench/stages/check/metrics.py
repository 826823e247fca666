"""Whether a metric keeps its contract, on a few small images: shape, bounds, value of identical images, independence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xmodbench.errors import UserError
from xmodbench.metrics.own import card
from xmodbench.metrics.registry import ROUNDING
from xmodbench.plugins import ImageMetric, Plugin
from xmodbench.plugins.check import N_TEST, phantom
from xmodbench.plugins.discovery import Location
from xmodbench.stages.check.findings import Check, Finding, Room, check_readme, findings
from xmodbench.stages.check.plain import PlainProcess
from xmodbench.store import mapped

TASKS = "xmodbench.stages.check.metric_tasks:ExaminedMetric"
Triple = tuple[np.ndarray, np.ndarray, np.ndarray]


def check_metric(location: Location[ImageMetric], where: Room, settings: dict[str, Any] | None) -> Iterator[Finding]:
    """Put a metric through all checks; each cause is told once."""
    yield from findings(_Checked(location, where, settings).checks(), where)


class _Checked:
    def __init__(self, location: Location[ImageMetric], room: Room, settings: dict[str, Any] | None):
        self.location, self.room, self.settings = location, room, settings
        self.target, self.source = phantom(N_TEST, 2), phantom(N_TEST, 2, invert=True)
        noise = np.random.default_rng(4).normal(0, 0.05, self.target.shape)
        self.translation = np.clip(self.target + noise, 0, 1).astype(np.float32)

    def checks(self) -> list[Check]:
        """All of them, in order."""
        return [
            Check("README.md stands beside the code", self.has_readme, apart=True),
            Check("metric.yaml says what it should, and the import is quick: no torch at the top", self.is_imported),
            Check("score gives a finite number within the bounds for each image, even of constant ones", self.scores),
            Check(
                "each image's number is its own: batch, order and what was scored before change nothing", self.is_pure
            ),
            Check("identical images get what metric.yaml says, and no others something better", self.is_best),
            Check("translation and target can change places, where metric.yaml says so", self.is_symmetric),
        ]

    def has_readme(self) -> None:
        """Others are told what it is."""
        check_readme(self.location, "say there what the metric measures")

    def is_imported(self) -> None:
        """The process imports it."""
        with self._process("import"):
            pass
        location = self.location
        plugin: Plugin = Plugin(location.id, location.kind, ImageMetric, location.meta(), location.folder)
        self.card = card(plugin)

    def scores(self) -> None:
        """Likely images, and those at the ends: black, white, of one grey."""
        flat = [np.full_like(self.target, value) for value in (0.0, 1.0, 0.5)]
        whole = (self.translation, self.target, self.source)
        black_targets = (self.translation, flat[0], self.source)
        triples: list[Triple] = [whole, *((grey, self.target, self.source) for grey in flat), black_targets]
        self.whole, *_ = self._score([*triples, (flat[0], flat[0], flat[0])])
        if np.ptp(self.whole) == 0:
            self.room.warn("score: all images get the same number; does it look at them?")

    def is_pure(self) -> None:
        """The same images again, one by one, and backwards."""
        whole = (self.translation, self.target, self.source)
        single = [tuple(array[i : i + 1] for array in whole) for i in range(N_TEST)]
        backwards = tuple(array[::-1] for array in whole)
        first, turned, *ones, again = self._score([whole, backwards, *single, whole])  # type: ignore[list-item]  # triples
        self._same(again, first, "the same images scored twice differ", "keep nothing from one call to the next")
        fix = "treat each image by itself: take means over the axes (1, 2, 3), never over the batch"
        self._same(np.concatenate(ones), self.whole, "numbers change with the batch size", fix)
        self._same(turned[::-1], self.whole, "numbers change with the order", fix)

    def is_best(self) -> None:
        """The target itself as the translation."""
        (found,) = self._score([(self.target, self.target, self.source)])
        where, wanted = f"metric '{self.location.id}', score", self.location.meta().get("identical")
        if wanted is not None and np.abs(found - wanted).max() > ROUNDING:
            fix = "put right `identical` in metric.yaml, or the formula"
            worst = found[np.abs(found - wanted).argmax()]
            raise UserError(f"identical images get {worst:.6g}, not {wanted:g} as metric.yaml says", where, fix)
        sign = 1 if self.card.higher_is_better else -1
        if wanted is not None and self.card.ranked and (sign * (self.whole - found) > ROUNDING).any():
            problem = f"a noisy image is better than an identical one ({self.whole.max():.4g} against {found[0]:.4g})"
            raise UserError(problem, where, "put right `better` in metric.yaml, or say there `ranked: false`")

    def is_symmetric(self) -> None:
        """The other way round."""
        if not self.location.meta().get("symmetric"):
            return
        (turned,) = self._score([(self.target, self.translation, self.source)])
        if np.abs(turned - self.whole).max() > ROUNDING:
            fix = "take `symmetric` out of metric.yaml, or put the formula right"
            raise UserError("translation and target cannot change places", f"metric '{self.location.id}', score", fix)

    def _process(self, what: str) -> PlainProcess:
        return PlainProcess(self.room, self.location, TASKS, what, self.settings)

    def _score(self, triples: list[Triple]) -> list[np.ndarray]:
        """Scores of each batch, all in one process."""
        with self._process("score") as process:
            batches = []
            for number, images in enumerate(triples):
                files = [process.data / f"{number}-{name}.npy" for name in ("translation", "target", "source")]
                for file, array in zip(files, images, strict=True):
                    np.save(file, array, allow_pickle=False)
                batches.append([str(file) for file in files])
            done = process.perform("score", batches=batches, out=str(process.out))
            scores = [np.array(mapped(process.out / f"{n}.npy", "return an array")) for n in range(len(triples))]
        if done["looked_for"]:
            self.room.warn(f"looked for what is not there for it: {', '.join(done['looked_for'])}")
        return scores

    def _same(self, found: np.ndarray, wanted: np.ndarray, problem: str, fix: str) -> None:
        # sums in another order are rounded otherwise
        if not np.allclose(found, wanted, rtol=1e-9, atol=1e-12):
            worst = float(np.abs(found - wanted).max())
            raise UserError(f"{problem} (by up to {worst:.2g})", f"metric '{self.location.id}', score", fix)
