"""What is carried to a GPU machine, and how it is brought in there."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from xmodbench.errors import UserError
from xmodbench.files import REPOSITORY

FOLDER = REPOSITORY / "benchmarks"


@pytest.mark.parametrize("python", ["3.11", "3.12"])
def test_the_lock_has_one_version_of_each_carried_package(benchmark_modules, python):
    bundle = benchmark_modules("gpu_bundle")
    wanted = bundle.locked(bundle.NEEDED, (REPOSITORY / "requirements.lock").read_text(), python)
    assert len(wanted) == len(bundle.NEEDED) and all("==" in one for one in wanted)
    assert not {"torch", "triton", "numpy", "scipy", "accelerate", "numba"} & set(bundle.NEEDED)


def test_versions_by_python_and_missing_ones(benchmark_modules):
    locked = benchmark_modules("gpu_bundle").locked
    lock = "a==1 ; python_full_version < '3.12' \\\n    --hash=x\na==2 ; python_full_version >= '3.12' \\\nab==3 \\\n"
    assert locked(("a", "ab"), lock, "3.11") == ["a==1", "ab==3"]
    assert locked(("a",), lock, "3.12") == ["a==2"]
    with pytest.raises(UserError, match="requirements.lock: 0 versions of 'b'"):
        locked(("b",), lock, "3.12")


@pytest.mark.parametrize("pip", [True, False])
def test_carried_packages_come_into_a_folder_of_their_own(tmp_path, pip):
    """Those for this Python and for any, by pip or, without it, unzipped; the folder is gone afterwards."""
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    for name, place in (("first", "any"), ("second", tag), ("third", "cp39")):
        (tmp_path / "wheels" / place).mkdir(parents=True)
        with zipfile.ZipFile(tmp_path / "wheels" / place / f"{name}_probe-1-py3-none-any.whl", "w") as wheel:
            info = f"{name}_probe-1.dist-info"
            wheel.writestr(f"{name}_probe.py", "")
            wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}-probe\nVersion: 1\n")
            wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{info}/RECORD", "")
    stub = tmp_path / "python"
    look = (
        "import first_probe, second_probe, importlib.util as u; print(first_probe.__file__, u.find_spec('third_probe'))"
    )
    stub.write_text(
        textwrap.dedent(f"""\
            #!/bin/bash
            if [[ $1 == *on_gpu.py ]]; then shift; echo "$@"; exec {sys.executable} -c "{look}"; fi
            {"" if pip else "if [[ $2 == pip ]]; then exit 1; fi"}
            exec {sys.executable} "$@"
            """)
    )
    stub.chmod(0o755)
    environment = {**os.environ, "PYTHON": str(stub), "GPU_BUNDLE": str(tmp_path), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["bash", FOLDER / "on_gpu.sh", "--out", "there"], env=environment, capture_output=True, text=True, check=True
    )
    given, found = done.stdout.splitlines()[-2:]
    assert given == "--out there" and found.endswith("site-packages/first_probe.py None")
    assert not Path(found.split()[0]).exists()
    assert ("unzipping" in done.stderr) is not pip
