"""One picture per subject: its modalities side by side, and the edges of the first drawn over the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xmodbench.files import atomic_file

SLICES = 6
TILE = 128
EDGE_COLOUR = (255, 96, 0)
_GAP = 2


def montage(images: dict[str, np.ndarray]) -> np.ndarray:
    """A picture [rows, columns, 3] uint8.

    Args:
        images: by modality, slices [N, H, W] in [0, 1] of one subject; the first modality gives the edges.
    """
    names = list(images)
    count = len(images[names[0]])
    chosen = np.unique(np.linspace(0, count - 1, min(SLICES, count)).round().astype(int))
    tiles = {name: [_tile(images[name][index]) for index in chosen] for name in names}
    rows = [[_colour(tile) for tile in tiles[name]] for name in names]
    for name in names[1:]:
        rows.append(
            [_overlay(tile, edges) for tile, edges in zip(tiles[name], map(_edges, tiles[names[0]]), strict=True)]
        )
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def write_png(picture: np.ndarray, path: Path) -> None:
    """Write a picture atomically."""
    from matplotlib.image import imsave

    with atomic_file(path) as temporary:
        imsave(temporary, picture, format="png")


def _tile(image: np.ndarray) -> np.ndarray:
    from skimage.transform import resize

    if max(image.shape) != TILE:
        image = resize(image, (TILE, TILE), order=1, anti_aliasing=image.shape[0] > TILE)
    return np.clip(image, 0, 1)


def _edges(tile: np.ndarray) -> np.ndarray:
    from skimage.feature import canny

    return canny(tile.astype(float), sigma=1.5)


def _colour(tile: np.ndarray) -> np.ndarray:
    gray = np.round(tile * 255).astype(np.uint8)
    return np.pad(np.stack([gray] * 3, -1), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=40)


def _overlay(tile: np.ndarray, edges: np.ndarray) -> np.ndarray:
    picture = _colour(tile)
    picture[:TILE, :TILE][edges] = EDGE_COLOUR
    return picture
