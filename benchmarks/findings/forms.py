"""Released, published, repaired: MIDiffusion's three forms, as small and as long trained.

xmodbench run config/forms.yaml
python benchmarks/findings/forms.py results/forms
"""

from __future__ import annotations

from methods_side_by_side import differences, frame, table
from page import answered, pyplot

AGAINST = "released_consistent"


def main() -> None:
    """Every form beside the repaired one."""
    run, answer = answered(__doc__ or "", "forms")
    methods = [cell.method for cell in run.competing(run.pairs[0])]
    skilless = [cell.method for cell, answers in run.controls(run.pairs[0]) if answers in ("mean", "source")]
    answer.numbers(frame(run, [*methods, *skilless], AGAINST))
    others = [name for name in methods if name != AGAINST]
    metrics = ("standard.psnr", "field.edges", "standard.frechet_hog")
    answer.figure(differences(pyplot(), run, others, AGAINST, metrics))
    answer.table(table(run, [*methods, *skilless], AGAINST), "Each form's numbers less those of the repaired one")


if __name__ == "__main__":
    main()
