"""Packages of the container image, as its Dockerfile asks for them: `python -m xmodbench.generate.image cuda`."""

from __future__ import annotations

import sys
import tomllib

from xmodbench.files import REPOSITORY
from xmodbench.generate.environments import OF_CONDA, here
from xmodbench.generate.lock import Lock, bare

PLUGINS = "kubernetes"
"""Extra of what jobs on machines without a shared disk need. It is not in the lock: every Snakemake that finds the plugins
imports them, which takes seconds."""


def image_packages(variant: str) -> list[str]:
    """Requirements of an image with Snakemake.

    Args:
        variant: ``cuda``, everything with hashes; ``cpu``, the same without PyTorch; ``torch``, PyTorch's versions alone;
            ``plugins``, what the lock does not hold.
    """
    lock = Lock.read((REPOSITORY / "requirements.lock").read_text())
    if variant == "torch":
        return [f"{name}=={lock.version(name)}" for name in OF_CONDA]
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    if variant == "plugins":
        return list(project["optional-dependencies"][PLUGINS])
    direct = [bare(item) for item in project["dependencies"]]
    pins = lock.needed_by(direct, without=OF_CONDA if variant == "cpu" else ())
    return [pin.requirement() for pin in here(pins)]


if __name__ == "__main__":
    print("\n".join(image_packages(sys.argv[1])))
