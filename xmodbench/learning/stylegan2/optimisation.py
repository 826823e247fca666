"""Adam under lazy regularisation, gradients that are not numbers, and the moving average of weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from xmodbench.errors import UserError

DECAY, FLOOD = 0.99, 10.0


def lazy_adam(network: nn.Module, rate: float, interval: int) -> torch.optim.Adam:
    """Adam with betas (0, 0.99), corrected for a regulariser that steps every `interval`-th time (section 3.2 of CVPR).

    With ``c = interval / (interval + 1)``, the rate is multiplied by c and the betas are raised to the power of c.
    """
    c = interval / (interval + 1)
    return torch.optim.Adam(network.parameters(), lr=rate * c, betas=(0.0, 0.99**c), eps=1e-8)


def fill_missing(parameters: Iterable[nn.Parameter]) -> None:
    """Give parameters that a loss does not depend on a gradient of zeros.

    The released code adds its images or scores times 0 to both penalties. Without a gradient Adam would pass a parameter
    by, in a penalty's step: its moments would not fade and its steps would not be counted.
    """
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)


class Gradients:
    """Replaces what is not a number in gradients, and notices a flood of it in any kind of update.

    Attributes:
        counts: [2, kinds]: updates so far with such gradients, and their count of late: a sum in which older ones weigh
            0.99 times less with every update of that kind. A penalty that comes every 16th step has a count of its own, or
            sound updates between would hide that it is always broken.
    """

    def __init__(self, device: str, kinds: tuple[str, ...]):
        self.kinds = kinds
        self.counts = torch.zeros(2, len(kinds), device=device)

    @property
    def repaired(self) -> torch.Tensor:
        """Updates so far, of all kinds, whose gradients were broken; a scalar."""
        return self.counts[0].sum()

    @torch.no_grad()
    def repair(self, kind: str, parameters: Iterable[nn.Parameter]) -> None:
        """Replace NaN by 0 and infinities by +-1e5, as the released code does."""
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        # a sum of squares is finite only if all are (an overflow counts too: nothing that large is sound)
        norms = torch._foreach_norm(gradients)
        bad = (~torch.isfinite(torch.stack(norms))).any().to(self.counts)
        for gradient in gradients:
            torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
        column = self.kinds.index(kind)
        self.counts[0, column] += bad
        self.counts[1, column] = self.counts[1, column] * DECAY + bad

    def check(self, step: int) -> None:
        """Raise a UserError where about one update in ten of a kind had such gradients of late."""
        for kind, count, late in zip(self.kinds, *self.counts.tolist(), strict=True):
            if late > FLOOD:
                raise UserError(
                    f"gradients of the {kind} are not finite in many updates ({int(count)} of them by step {step})",
                    "training",
                    "lower learning_rate or raise r1_gamma, and run again",
                )


def half_life_decay(batch_size: int, seen: int, kimg: float, ramp: float | None) -> float:
    """Weight of the old average when a batch is added to a moving average.

    Args:
        batch_size: images of a step.
        seen: images before it.
        kimg: half-life in thousands of images.
        ramp: in the beginning the half-life is this share of the images seen; None for the full one from the start.
    """
    images = kimg * 1000 if ramp is None else min(kimg * 1000, ramp * seen)
    return 0.5 ** (batch_size / max(images, 1e-8))


@torch.no_grad()
def average_into(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the parameters of `average` towards those of `network`; buffers are copied."""
    torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
    for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
        kept.copy_(buffer)
