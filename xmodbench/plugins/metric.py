"""What a metric plugin is: a number for each translated image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from xmodbench.plugins.settings import Settings

if TYPE_CHECKING:
    import numpy as np


class ImageMetric(ABC):
    """A metric of single images: how good a translation is, or how like something.

    Its name, the direction in which it is better, its bounds and its definition stand in ``metric.yaml``.
    """

    Config: ClassVar[type[Settings]] = Settings

    def __init__(self, settings: Settings):
        self.settings = settings

    @abstractmethod
    def score(self, translation: np.ndarray, target: np.ndarray, source: np.ndarray) -> np.ndarray:
        """A finite number for each image, ``[N]``, within the bounds; all three are float32 ``[N, 1, H, W]`` in [0, 1].

        Each number is that of its image alone: the other images of the batch must not matter, nor what was scored before.
        The arrays are not to be changed.
        """
