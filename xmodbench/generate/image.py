"""Packages of the container image, as its Dockerfile asks for them: `python -m xmodbench.generate.image cuda`."""

from __future__ import annotations

import sys
import tomllib

from xmodbench.files import REPOSITORY
from xmodbench.generate.environments import OF_CONDA, here
from xmodbench.generate.lock import Lock, bare

EXTRAS = ("kubernetes",)
"""What jobs on machines without a shared file system need beside the rest."""


def image_packages(variant: str) -> list[str]:
    """Requirements of an image with Snakemake.

    Args:
        variant: ``cuda``, everything with hashes; ``cpu``, the same without PyTorch; ``torch``, PyTorch's versions alone.
    """
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    if variant == "torch":
        return [f"{name}=={lock.version(name)}" for name in OF_CONDA]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = [item for name in EXTRAS for item in project["optional-dependencies"][name]]
    direct = [bare(item) for item in [*project["dependencies"], *extras]]
    pins = lock.needed_by(direct, without=OF_CONDA if variant == "cpu" else ())
    return [pin.requirement() for pin in here(pins)]


if __name__ == "__main__":
    print("\n".join(image_packages(sys.argv[1])))
