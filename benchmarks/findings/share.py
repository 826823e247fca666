"""How many source slices buy CycleGAN what? Its curve over the slices it sees, against methods that see none.

xmodbench run config/share.yaml
python benchmarks/findings/share.py results/share
"""

from __future__ import annotations

from finished import Finished
from methods_side_by_side import curve, frame, level, swept, table
from page import COLOURS, answered, pyplot

AGAINST, OPTION = "midiffusion", "slices"
SWEPT = {"cyclegan": COLOURS["few-shot"], "cut": "#cc79a7"}
LEVELS = {"midiffusion": COLOURS["zero-shot"], "fgdm": "#56b4e9", "pix2pix": COLOURS["paired"]}
PANELS = ("standard.psnr", "field.edges", "standard.frechet_hog")


def main() -> None:
    """Every number of slices beside MIDiffusion."""
    run, answer = answered(__doc__ or "", "share")
    methods = [cell.method for cell in run.competing(run.pairs[0])]
    answer.numbers(frame(run, methods, AGAINST))
    answer.figure(figure(pyplot(), run))
    answer.table(table(run, methods, AGAINST), "Quality against the number of source slices")


def figure(plt, run: Finished):
    """Curves of what sees more and more slices, and levels of what sees none or all."""

    def draw(axis, pair, metric):
        for method, colour in LEVELS.items():
            level(axis, run, pair, metric, method, colour)
        for family, colour in SWEPT.items():
            points = {m.point[OPTION]: name for name, m in run.plan.methods.items() if m.family == family}
            plugin = run.plan.methods[next(iter(points.values()))].plugin
            curve(axis, run, pair, metric, points, color=colour, label=plugin.label)
        values = sorted({m.point[OPTION] for m in run.plan.methods.values() if OPTION in m.point})
        axis.set_xticks(values, [f"{value:g}" for value in values])
        axis.minorticks_off()

    return swept(plt, run, PANELS, 2.3 * len(run.pairs) + 0.3, "source slices seen", draw)


if __name__ == "__main__":
    main()
