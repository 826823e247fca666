"""xmodbench: a benchmark of zero-shot cross-modality medical image translation."""

__version__ = "0.1.0"
