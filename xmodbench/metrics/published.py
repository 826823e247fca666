"""The numbers of the paper's Table 1, for showing beside ours: never mixed with them.

Plugins say which of the paper's rows they stand for: ``published: <method>`` in ``method.yaml``, and in
``dataset.yaml`` ``published: {name: <data set>, modalities: {<modality id>: <the paper's name>}}``. Simulated data sets
stand for none, whatever they say.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from xmodbench.plan import Cell, Plan

COLUMNS = ("ssim_tar", "ssim_src", "mse", "mi", "psnr", "fid")


@cache
def table() -> pd.DataFrame:
    """Table 1: one row per data set, method and direction (``PD->T1``), six columns of numbers as printed."""
    return pd.read_csv(Path(__file__).with_name("published.csv"))


def published(plan: Plan, cell: Cell) -> dict[str, float] | None:
    """The paper's six numbers for a cell, or None where the paper has none (or the data are simulated)."""
    method = plan.methods[cell.method].plugin.meta.get("published")
    dataset = plan.dataset_plugins[cell.dataset].meta.get("published")
    if plan.simulated(cell.dataset) or not isinstance(method, str) or not isinstance(dataset, dict):
        return None
    names, rows = dataset.get("modalities", {}), table()
    direction = f"{names.get(cell.source)}->{names.get(cell.target)}"
    wanted = (rows["dataset"] == dataset.get("name")) & (rows["method"] == method) & (rows["direction"] == direction)
    return {name: float(rows[wanted].iloc[0][name]) for name in COLUMNS} if wanted.any() else None
