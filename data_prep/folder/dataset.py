"""Bring your own volumes: a folder, and a file-name pattern per modality."""

from xmodbench.data.volumes.pattern import PatternConfig, PatternDataset


class Folder(PatternDataset):
    """Volumes of one's own; everything is said in the settings."""

    Config = PatternConfig
