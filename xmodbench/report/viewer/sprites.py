"""The viewer's pictures: a PNG per slice, with its source, its target and all translations side by side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from xmodbench.directions import first_of
from xmodbench.errors import UserError
from xmodbench.report.collect import CellResult
from xmodbench.report.model import Report
from xmodbench.report.pictures import small_address
from xmodbench.report.summary import Group
from xmodbench.store import SliceStore

WIDEST = 16_000
"""Pixels of a row of images: browsers draw no picture that is much wider."""
SMALL = 56  # pixels of a slice within the page


def open_images(report: Report, group: Group, methods: list[CellResult]) -> dict[str, np.ndarray]:
    """Arrays [N, H, W] in [0, 1] by name: ``source``, ``target`` and methods by id; none without a test store, and
    none of a method whose translations cannot be read."""
    plan = report.plan
    try:
        test = SliceStore(plan.data_dir(group.dataset) / "test")
        found = {"source": test.array(first_of(group.source)), "target": test.array(group.target)}
    except UserError:
        return {}
    for item in methods:
        try:
            images = SliceStore(plan.translation_dir(item.runs[0].cell)).array(group.target)
        except UserError:
            continue
        if images.shape == found["target"].shape and sum(array.shape[2] for array in found.values()) < WIDEST:
            found[item.cell.method] = images
    return found


def row_of_images(images: dict[str, np.ndarray], index: int) -> Image.Image:
    """All images of one slice side by side, 8-bit grey levels."""
    row = np.concatenate([array[index] for array in images.values()], axis=1)
    return Image.fromarray(np.round(np.clip(row, 0, 1) * 255).astype(np.uint8))


def write_row(picture: Image.Image, path: Path) -> None:
    """A PNG without loss."""
    picture.save(path, "PNG", compress_level=4)


def small_row(picture: Image.Image, count: int) -> str:
    """The row so small that it fits within the page, for where the folder beside it is missing."""
    return small_address(picture, SMALL * count, 50)
