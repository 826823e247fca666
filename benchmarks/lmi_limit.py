"""How far the LMI map on a CPU is from what one thread of this machine could do: operations counted, their rate measured.

    python benchmarks/lmi_limit.py [--sizes 64 128] [--repeats 5] [--asm] [--json FILE]

The compiled map makes, for each pair of windows, the cells of a joint histogram that the windows' kernels reach; rows of
them in vectors of 16. For every cell the pipes that multiply and add have 20 things to do: 9 products of kernel values, the
scale, 9 steps of the logarithm and the sum; what else there is (the mantissa's four integer operations, a conversion, two
additions) finds other pipes. Marginals are a row more. The limit is the time of these operations at the rate that Horner's
scheme over numbers in the first cache reaches here, compiled by the same compiler: for the cells that are reached, and for
the whole vectors that they fill. The bytes between kernel table and registers never leave the first cache; those of the
images, 12 a pixel, would take the time of the last column at the rate of a copy. Times are one thread's processor time.

`--asm` compiles the map anew and says which vector registers its code names.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator

import numba
import numpy as np
import torch
from common import Results, add_json, machine, seconds
from lmi_layouts import inputs, ours, plugin

LANES = 16
PER_CELL = 20
STEPS = 32
HEADER = (
    "size",
    "sliding",
    "ms",
    "cells a pixel",
    "of all",
    "in vectors",
    "limit ms",
    "share",
    "in vectors",
    "bytes ms",
)


@numba.njit(fastmath=True)
def horner(x: np.ndarray, out: np.ndarray) -> None:
    """`STEPS` multiply-adds for each number."""
    for i in range(x.size):
        p = x[i]
        for _ in range(STEPS):
            p = p * x[i] + np.float32(0.5)
        out[i] = p


def peak() -> float:
    """Multiply-adds a second of one thread, on numbers in the first cache."""
    x = np.linspace(0.1, 0.5, 2048, dtype=np.float32)
    out = np.empty_like(x)
    horner(x, out)
    rounds = 2000
    return rounds * STEPS * x.size / seconds(lambda: [horner(x, out) for _ in range(rounds)], "cpu", 5)


def copied() -> float:
    """Bytes a second of a copy that no cache holds, read and written."""
    big = np.ones(2**24, np.float32)
    target = np.empty_like(big)
    return 2 * big.nbytes / seconds(lambda: np.copyto(target, big), "cpu", 3)


def cells(reference: np.ndarray, sliding: np.ndarray, options) -> tuple[int, int]:
    """Cells of all joint histograms and marginals of a map [H, W]: those that are reached, and in whole vectors.

    Args:
        reference, sliding: rows of the kernel table, int ``[H + 1, W + 1]``.
    """
    windows = plugin("lmi_windows")
    table, first, last = windows.trimmed_table(options)
    mass, sides = table.sum(1), [length - 1 for length in reference.shape]

    def gathered(image, rows, columns):
        return image[rows[:, None, :, None], columns[None, :, None, :]].reshape(*sides, -1)

    def reach(levels):
        return np.maximum(last[levels].max(-1) - first[levels].min(-1), 0)

    own = gathered(reference, *(windows.reference_positions(side, options.window, options.pad) for side in sides))
    rows, flat = reach(own), own.min(-1) == own.max(-1)
    reached, filled = int(rows.sum()), int((-(-rows // LANES) * LANES).sum())
    by_row, by_column = (windows.sliding_positions(side, options) for side in sides)
    for some_rows in by_row:
        for some_columns in by_column:
            other = gathered(sliding, some_rows, some_columns)
            skipped = (flat | (other.min(-1) == other.max(-1))) & ((mass[own] * mass[other]).sum(-1) >= 1e-2)
            columns = np.where(skipped, 0, reach(other))
            reached += int(((rows + 1) * columns).sum())
            filled += int(((rows + 1) * -(-columns // LANES) * LANES).sum())
    return reached, filled


def rows(arguments: argparse.Namespace, rate: float, bytes_rate: float) -> Iterator[tuple]:
    """The table: each size with the image over itself, and with noise over it."""
    options = plugin("lmi").LmiOptions(normalise=True)
    table_rows, levels = plugin("lmi_torch").padded_table_rows, lambda image: torch.trunc(255 * image[:, 0])
    for size in arguments.sizes:
        for kind in ("clean", "noisy"):
            pair = inputs(size, kind)
            ours(*pair)
            took = seconds(lambda pair=pair: ours(*pair), "cpu", arguments.repeats)
            reached, filled = cells(*(table_rows(levels(image), options)[0].numpy() for image in pair), options)
            limits = [PER_CELL * count / rate for count in (reached, filled)]
            each, everything = reached / size**2, options.window**2 * options.bins**2
            yield (
                *(
                    size,
                    kind,
                    f"{1e3 * took:.1f}",
                    f"{each:.0f}",
                    f"{each / everything:.0%}",
                    f"{filled / size**2:.0f}",
                ),
                *(f"{1e3 * limits[0]:.1f}", f"{limits[0] / took:.0%}", f"{limits[1] / took:.0%}"),
                f"{1e3 * 12 * size**2 / bytes_rate:.3f}",
            )


def registers() -> Iterator[tuple[str, int]]:
    """How often the compiled map names vector registers of each width."""
    compiled = plugin("lmi_cpu")._rows
    anew = numba.njit(nogil=True, fastmath=True)(compiled.py_func)
    (signature,) = compiled.signatures
    anew.compile(signature)
    found = Counter(re.findall(r"%([xyz]mm)\d+", anew.inspect_asm(anew.signatures[0])))
    for name, bits in (("zmm", 512), ("ymm", 256), ("xmm", 128)):
        yield f"{name} ({bits} bits)", found[name]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--asm", action="store_true", help="say which vector registers are used; takes a minute")
    add_json(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rate, bytes_rate = peak(), copied()
    measured = f"{rate / 1e9:.1f} G multiply-adds/s, {bytes_rate / 1e9:.1f} GB/s"
    results = Results(f"{machine('cpu', 1)}; {measured}", arguments.json)
    results.table(HEADER, rows(arguments, rate, bytes_rate))
    if arguments.asm:
        results.table(("registers", "named"), registers(), "Vector registers in the map's code")


if __name__ == "__main__":
    main()
