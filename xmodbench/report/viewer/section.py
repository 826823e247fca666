"""The viewer as a section of the page, and its pictures in the folder beside it."""

from __future__ import annotations

import json
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from xmodbench.directions import first_of
from xmodbench.report.assets import packed
from xmodbench.report.model import Report
from xmodbench.report.pictures import Pictures
from xmodbench.report.plot_parts import COLOURS
from xmodbench.report.summary import Group
from xmodbench.report.viewer.cases import Cases, choose_cases, described, metrics_shown, shown_methods
from xmodbench.report.viewer.sprites import open_images, row_of_images, small_row, write_row

KEY_CASES = 96
"""Slices, of all directions together, whose pictures are kept small within the page."""
_TEMPLATES = Environment(
    loader=PackageLoader("xmodbench.report.viewer"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


def viewer_section(report: Report, pictures: Pictures) -> Markup | None:
    """The section; None where no cell has scores. Writes the slices' pictures."""
    groups = [group for group in report.groups if any(item.whole for item in group.results)]
    if not groups:
        return None
    keys = max(3, KEY_CASES // len(groups))
    shown = [_group(report, group, pictures, keys) for group in groups]
    data = {"groups": shown, "metrics": metrics_shown(report), "colours": COLOURS}
    return Markup(_TEMPLATES.get_template("viewer.html.j2").render(
        data=packed(json.dumps(data, allow_nan=False)),
        error=_error_colours(),
        style=Markup(_read("viewer.css")),
        script=Markup(_read("viewer.js")),
        simulated=any(group["simulated"] for group in shown),
        seeds=any(item.replicates for item in report.results),
        left_out=[group for group in shown if len(group["pictured"]) < group["all"]],
    ))  # fmt: skip


def _group(report: Report, group: Group, pictures: Pictures, keys: int) -> dict[str, Any]:
    """A direction as the script needs it."""
    cases = choose_cases(report, group, report.plan.config.report.cases, keys)
    images = open_images(report, group, shown_methods(report, group))
    folder = f"cases/{group.key}"
    return described(report, group, cases) | {
        "images": list(images),
        "names": {"source": f"source ({first_of(group.source).upper()})", "target": f"target ({group.target.upper()})"},
        "size": list(images["target"].shape[1:]) if images else [1, 1],
        "folder": pictures.address(folder),
        "pictured": [cases.points.index(row) for row in cases.pictured] if images else [],
        "files": [f"{row:05d}.png" for row in cases.pictured] if images else [],
        "small": _write(images, cases, pictures, folder) if images else {},
    }


def _write(images, cases: Cases, pictures: Pictures, folder: str) -> dict[int, str]:
    """Write the pictures of a direction; those for the page itself are returned, by place among the points."""
    (pictures.folder / folder).mkdir(parents=True)
    small = {}
    for row in cases.pictured:
        picture = row_of_images(images, row)
        write_row(picture, pictures.folder / folder / f"{row:05d}.png")
        if row in cases.keys:
            small[cases.points.index(row)] = small_row(picture, len(images))
    return small


def _error_colours() -> dict[str, str]:
    """Tables of an SVG filter that turns differences (0 to 1) to the figure's colours, its window at half the range."""
    from matplotlib import colormaps

    from xmodbench.report.figure import ERROR_COLOURS, ERROR_WINDOW

    steps = 33
    colours = [colormaps[ERROR_COLOURS](min(1, step / (steps - 1) / ERROR_WINDOW)) for step in range(steps)]
    return {name: " ".join(f"{colour[place]:.3f}" for colour in colours) for place, name in enumerate("RGB")}


def _read(name: str) -> str:
    source = _TEMPLATES.loader
    assert source is not None
    return source.get_source(_TEMPLATES, name)[0]
