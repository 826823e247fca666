"""The numbers of the paper's Table 1, for showing beside ours: never mixed with them.

Plugins say which of the paper's rows they stand for: ``published: <method>`` in ``method.yaml``, and in
``dataset.yaml`` ``published: {name: <data set>, modalities: {<modality id>: <the paper's name>}}``. Simulated data sets
stand for none, whatever they say.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pandas as pd

COLUMNS = ("ssim_tar", "ssim_src", "mse", "mi", "psnr", "fid")


@cache
def table() -> pd.DataFrame:
    """Table 1: one row per data set, method and direction (``PD->T1``), six columns of numbers as printed."""
    return pd.read_csv(Path(__file__).with_name("published.csv"))


def published(method: object, dataset: object, source: str, target: str) -> dict[str, float] | None:
    """The paper's six numbers for a translation from `source` to `target`, or None where the paper has none.

    Args:
        method: what ``method.yaml`` says under ``published``.
        dataset: what ``dataset.yaml`` says under it.
    """
    if not isinstance(method, str) or not isinstance(dataset, dict):
        return None
    names, rows = dataset.get("modalities", {}), table()
    direction = f"{names.get(source)}->{names.get(target)}"
    wanted = (rows["dataset"] == dataset.get("name")) & (rows["method"] == method) & (rows["direction"] == direction)
    return {name: float(rows[wanted].iloc[0][name]) for name in COLUMNS} if wanted.any() else None
