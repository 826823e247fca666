"""Jobs last minutes and there are many: what they import, and need not, costs more than some of them do."""

import subprocess
import sys

import pytest


def imported_by(code: str) -> set[str]:
    """Names of the modules that a fresh Python has after `code`."""
    answer = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(answer.stdout.split())


@pytest.fixture(scope="module")
def networks():
    return imported_by("import xmodbench.learning.diffusion.networks")


@pytest.mark.parametrize("unneeded", ["torch._dynamo", "torchvision", "scipy.stats", "diffusers.models.transformers"])
def test_a_noise_prediction_network_does_not_import_all_of_diffusers(networks, unneeded):
    assert "diffusers.models.unets.unet_2d" in networks
    assert unneeded not in networks


def test_the_rest_of_diffusers_can_be_imported_afterwards_with_the_same_classes():
    imported_by(
        "import xmodbench.learning.diffusion.networks as networks\n"
        "from diffusers import UNet2DModel, UNet2DConditionModel\n"
        "from diffusers.models.transformers import AuraFlowTransformer2DModel\n"
        "import torch._dynamo\n"
        "assert networks.UNet2DModel is UNet2DModel\n"
        "assert torch._dynamo.allow_in_graph"
    )
