# rzero for NVIDIA GPUs, with vLLM. Not built or run yet: it was only linted.
#
#   docker build -f src/rzero_cli/recipes/docker/cuda.Dockerfile -t rzero:cuda .      # in a clone
#   docker run --gpus all --ipc=host -v "$PWD/runs:/work/runs" -v ~/.cache/huggingface:/hub rzero:cuda \
#       make run MODEL=Qwen/Qwen3-4B-Base
#
# torch's and vLLM's wheels bring CUDA's libraries; the image adds the compiler that vLLM's kernels are
# built with at their first use.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04

# Distributions remove old versions, so a pin would break the image.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv python3-dev make \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/rzero/bin:$PATH HF_HOME=/hub PYTHONUNBUFFERED=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN python3 -m venv /opt/rzero \
    && pip install --no-cache-dir --constraint constraints.txt '.[train,eval,report,openai,vllm]' \
    && useradd --create-home --non-unique --uid 1000 rzero && mkdir -p /work /hub && chown rzero /work /hub

USER 1000
WORKDIR /work
RUN rzero init .
CMD ["rzero", "env"]
