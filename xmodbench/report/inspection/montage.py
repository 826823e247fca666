"""One picture per subject: its modalities below each other, and the edges of the first drawn over the others."""

from __future__ import annotations

import base64
import io

import numpy as np

SLICES = 6
TILE = 128
EDGE_COLOUR = (255, 140, 0)
_GAP = 2
# of the brightest pixel of a slice: weaker edges are noise
_WEAK, _STRONG = 0.06, 0.16
# darker pixels, and rows with a smaller share of brighter ones, are air
_AIR, _SPECKLE = 0.1, 0.02


def montage(images: dict[str, np.ndarray], slices: int = SLICES, tile: int = TILE) -> np.ndarray:
    """A picture [rows, columns, 3] uint8.

    Args:
        images: by modality, slices [N, H, W] in [0, 1] of one subject; the first modality gives the edges.
        slices: how many, evenly spaced.
        tile: longer side of a slice in the picture, pixels; margins of air are cut off.
    """
    names = list(images)
    count = len(images[names[0]])
    chosen = np.unique(np.linspace(0, count - 1, min(slices, count)).round().astype(int))
    rows, cols = _extent([images[name][chosen] for name in names])
    tiles = {name: [_tile(images[name][index][rows, cols], tile) for index in chosen] for name in names}
    lines = [[_colour(picture) for picture in tiles[name]] for name in names]
    outlines = [_edges(picture) for picture in tiles[names[0]]]
    for name in names[1:]:
        lines.append([_overlay(picture, edges) for picture, edges in zip(tiles[name], outlines, strict=True)])
    return np.concatenate([np.concatenate(line, axis=1) for line in lines], axis=0)


def jpeg(picture: np.ndarray, quality: int = 82) -> bytes:
    """A picture as a JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True, subsampling=0)
    return buffer.getvalue()


def data_uri(encoded: bytes) -> str:
    """The address of a JPEG that carries itself, so that a page is one file."""
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()


def _extent(stacks: list[np.ndarray]) -> tuple[slice, slice]:
    """Rows and columns that hold more than air in the first modality, with a margin; the same for all of them."""
    first = stacks[0] > _AIR
    found = []
    for axes, side in (((0, 2), first.shape[1]), ((0, 1), first.shape[2])):
        filled = np.flatnonzero(first.mean(axis=axes) > _SPECKLE)
        margin = max(1, side // 24)
        ends = (filled[0] - margin, filled[-1] + margin + 1) if len(filled) else (0, side)
        found.append(slice(max(0, ends[0]), min(side, ends[1])))
    return found[0], found[1]


def _tile(image: np.ndarray, longest: int) -> np.ndarray:
    from skimage.transform import resize

    scale = longest / max(image.shape)
    shape = tuple(max(1, round(side * scale)) for side in image.shape)
    if shape != image.shape:
        image = resize(image, shape, order=1, anti_aliasing=scale < 1)
    return np.clip(image, 0, 1)


def _edges(tile: np.ndarray) -> np.ndarray:
    from skimage.feature import canny

    bright = float(tile.max())
    return canny(
        tile.astype(float), sigma=max(tile.shape) / 70, low_threshold=_WEAK * bright, high_threshold=_STRONG * bright
    )


def _colour(tile: np.ndarray) -> np.ndarray:
    gray = np.round(tile * 255).astype(np.uint8)
    return np.pad(np.stack([gray] * 3, -1), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=40)


def _overlay(tile: np.ndarray, edges: np.ndarray) -> np.ndarray:
    picture = _colour(tile)
    height, width = tile.shape
    picture[:height, :width][edges] = EDGE_COLOUR
    return picture
