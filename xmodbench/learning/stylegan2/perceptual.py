"""What images look like beside their grey levels: features whose difference encoder and inversion keep small."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from xmodbench.errors import UserError
from xmodbench.files import sha256_file
from xmodbench.learning.training.weights import not_finite

from .discriminator import Discriminator

VGG_LAYERS, VGG_SIDE, VGG_WEIGHT = 23, 256, 5e-5  # up to conv4_3 and its ReLU
VGG_MEAN = (123.68, 116.779, 103.939)  # red, green, blue


class Features(nn.Module):
    """Features of images and their differences; this one sees nothing and is the option ``none``."""

    def describe(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features [N, ...] of images [N,1,R,R] in [-1, 1], each image's from that image alone."""
        return []

    def as_trained_with(self, x: torch.Tensor) -> torch.Tensor:
        """Images [N,1,R,R] as the encoder's training describes them: here at their own resolution, as the inversion does."""
        return x

    def distance(self, a: list[torch.Tensor], b: list[torch.Tensor], n: int) -> torch.Tensor:
        """Differences [N] between what `describe` said of `n` images and of `n` others."""
        return torch.zeros(n)


class DiscriminatorFeatures(Features):
    """Outputs of a discriminator's blocks, of length 1 at each pixel.

    The squared difference is summed over channels, averaged over pixels and summed over blocks.
    """

    def __init__(self, discriminator: Discriminator):
        super().__init__()
        # without what follows the blocks, which looks at several images at once
        self.from_image, self.blocks = copy.deepcopy((discriminator.from_image, discriminator.blocks))

    def describe(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of each block [N,C,h,w], normalised over channels."""
        x, found = self.from_image(x), []
        for block in self.blocks:
            x = block(x)
            found.append(x * torch.rsqrt(x.square().sum(1, keepdim=True) + 1e-10))
        return found

    def distance(self, a: list[torch.Tensor], b: list[torch.Tensor], n: int) -> torch.Tensor:
        """Sum over blocks of the mean squared distance of a pixel's features."""
        first, *others = ((one - other).square().sum(1).mean((1, 2)) for one, other in zip(a, b, strict=True))
        return sum(others, start=first)


class VggFeatures(Features):
    """VGG16 up to conv4_3 after its ReLU (Simonyan and Zisserman 2015), for grey levels 0 to 255 less the ImageNet mean."""

    mean: torch.Tensor

    def __init__(self):
        super().__init__()
        from torchvision.models.vgg import cfgs, make_layers  # not the whole network: its classifier is 90 % of it

        self.layers = make_layers(cfgs["D"])[:VGG_LAYERS]
        for layer in self.layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False
        self.register_buffer("mean", torch.tensor(VGG_MEAN)[:, None, None])

    def describe(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features [N,512,R/8,R/8]."""
        return [self.layers((x + 1) * 127.5 - self.mean)]

    def as_trained_with(self, x: torch.Tensor) -> torch.Tensor:
        """Images of 256 px, by repetition or omission of pixels."""
        return functional.interpolate(x, [VGG_SIDE, VGG_SIDE], mode="nearest")

    def distance(self, a: list[torch.Tensor], b: list[torch.Tensor], n: int) -> torch.Tensor:
        """Mean squared difference."""
        return (a[0] - b[0]).square().mean((1, 2, 3))


class GradientFeatures(Features):
    """Sobel gradients at full, half and quarter size."""

    filters: torch.Tensor

    def __init__(self):
        super().__init__()
        sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
        self.register_buffer("filters", torch.stack([sobel, sobel.t()])[:, None], persistent=False)

    def describe(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Gradients [N,2,h,w] at each scale."""
        return [functional.conv2d(functional.avg_pool2d(x, scale), self.filters) for scale in (1, 2, 4)]

    def distance(self, a: list[torch.Tensor], b: list[torch.Tensor], n: int) -> torch.Tensor:
        """Sum over scales of the mean absolute difference."""
        first, *others = ((one - other).abs().mean((1, 2, 3)) for one, other in zip(a, b, strict=True))
        return sum(others, start=first)


def features_of(settings, discriminator: Discriminator) -> Features:
    """Untrained features of the kind ``settings.perceptual``; those of a discriminator are copied from it."""
    kinds = {"vgg16": VggFeatures, "grad": GradientFeatures, "none": Features}
    if settings.perceptual == "disc":
        return DiscriminatorFeatures(discriminator)
    return kinds[settings.perceptual]()


def read_vgg16(features: VggFeatures, path: Path, sha256: str | None) -> str:
    """Load the weights of a VGG16 from a file; returns the file's SHA-256.

    Raises:
        UserError: the file is missing, not the wanted one, or holds something else.
    """
    where = f"vgg16_file {path}"
    if not path.is_file():
        raise UserError("no such file", where, "give the weights of torchvision's VGG16 IMAGENET1K_FEATURES")
    found = sha256_file(path)
    if sha256 is not None and found != sha256:
        raise UserError(f"its SHA-256 is {found}, not the wanted {sha256}", where, "fetch it again or correct the sum")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        wanted = features.layers.state_dict()
        features.layers.load_state_dict({name: state[f"features.{name}"] for name in wanted})
        if problem := not_finite(features.layers.state_dict()):
            raise ValueError(problem)
    except Exception as error:  # safetensors, pickle and torch each raise their own
        problem = f"cannot be read as weights of VGG16 ({str(error).splitlines()[0]})"
        raise UserError(problem, where, "give torchvision's state dict") from None
    return found
