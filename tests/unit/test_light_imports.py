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


@pytest.mark.parametrize("unneeded", ["torch", "pandas", "scipy.stats", "scipy.optimize", "matplotlib", "SimpleITK"])
def test_scoring_does_not_import(scoring, unneeded):
    assert "skimage.metrics" in scoring
    assert unneeded not in scoring


@pytest.fixture(scope="module")
def scoring():
    return imported_by("import xmodbench.cli.app, xmodbench.stages.score")


@pytest.fixture(scope="module")
def networks():
    return imported_by("import xmodbench.learning.diffusion.networks")


@pytest.mark.parametrize("unneeded", ["torch._dynamo", "torchvision", "scipy", "trio", "diffusers.models.transformers"])
def test_a_noise_prediction_network_does_not_import_all_of_diffusers(networks, unneeded):
    assert "diffusers.models.unets.unet_2d" in networks
    assert unneeded not in networks


@pytest.mark.slow
def test_the_rest_of_diffusers_can_be_imported_afterwards_with_the_same_classes():
    imported_by(
        "import xmodbench.learning.diffusion.networks as networks\n"
        "from diffusers import UNet2DModel, UNet2DConditionModel\n"
        "from diffusers.models.transformers import AuraFlowTransformer2DModel\n"
        "import torch._dynamo\n"
        "assert networks.UNet2DModel is UNet2DModel\n"
        "assert torch._dynamo.allow_in_graph"
    )


def test_the_rest_of_diffusers_finds_its_packages_afterwards():
    imported_by(
        "import importlib.metadata\n"
        "before = importlib.metadata.packages_distributions\n"
        "import xmodbench.learning.diffusion.networks\n"
        "assert importlib.metadata.packages_distributions is before\n"
        "from diffusers.utils import is_accelerate_available, is_torch_available\n"
        "assert is_accelerate_available() and is_torch_available()"
    )


STEPS = """
import torch
torch.manual_seed(0)
network = torch.nn.Linear(3, 2)
def optimised(kind, **options):
    torch.manual_seed(1)
    network.reset_parameters()
    optimizer = kind(network.parameters(), lr=0.1, **options)
    for _ in range(3):
        optimizer.zero_grad()
        network(torch.ones(1, 3)).square().sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)]})
    assert not any(parameter.grad_fn for parameter in network.parameters())
    return [parameter.detach().clone() for parameter in network.parameters()]
kinds = [(torch.optim.Adam, {}), (torch.optim.AdamW, {}), (torch.optim.SGD, {"momentum": 0.9})]
"""


def test_a_training_does_not_import_the_compiler_for_its_optimiser():
    assert "torch._dynamo" not in imported_by(
        "import xmodbench.learning.training.loop\n" + STEPS + "for kind, options in kinds: optimised(kind, **options)"
    )


def test_steps_without_the_compiler_are_the_same():
    """Bit for bit those of torch as it is, in a Python of its own each; and gradients go on being asked for afterwards."""
    said = "print('weights', [value.tolist() for kind, options in kinds for value in optimised(kind, **options)])\n"
    said += "assert torch.is_grad_enabled()\n"
    answers = []
    for first in ("", "import xmodbench.learning.training.loop\n"):
        command = [sys.executable, "-c", first + STEPS + said]
        answers.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert answers[0] == answers[1] and "weights" in answers[0]
