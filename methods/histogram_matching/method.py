"""Histogram matching: a zero-shot translation that knows grey levels and no anatomy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from xmodbench.plugins import Method, Run, Settings, Supervision, TrainData

if TYPE_CHECKING:
    import numpy as np

    from xmodbench.seeding import ImageGenerator


class HistogramMatchingSettings(Settings):
    """Options of histogram matching."""

    levels: int = Field(65_536, ge=2, le=1_000_000, description="Quantiles kept of the target's distribution.")


class HistogramMatching(Method):
    """Maps the grey levels of each source slice, in their order, to those of all target training slices together.

    The same grey level always becomes the same, so that what is flat stays flat.
    """

    supervision = Supervision.ZERO_SHOT
    Config = HistogramMatchingSettings
    quantiles: np.ndarray

    def fit(self, train: TrainData, run: Run) -> None:
        """Keep evenly spaced quantiles of the target's training pixels, float32 [levels]."""
        import numpy as np

        found = np.quantile(train.target, np.linspace(0, 1, self.settings.levels), method="nearest")
        self.quantiles = found.astype(np.float32)

    def save(self, directory: Path) -> None:
        """Write ``quantiles.npy``."""
        import numpy as np

        np.save(directory / "quantiles.npy", self.quantiles, allow_pickle=False)

    def load(self, directory: Path, run: Run) -> None:
        """Read ``quantiles.npy``."""
        import numpy as np

        self.quantiles = np.load(directory / "quantiles.npy", allow_pickle=False)

    def translate(self, source: np.ndarray, generators: Sequence[ImageGenerator]) -> np.ndarray:
        """Translate ``source`` [N,1,H,W], each slice by itself."""
        import numpy as np
        from skimage.exposure import match_histograms

        reference = self.quantiles[None]
        found = [match_histograms(image.reshape(1, -1), reference).reshape(image.shape) for image in source]
        return np.stack(found).clip(0, 1).astype(np.float32)
