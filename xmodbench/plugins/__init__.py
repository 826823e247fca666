"""What plugins are made of, and how they are found: ``from xmodbench.plugins import Method, Settings, Supervision``."""

from xmodbench.plugins.dataset import Dataset, RemoteFile, SubjectRecord
from xmodbench.plugins.discovery import DATASETS, METHODS, METRICS, Kind, Plugin, available, find
from xmodbench.plugins.method import Borrower, Control, FewShot, Method, Run, Supervision, TrainData, TwoPhase
from xmodbench.plugins.metric import ImageMetric
from xmodbench.plugins.settings import Settings

__all__ = [
    "DATASETS",
    "METHODS",
    "METRICS",
    "Borrower",
    "Control",
    "Dataset",
    "FewShot",
    "ImageMetric",
    "Kind",
    "Method",
    "Plugin",
    "RemoteFile",
    "Run",
    "Settings",
    "SubjectRecord",
    "Supervision",
    "TrainData",
    "TwoPhase",
    "available",
    "find",
]
