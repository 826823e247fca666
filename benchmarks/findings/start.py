"""Does it need t0? SDEdit's curve over its start, ILVR and EGSDE, beside MIDiffusion: faithfulness against realism.

    xmodbench run config/tradeoff.yaml
    python benchmarks/findings/start.py results/tradeoff

Faithfulness: likeness to the source (SSIM-Src), which is what t0 trades; and nearness to the true target (PSNR), which is
what translation is for. Realism: the distance between sets. Both can be had alone, by copying the source and by
showing any real slice.
"""

from __future__ import annotations

from finished import Finished, Pair
from methods_side_by_side import METRICS, frame, table
from page import COLOURS, WIDTH, answered, dress, heading, legend, pyplot

AGAINST = "midiffusion"
PLUGINS = {"sdedit": "#0072b2", "egsde_zero_shot": "#d55e00", "ilvr": "#009e73", "midiffusion": "#000000"}
FAITHFUL, REAL = ("standard.ssim_src", "standard.psnr"), "standard.frechet_hog"
SHOWN_CONTROLS = ("source", "mean", "shuffled")


def main() -> None:
    """Every start beside MIDiffusion."""
    run, answer = answered(__doc__ or "", "start")
    methods = [c.method for c in run.competing(run.pairs[0]) if run.plan.methods[c.method].plugin.id in PLUGINS]
    controls = [cell.method for cell, answers in run.controls(run.pairs[0]) if answers in SHOWN_CONTROLS]
    answer.numbers(frame(run, [*methods, *controls], AGAINST))
    answer.figure(figure(pyplot(), run, methods, controls))
    metrics = ("standard.ssim_src", "standard.psnr", "field.edges", "volume.dice_tissue", REAL)
    answer.table(
        table(run, [*methods, *controls], AGAINST, metrics),
        "Realism against faithfulness to the source and to the true target",
    )


def figure(plt, run: Finished, methods: list[str], controls: list[str]):
    """A row for each direction: realism against each kind of faithfulness."""
    shown, axes = plt.subplots(
        len(run.pairs), 2, figsize=(WIDTH, 2.6 * len(run.pairs) + 0.3), layout="constrained", squeeze=False
    )
    for row, pair in zip(axes, run.pairs, strict=True):
        for axis, faithful in zip(row, FAITHFUL, strict=True):
            for plugin, colour in PLUGINS.items():
                members = [name for name in methods if run.plan.methods[name].plugin.id == plugin]
                if members:
                    draw(axis, run, pair, faithful, members, colour, run.plan.methods[members[0]].plugin.label)
            for name in controls:
                draw(axis, run, pair, faithful, [name], COLOURS["control"], "")
            for name in [*controls, *methods]:
                start = run.plan.methods[name].point.get("start")
                word = run.plan.method_label(name) if name in controls else f"{start:g}" if start else ""
                place(axis, run, pair, faithful, name, word)
            axis.set_xlabel(f"{METRICS[faithful][0]}, {heading('->'.join(pair))}", fontsize=7)
            axis.set_ylabel(METRICS[REAL][0], fontsize=7)
            axis.invert_yaxis()
            dress(axis)
    legend(shown, axes[0][0].get_legend_handles_labels()[0])
    return shown


def draw(axis, run: Finished, pair: Pair, faithful: str, members: list[str], colour: str, label: str) -> None:
    """Points with intervals both ways, joined in their order."""
    points = [(run.value(pair, name, faithful), run.value(pair, name, REAL)) for name in members]
    axis.plot([x.value for x, _ in points], [y.value for _, y in points], "-o", color=colour, markersize=3.5, linewidth=0.8,
              label=label or None)  # fmt: skip
    for x, y in points:
        axis.plot([x.low, x.high], [y.value, y.value], color=colour, linewidth=0.6)
        axis.plot([x.value, x.value], [y.low, y.high], color=colour, linewidth=0.6)


def place(axis, run: Finished, pair: Pair, faithful: str, method: str, text: str) -> None:
    """A word beside a point, within the axis."""
    where = run.value(pair, method, faithful).value, run.value(pair, method, REAL).value
    beyond = where[0] > sum(axis.get_xlim()) / 2
    look = {"textcoords": "offset points", "fontsize": 5.5, "ha": "right" if beyond else "left"}
    axis.annotate(text, where, (-4 if beyond else 4, 3), **look)


if __name__ == "__main__":
    main()
