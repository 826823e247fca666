#!/usr/bin/env bash
# All that is to be measured on a GPU, on a machine that has torch and little else: benchmarks/on_gpu.py says what.
#
#     bash benchmarks/on_gpu.sh --out DIR [--tiny]     (options are on_gpu.py's; PYTHON names another python3)
#
# Brings the packages of `make gpu-bundle` into a folder of its own, which goes when it ends; the machine's stay as they are.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=${PYTHON:-python3}
bundle=${GPU_BUNDLE:-$root/build/gpu}
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
site=$private/site-packages # by this name the wall around a method's process knows it as a folder of packages
mkdir "$site"

tag=cp$("$python" -c 'import sys; print("%d%d" % sys.version_info[:2])')
shopt -s nullglob
wheels=("$bundle"/wheels/any/*.whl "$bundle/wheels/$tag"/*.whl)
if [ ${#wheels[@]} -eq 0 ]; then
    echo "on_gpu.sh: no wheels in $bundle: taking the packages there are ('make gpu-bundle' brings some)" >&2
elif ! "$python" -m pip install -q --no-index --no-deps --no-compile --disable-pip-version-check \
    --root-user-action ignore --target "$site" "${wheels[@]}"; then
    echo "on_gpu.sh: pip cannot install them: unzipping" >&2
    for wheel in "${wheels[@]}"; do "$python" -m zipfile -e "$wheel" "$site"; done
fi

export PYTHONPATH="$site:$root${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 GPU_BUNDLE="$bundle"
"$python" "$root/benchmarks/on_gpu.py" "$@"
