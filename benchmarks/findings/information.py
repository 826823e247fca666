"""Does mutual information do the work? MIDiffusion with other conditions, windows and searches, trained alike.

xmodbench run config/ablation.yaml
python benchmarks/findings/information.py results/ablation
"""

from __future__ import annotations

from methods_side_by_side import differences, frame, table
from page import answered, pyplot

AGAINST = "midiffusion-channels-cross-self"


def main() -> None:
    """Every condition beside both maps, which is MIDiffusion."""
    run, answer = answered(__doc__ or "", "information")
    methods = [cell.method for cell in run.competing(run.pairs[0])]
    answer.numbers(frame(run, methods, AGAINST))
    answer.figure(differences(pyplot(), run, methods, AGAINST, ("standard.psnr", "field.edges")))
    answer.table(table(run, methods, AGAINST), "Each condition's PSNR and new edges less those of both maps")


if __name__ == "__main__":
    main()
