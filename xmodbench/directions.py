"""The sources of a translation; several are written with a plus between them, such as ``t1+t2``."""

from __future__ import annotations

AND = "+"


def modalities_of(source: str) -> tuple[str, ...]:
    """The modalities that a translation starts from, in their order."""
    return tuple(source.split(AND))


def first_of(source: str) -> str:
    """The modality that stands for all sources wherever one image is needed: in scores, controls and pictures."""
    return source.partition(AND)[0]
