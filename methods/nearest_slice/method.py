"""Nearest slice: a zero-shot answer by retrieval, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from xmodbench.plugins import Method, Run, Settings, Supervision, TrainData

if TYPE_CHECKING:
    import numpy as np

    from xmodbench.seeding import ImageGenerator


class NearestSliceSettings(Settings):
    """Options of the nearest slice; both only matter in translation."""

    bins: int = Field(32, ge=2, le=256, description="Grey-level bins of the joint histogram.")
    neighbours: int = Field(
        1, ge=1, le=1000, description="So many nearest slices are averaged; as many as there are, at most."
    )


class NearestSlice(Method):
    """Answers with the target training slice of the largest normalised mutual information with the source."""

    supervision = Supervision.ZERO_SHOT
    Config = NearestSliceSettings
    translation_settings = frozenset({"bins", "neighbours"})
    slices: np.ndarray

    def fit(self, train: TrainData, run: Run) -> None:
        """Keep the target's training slices."""
        import numpy as np

        self.slices = np.array(train.target, dtype=np.float32)

    def save(self, directory: Path) -> None:
        """Write ``slices.npy``, float32 [N, 1, H, W]."""
        import numpy as np

        np.save(directory / "slices.npy", self.slices, allow_pickle=False)

    def load(self, directory: Path, run: Run) -> None:
        """Read ``slices.npy``; they stay on the disk until they are needed."""
        import numpy as np

        self.slices = np.load(directory / "slices.npy", mmap_mode="r", allow_pickle=False)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """For each of ``source`` [N,1,H,W] the mean of the nearest training slices."""
        import numpy as np

        from xmodbench.data.pairing.information import grey_levels, shared_information

        bins, kept = self.settings.bins, min(self.settings.neighbours, len(self.slices))
        known = grey_levels(self.slices, bins)
        found = []
        for image in grey_levels(source, bins):
            shared = [shared_information(image, other, bins) for other in known]
            nearest = np.argsort(np.negative(shared), kind="stable")[:kept]  # the first of equals
            found.append(self.slices[np.sort(nearest)].mean(axis=0, dtype=np.float64))
        return np.stack(found).astype(np.float32)
