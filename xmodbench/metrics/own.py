"""Metrics of one's own: plugins that a config names under ``scoring.metrics``, beside those of the registry.

In tables and files they are called ``own.<id>``. They are scored, averaged, given intervals and ranked like the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from xmodbench.errors import UserError, said
from xmodbench.metrics.field.cards import ALWAYS, EXTRAS
from xmodbench.metrics.registry import METRICS, PAIRED, Metric
from xmodbench.plugins import METRICS as METRIC_PLUGINS
from xmodbench.plugins import ImageMetric, Plugin, find

if TYPE_CHECKING:
    from xmodbench.plan.plan import Plan

OWN = "own"
"""Their family, beside ``paper`` and ``standard``."""

_of_plans: WeakKeyDictionary[Plan, dict[str, Metric]] = WeakKeyDictionary()


def card(plugin: Plugin[ImageMetric]) -> Metric:
    """The identity card of a metric plugin, from its ``metric.yaml``."""
    meta = plugin.meta
    low, high = meta.get("bounds", [None, None])
    return Metric(
        f"{OWN}.{plugin.id}",
        plugin.label,
        " ".join(meta["summary"].split()),
        meta["better"] == "higher",
        (None if low is None else float(low), None if high is None else float(high)),
        unit=meta.get("unit", ""),
        digits=meta.get("digits", 3),
        ranked=meta.get("ranked", True),
    )


def metrics_of(plan: Plan) -> dict[str, Metric]:
    """All metrics that a run may have by id: the registry's, the field's own, then its own.

    Which of the field's a direction has depends on its data (`xmodbench.metrics.field`).
    """
    if plan not in _of_plans:
        scoring = plan.config.scoring
        field = (
            ALWAYS | {metric.id: metric for metric in map(EXTRAS.__getitem__, scoring.extra)} if scoring.field else {}
        )
        own = [card(plugin) for plugin in plan.metric_plugins]
        _of_plans[plan] = METRICS | field | {metric.id: metric for metric in own}
    return _of_plans[plan]


def paired_of(plan: Plan) -> tuple[str, ...]:
    """Ids of the per-image metrics that all of a run's scores have, in the order of their columns."""
    return (*PAIRED, *(name for name, metric in metrics_of(plan).items() if metric.family == OWN))


def score_own(names: Sequence[str], images: tuple[np.ndarray, ...], batch: int = 16) -> dict[str, np.ndarray]:
    """Scores of translations by metric plugins: ``own.<id>`` to float64 ``[N]``.

    Args:
        names: ids of the plugins.
        images: translations, targets and sources, ``[N, H, W]`` in [0, 1].

    Raises:
        UserError: there is no such plugin, or it fails or answers with what is no score.
    """
    found = {}
    for name in names:
        plugin = find(METRIC_PLUGINS, name, f"scoring.metrics: {name}")
        metric, scored = plugin.cls(plugin.cls.Config()), []
        for start in range(0, len(images[0]), batch):
            scored.append(_scored(plugin, metric, tuple(array[start : start + batch] for array in images)))
        found[f"{OWN}.{name}"] = np.concatenate(scored)
    return found


def _scored(plugin: Plugin[ImageMetric], metric: ImageMetric, images: tuple[np.ndarray, ...]) -> np.ndarray:
    where, given = f"metric '{plugin.id}', score", [np.array(array, np.float32)[:, None] for array in images]
    for array in given:
        array.flags.writeable = False
    try:
        values = metric.score(*given)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ValueError) and "read-only" in str(error):
            raise UserError("writes into an array that it was handed", where, "copy it first: target.copy()") from error
        raise UserError(said(error), where, "see what it says in the log, or take it out of the config") from error
    return checked_scores(values, len(given[0]), card(plugin), where)


def checked_scores(values: object, count: int, metric: Metric, where: str) -> np.ndarray:
    """Scores as float64 ``[count]``, or a UserError saying how they break the contract."""
    if not isinstance(values, np.ndarray):
        fix = "return a number for each image; of a tensor: values.detach().cpu().numpy()"
        raise UserError(f"returned {type(values).__name__}, expected a NumPy array", where, fix)
    if values.shape != (count,):
        fix = "return a number for each image: mean over the axes (1, 2, 3)"
        raise UserError(f"returned shape {values.shape}, expected ({count},)", where, fix)
    if values.dtype.kind not in "fiu":
        raise UserError(f"returned {values.dtype} values, expected numbers", where, "values.astype(numpy.float64)")
    values = values.astype(np.float64)
    if problem := next(filter(None, map(metric.problem, values.tolist())), None):
        fix = "say what it is where it is not defined, or put right `bounds` in metric.yaml"
        raise UserError(problem, where, fix)
    return values
