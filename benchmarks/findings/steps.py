"""How few steps? MIDiffusion's quality against the evaluations of its network, by sampler, form and samples averaged.

xmodbench run config/steps.yaml
python benchmarks/findings/steps.py results/steps
"""

from __future__ import annotations

from common import evaluations
from finished import Finished
from methods_side_by_side import curve, frame, swept, table
from page import answered, pyplot

AGAINST = "ddim-sampling_steps-25"
PANELS = ("standard.psnr", "field.edges", "standard.frechet_hog")
LOOKS = {
    "ddim": "#0072b2", "dpmpp_2m": "#d55e00", "unipc": "#cc79a7", "heun": "#009e73", "ancestral": "#777777",
    "averaged": "#56b4e9", "released": "#000000", "repaired": "#e69f00",
}  # fmt: skip


def main() -> None:
    """Every sampler and number of steps beside 25 of DDIM, which the preset takes."""
    run, answer = answered(__doc__ or "", "steps")
    methods = [cell.method for cell in run.competing(run.pairs[0])]
    rows = frame(run, methods, AGAINST)
    rows.insert(3, "evaluations", [cost(run, name) for name in rows["method"]])
    answer.numbers(rows)
    answer.figure(figure(pyplot(), run))
    answer.table(table(run, methods, AGAINST), "Quality against evaluations of the network")


def cost(run: Finished, method: str) -> int:
    """Evaluations of the network for a slice."""
    settings = run.plan.methods[method].settings[run.dataset].resolved()
    return settings.samples * evaluations(settings.sampler, settings.sampling_steps)


def figure(plt, run: Finished):
    """A line for each entry of the config."""

    def draw(axis, pair, metric):
        for family, colour in LOOKS.items():
            members = [name for name, method in run.plan.methods.items() if method.family == family]
            if members:
                label = run.plan.methods[members[0]].entry.label.replace("MIDiffusion, ", "")
                points = {cost(run, name): name for name in members}
                curve(axis, run, pair, metric, points, color=colour, label=label)

    return swept(plt, run, PANELS, 2.4 * len(run.pairs) + 0.4, "evaluations a slice", draw, columns=4)


if __name__ == "__main__":
    main()
