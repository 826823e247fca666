"""The numbers of the paper's Table 1, for showing beside ours: never mixed with them.

Plugins say which of the paper's rows they stand for: ``published: <method>`` in ``method.yaml``, and in
``dataset.yaml`` ``published: {name: <data set>, modalities: {<modality id>: <the paper's name>}}``. Simulated data sets
stand for none, whatever they say.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from xmodbench.metrics.stats import Spread, t_interval

COLUMNS = ("ssim_tar", "ssim_src", "mse", "mi", "psnr", "fid")


MIN_SUBJECTS = 10
"""Below, an interval is so wide that neither answer would say much: none is given."""


@cache
def table() -> pd.DataFrame:
    """Table 1: one row per data set, method and direction (``PD->T1``), six columns of numbers, as text as printed."""
    return pd.read_csv(Path(__file__).with_name("published.csv"), dtype=str)


@cache
def contradictions() -> list[dict[str, str]]:
    """Where the paper contradicts itself: ``dataset`` and ``direction`` (``all``), ``about``, ``says`` and ``but``."""
    rows = pd.read_csv(Path(__file__).with_name("contradictions.csv"), dtype=str, keep_default_na=False)
    return [{str(name): str(value) for name, value in row.items()} for row in rows.to_dict("records")]


def published(method: object, dataset: object, source: str, target: str) -> dict[str, str] | None:
    """The paper's six numbers, as printed, for a translation from `source` to `target`; None where the paper has none.

    Args:
        method: what ``method.yaml`` says under ``published``.
        dataset: what ``dataset.yaml`` says under it.
    """
    if not isinstance(method, str) or not isinstance(dataset, dict):
        return None
    names, rows = dataset.get("modalities", {}), table()
    direction = f"{names.get(source)}->{names.get(target)}"
    wanted = (rows["dataset"] == dataset.get("name")) & (rows["method"] == method) & (rows["direction"] == direction)
    return {name: str(rows[wanted].iloc[0][name]) for name in COLUMNS} if wanted.any() else None


def half_digit(printed: str) -> float:
    """Half a unit of the last digit of a number as printed: how far off rounding may have put it."""
    return 0.5 * 10.0 ** -len(printed.partition(".")[2])


def difference(
    value: float, spreads: list[Spread], seeds: int, printed: str, subjects: int
) -> tuple[float, float, float]:
    """Ours less the published number, with the ends of its 95 % interval.

    The paper gives no errors. It is assumed to have tested as many subjects as it says, who differ as much as ours, and to
    have trained once, with as much chance in it as between our seeds; and its number was rounded.

    Args:
        value: our mean.
        spreads: its squared standard error between subjects and, where there are several, between seeds.
        seeds: how many there are.
        printed: the published number.
        subjects: those that it is a mean of.
    """
    between, *others = spreads
    ours = int(np.max(between.df)) + 1
    wider = [Spread(between.variance * (1 + ours / subjects), between.df)]
    wider += [Spread(other.variance * (1 + seeds), other.df) for other in others]
    found = value - float(printed)
    low, high = t_interval(found, *wider)
    return found, float(low) - half_digit(printed), float(high) + half_digit(printed)
