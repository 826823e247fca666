"""What every method may read beside its arrays: Python, installed packages, the system's libraries, devices.

Nothing here depends on the job. Of a folder on Python's path that is no place of installed packages (a checkout, say, with
data beside the code) only the packages and modules are granted.
"""

from __future__ import annotations

import glob
import json
import os
import site
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from xmodbench.files import IS_CHECKOUT, PACKAGE_ROOT, REPOSITORY

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/sys")
SYSTEM_FILES = (
    *(
        "/etc/alternatives",
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/etc/localtime",
        "/etc/timezone",
    ),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/mime.types", "/etc/fonts", "/etc/OpenCL", "/etc/vulkan"),
    # of the kernel's own folder the process itself, no other one
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version"),
    *("/proc/sys/kernel", "/proc/sys/vm", "/proc/filesystems", "/proc/devices", "/proc/modules", "/proc/driver/nvidia"),
)
NAMES = ("/etc/hosts", "/etc/host.conf", "/etc/resolv.conf", "/etc/gai.conf", "/proc/net")
"""To find the other processes of a training by name."""
NULL = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
GPUS = ("/dev/nvidia*", "/dev/nvidia-caps/*", "/dev/dri/*", "/dev/kfd")

KEPT = frozenset(
    {
        *(
            "PATH",
            "LANG",
            "LANGUAGE",
            "TZ",
            "TERM",
            "COLUMNS",
            "LINES",
            "NO_COLOR",
            "LD_LIBRARY_PATH",
            "LD_PRELOAD",
            "CC",
        ),
        *(
            "CXX",
            "CFLAGS",
            "CONDA_PREFIX",
            "VIRTUAL_ENV",
            "RANK",
            "LOCAL_RANK",
            "GROUP_RANK",
            "ROLE_RANK",
            "WORLD_SIZE",
        ),
        *(
            "LOCAL_WORLD_SIZE",
            "GROUP_WORLD_SIZE",
            "ROLE_WORLD_SIZE",
            "MASTER_ADDR",
            "MASTER_PORT",
            "COVERAGE_PROCESS_START",
        ),
    }
)
KEPT_FAMILIES = (
    *("LC_", "CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "NUMBA_", "TORCH_"),
    *("TORCHELASTIC_", "PYTORCH_", "TRITON_", "ACCELERATE_", "PYTHON", "TP_", "HIP_", "ROCR_", "ROCM_", "MALLOC_"),
)


def system_files(names: bool = False) -> tuple[str, ...]:
    """Files and folders of the system, those that name other machines if `names`."""
    libraries = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path.startswith("/")]
    return (*SYSTEM, *SYSTEM_FILES, *libraries, *(NAMES if names else ()))


@cache
def code_folders() -> tuple[str, ...]:
    """Python, its installed packages, and of every other folder on its path the packages and modules."""
    prefixes = {
        Path(path).resolve() for path in (sys.prefix, sys.base_prefix, sys.exec_prefix, *site.getsitepackages())
    }
    if site.ENABLE_USER_SITE:
        prefixes.add(Path(site.getusersitepackages()).resolve())
    found = {*map(str, prefixes), str(PACKAGE_ROOT)}
    for path in {*_python_path(), *_editable()}:
        if path.name in ("site-packages", "dist-packages") or path.is_file():
            found.add(str(path))
        elif path.is_dir() and not any(path.is_relative_to(prefix) for prefix in prefixes):
            found |= {str(item.resolve()) for item in path.iterdir() if _is_code(item)}
    return tuple(sorted(found))


def _python_path() -> list[Path]:
    """Folders and archives on Python's path, but the working directory, which ``python -m`` puts there."""
    entries = [Path(entry).resolve() for entry in sys.path if entry]
    return [path for path in entries if path != Path.cwd() and path.exists()]


def _editable() -> Iterator[Path]:
    """Source folders of packages that are installed in place."""
    for distribution in distributions():
        try:
            origin = json.loads(distribution.read_text("direct_url.json") or "{}")
        except ValueError:
            continue
        if origin.get("dir_info", {}).get("editable"):
            root = Path(unquote(urlsplit(origin["url"]).path))
            yield from (path for path in (root, root / "src") if path.is_dir())


def _is_code(path: Path) -> bool:
    if path.is_dir():
        return (path / "__init__.py").is_file() or path.suffix in (".dist-info", ".egg-info")
    return path.suffix in (".py", ".so")


def device_files(device: str) -> tuple[str, ...]:
    """Device files: those of GPUs only where one may be used."""
    return NULL if device == "cpu" else (*NULL, *(path for pattern in GPUS for path in glob.glob(pattern)))


def environment(private: Path) -> dict[str, str]:
    """Variables for a method's process: known harmless ones, and every cache and temporary folder in `private`.

    Caches are private since a shared one would carry what one method saw to another.
    """
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith(KEPT_FAMILIES)}
    folders = {
        "TMPDIR": "tmp",
        "HOME": "home",
        "XDG_CACHE_HOME": "cache",
        "MPLCONFIGDIR": "cache/matplotlib",
        "NUMBA_CACHE_DIR": "cache/numba",
        "TRITON_CACHE_DIR": "cache/triton",
        "TORCHINDUCTOR_CACHE_DIR": "cache/inductor",
        "TORCH_HOME": "cache/torch",
        "CUDA_CACHE_PATH": "cache/cuda",
    }
    for folder in folders.values():
        (private / folder).mkdir(parents=True, exist_ok=True)
    # this checkout goes before another one that is installed; where packages lie, what else lies there goes after Python's
    path = os.pathsep.join(
        map(str, dict.fromkeys([*([REPOSITORY] if IS_CHECKOUT else []), *_python_path(), REPOSITORY]))
    )
    return {**kept, **{name: str(private / folder) for name, folder in folders.items()}, "PYTHONPATH": path}
