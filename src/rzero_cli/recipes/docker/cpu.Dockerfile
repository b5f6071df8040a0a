# rzero without a GPU: the demo, and every stage against a server. Not built or run yet: only linted.
#
#   docker build -f src/rzero_cli/recipes/docker/cpu.Dockerfile -t rzero:cpu .       # in a clone
#   docker run -v "$PWD/runs:/work/runs" rzero:cpu make demo
FROM python:3.11-slim-bookworm

# Distributions remove old versions, so a pin would break the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends make \
    && rm -rf /var/lib/apt/lists/*

ENV HF_HOME=/hub PYTHONUNBUFFERED=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
# torch's own index has builds for the CPU, which need no CUDA libraries.
ARG TORCH_INDEX
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} --constraint constraints.txt \
        '.[train,eval,report,openai]' \
    && useradd --create-home --uid 1000 rzero && mkdir -p /work /hub && chown rzero /work /hub

USER 1000
WORKDIR /work
RUN rzero init .
CMD ["rzero", "env"]
