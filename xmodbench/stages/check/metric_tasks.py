"""What a metric under check is asked, behind its wall."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from xmodbench.metrics.own import card, checked_scores
from xmodbench.plugins.discovery import load
from xmodbench.stages.check.plain import PlainTasks


class ExaminedMetric(PlainTasks):
    """A metric that scores arrays which it is handed as files."""

    may = "the images of its batch"

    def score(self, batches: list[list[str]], out: str) -> dict[str, Any]:
        """Score batches of translations, targets and sources (files of [N,1,H,W]) and write the scores of each."""
        metric = card(load(self.location))
        for number, files in enumerate(batches):
            images = [np.load(file, mmap_mode="r", allow_pickle=False) for file in files]
            values = self.guarded("score", partial(self.plugin.score, *images))
            checked = checked_scores(values, len(images[0]), metric, f"metric '{self.location.id}', score")
            np.save(Path(out) / f"{number}.npy", checked)
        return {}
