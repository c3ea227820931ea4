#!/usr/bin/env bash
# Serve a model folder with vLLM's OpenAI server, in fp32 on the CPU, until it is killed.
#   vllm_server.sh PYTHON MODEL_DIR PORT [more options of vLLM]
# PYTHON is the interpreter of the environment that `make engines` makes. The `vllm serve` command needs a package
# metadata entry that the CPU build lacks, so the module is run. Threads sleep instead of spinning when they are idle.
set -euo pipefail
python=$1 model=$2 port=$3
shift 3
export VLLM_CPU_KVCACHE_SPACE=${VLLM_CPU_KVCACHE_SPACE:-1} VLLM_CPU_OMP_THREADS_BIND=${VLLM_CPU_OMP_THREADS_BIND:-nobind}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OMP_WAIT_POLICY=passive VLLM_NO_USAGE_STATS=1 HF_HUB_OFFLINE=1 VLLM_LOGGING_LEVEL=WARNING
exec "$python" -m vllm.entrypoints.openai.api_server --model "$model" --host 127.0.0.1 --port "$port" --dtype float32 \
    --enforce-eager --max-model-len 2048 --enable-prompt-tokens-details "$@"
