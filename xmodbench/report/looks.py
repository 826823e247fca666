"""What the score stage has seen of images beside their scores (`xmodbench.metrics.placement`, `probe`), as it is read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Read(BaseModel):
    model_config = ConfigDict(allow_inf_nan=False, frozen=True)


class Move(_Read):
    """Edges' fit with the targets' after a move, and what was gained by it."""

    gain: float
    z: float
    fit: float


class Offset(_Read):
    """Where most images fit best."""

    down: int
    right: int
    share: float
    fit: float
    gain: float


class Exchanged(_Read):
    """The best way of dealing out targets anew."""

    fit: float
    gain: float


class Placement(_Read):
    """See `xmodbench.metrics.placement.placement`."""

    images: int
    fit: float
    moves: dict[str, Move]
    offset: Offset
    exchanged: Exchanged


class GreyScale(_Read):
    """See `xmodbench.metrics.placement.grey_scale`."""

    slope: float
    intercept: float
    fit: float
    jumps: float
    fit_without: float


class Looks(_Read):
    """All of it for one cell."""

    placement: Placement
    grey_scale: GreyScale
    probe: dict[str, float]


class _Tissue(_Read):
    voxels: int
    target: float
    translation: float
    mae: float


class InHu(_Read):
    """What is known in HU of one subject, see `xmodbench.metrics.field.tissues.hu_by_tissue`."""

    tissues: dict[str, _Tissue]
    histogram: dict[str, list[int]]
    clipped: dict[str, float]
    extremes: tuple[float, float] | None = None
    cut_off: dict[str, float] | None = None
