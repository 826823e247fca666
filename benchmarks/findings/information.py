"""Does mutual information do the work? MIDiffusion with other conditions, windows and searches, trained alike.

xmodbench run config/ablation.yaml
python benchmarks/findings/information.py results/ablation
"""

from __future__ import annotations

from finished import Finished
from methods_side_by_side import differences, frame, table
from page import answered, pyplot

AGAINST = "midiffusion-channels-cross-self"
PLUGINS = ("midiffusion", "contourdiff")


def main() -> None:
    """Every condition beside both maps, which is MIDiffusion."""
    run, answer = answered(__doc__ or "", "information")
    methods = conditioned(run)
    answer.numbers(frame(run, methods, AGAINST))
    answer.figure(differences(pyplot(), run, methods, AGAINST, ("standard.psnr", "field.edges")))
    answer.table(table(run, methods, AGAINST), "Each condition's PSNR and new edges less those of both maps")


def conditioned(run: Finished) -> list[str]:
    """Both maps, and what differs from them in training: sampled otherwise is another question (`steps.py`)."""
    cells = {cell.method: cell for cell in run.competing(run.pairs[0])}
    trained = run.plan.model_dir(cells[AGAINST])
    return [
        name
        for name, cell in cells.items()
        if run.plan.methods[name].plugin.id in PLUGINS and (name == AGAINST or run.plan.model_dir(cell) != trained)
    ]


if __name__ == "__main__":
    main()
