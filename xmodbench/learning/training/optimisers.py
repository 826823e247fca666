"""torch's optimisers without torch's compiler, which the first of them would import: seconds of every job that trains."""

from __future__ import annotations

import torch


def leave_out_compiler() -> None:
    """Let torch's optimisers be made and take steps without `torch._dynamo`; their numbers are the same.

    A few of their methods ask the compiler to keep out of them, and import it to say so. Networks are compiled here
    (`xmodbench.learning.training.compiling`), optimisers are not, so that there is nothing to keep out of. Where a version
    of torch asks in another way, or an optimiser was made before, all that is lost is the time.
    """
    for method in vars(torch.optim.Optimizer).values():
        plain = getattr(method, "__wrapped__", None)
        if callable(plain) and plain.__module__ == torch.optim.Optimizer.__module__:
            plain.__dynamo_disable = plain  # where torch keeps what the compiler answers
    for optimiser in (torch.optim.Adam, torch.optim.SGD):
        asking = vars(optimiser)["step"]
        if asking.__code__.co_name == "_use_grad":  # a step without gradients, as this is
            optimiser.step = torch.no_grad()(asking.__wrapped__)  # type: ignore[method-assign]
