# Image of xmodbench with Snakemake: jobs of a cluster without a shared file system, `--sdm apptainer`, or all of it on one machine.
#   docker build --build-arg VARIANT=cpu -t xmodbench:cpu .     without CUDA
#   docker build -t xmodbench:cuda .                            7.4 GB: torch with all of CUDA that it needs
#   docker run --rm -v "$PWD":/workdir xmodbench:cpu xmodbench run smoke
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG VARIANT=cuda
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates python3 python3-venv \
 && python3 -m venv /opt/tools && /opt/tools/bin/pip install --no-cache-dir uv packaging \
 && python3 -m venv /opt/xmodbench
WORKDIR /source
# the packages first: they change less often than the code
COPY requirements.lock pyproject.toml ./
COPY xmodbench/__init__.py xmodbench/errors.py xmodbench/files.py xmodbench/commands.py xmodbench/
COPY xmodbench/generate xmodbench/generate
ENV VIRTUAL_ENV=/opt/xmodbench UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN --mount=type=cache,target=/root/.cache/uv \
    /opt/tools/bin/python -m xmodbench.generate.image ${VARIANT} > /tmp/packages.txt \
 && /opt/tools/bin/uv pip install --no-deps --require-hashes --requirement /tmp/packages.txt
# PyTorch's builds without CUDA are on an index of its own; the lock knows their version, not their hashes
RUN --mount=type=cache,target=/root/.cache/uv \
    if [ ${VARIANT} = cpu ]; then /opt/tools/bin/python -m xmodbench.generate.image torch > /tmp/torch.txt \
 && /opt/tools/bin/uv pip install --torch-backend cpu --requirement /tmp/torch.txt; fi
# jobs in pods read from and write to a storage; Snakemake has them install its plugin once more, with pip
RUN /opt/tools/bin/python -m xmodbench.generate.image plugins > /tmp/plugins.txt \
 && /opt/tools/bin/uv pip install --no-cache --requirement /tmp/plugins.txt
COPY . .
RUN /opt/tools/bin/uv pip install --no-cache --no-deps --build-constraints requirements.lock .

FROM ${BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends ca-certificates git python3 rsync \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 xmodbench \
 && install --directory --owner xmodbench /workdir
COPY --from=build /opt/xmodbench /opt/xmodbench
ENV PATH=/opt/xmodbench/bin:/usr/local/bin:/usr/bin:/bin \
    NUMBA_CACHE_DIR=/tmp/numba MPLCONFIGDIR=/tmp/matplotlib
USER xmodbench
WORKDIR /workdir
HEALTHCHECK --interval=5m --timeout=60s CMD ["xmodbench", "doctor"]
CMD ["xmodbench", "--help"]
