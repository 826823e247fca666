"""What the Triton kernels of `lmi_triton` share: entropies and information; logarithms are of base 2."""

from __future__ import annotations

import triton
import triton.language as tl

INTERPRETED = tl.constexpr(triton.knobs.runtime.interpret)  # there is no assembly in the interpreter


@triton.jit
def _log2(x):
    """log2 to 2**-22, absolute near 1 and relative elsewhere; one instruction, libdevice's takes twenty."""
    if INTERPRETED:
        found = tl.log2(x)
    else:
        found = tl.inline_asm_elementwise(
            "lg2.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return found


@triton.jit
def _inverse(x):
    """``1 / x`` to 2**-23; one instruction, a division takes six."""
    if INTERPRETED:
        found = 1 / x
    else:
        found = tl.inline_asm_elementwise(
            "rcp.approx.ftz.f32 $0, $1;", "=f,f", [x], dtype=tl.float32, is_pure=True, pack=1
        )
    return found


@triton.jit
def _term(counts, inverse, eps):
    """``-p log2(p + eps) / inverse`` of ``p = counts * inverse``."""
    return -counts * _log2(counts * inverse + eps)


@triton.jit
def _information(h1, h2, h12, eps_bits, NORMALISE: tl.constexpr):
    """Mutual information in bits from entropies in bits, or half the symmetric uncertainty, which no base changes."""
    found = h1 + h2 - h12
    if NORMALISE:
        found = (found + eps_bits) * _inverse(h1 + h2 + eps_bits)
    return found


@triton.jit
def _finished(best, per_bit, NORMALISE: tl.constexpr):
    """A pixel of the map: in the logarithm's units, or symmetric uncertainty."""
    if NORMALISE:
        found = 2 * best
    else:
        found = best * per_bit
    return found
