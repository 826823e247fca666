"""Work of fixed shapes as a CUDA graph: launched as one, where launching its kernels would take longer than running them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

from xmodbench.plugins import Run

Result = TypeVar("Result")
WARM_UP = 3  # rounds in which libraries choose algorithms and take memory, which they may not while being captured


def replayable(
    work: Callable[[], Result], run: Run, name: str, state: Sequence[torch.Tensor] = ()
) -> Callable[[], Result]:
    """`work` as something that does it again and again: on a GPU a CUDA graph, elsewhere itself.

    Where it cannot be captured, one line says why and it is itself there too. The job's record says which it was.

    Args:
        work: reads and writes only tensors that stay where they are, and never waits for the GPU. What it returns lies in
            the same place every time: use it before the next time.
        run: device, progress and facts of the job.
        name: of the work, for the line and the record.
        state: what the work changes; it is as before when this returns.
    """
    if not run.device.startswith("cuda"):
        return work
    graphs = run.facts.setdefault("cuda_graph", {})
    before = [tensor.detach().clone() for tensor in state]
    try:
        found = captured(work)
        graphs[name] = True
    except Exception as error:  # CUDA, compilers and libraries raise all kinds
        found = work
        if graphs.get(name) is not False:
            reason = (str(error).splitlines() or [""])[0]
            run.progress.say(f"{name}: no CUDA graph ({type(error).__name__}: {reason})")
        graphs[name] = False
    with torch.no_grad():
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
    return found


def captured(work: Callable[[], Result]) -> Callable[[], Result]:
    """`work` as a graph of the present CUDA device."""
    # to itself, and not on the default stream, from which nothing can be captured
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()

    def replay() -> Result:
        graph.replay()
        return result

    return replay
