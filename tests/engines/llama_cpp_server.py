"""Serve a GGUF file with llama.cpp's own server until the input is closed (package ``xllamacpp``, which carries it).

    python llama_cpp_server.py MODEL.gguf --port 8080 [--slots 4] [--context 8192] [--threads 1]
        [--api-key KEY] [--chat-template FILE]

Run it in the environment that ``make engines`` makes for it: ttscale is not imported here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--context", type=int, default=8192)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--api-key")
    parser.add_argument("--chat-template", type=Path)
    options = parser.parse_args()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.model
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = options.port
    parameters.n_parallel, parameters.n_ctx = options.slots, options.context
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = options.threads
    parameters.cache_type_k = parameters.cache_type_v = int(xllamacpp.ggml_type.GGML_TYPE_F32)
    parameters.flash_attn_type = 0  # which would read keys and values in fp16
    parameters.warmup, parameters.endpoint_metrics = False, True
    parameters.api_keys = [options.api_key] if options.api_key else []
    if options.chat_template:
        parameters.use_jinja, parameters.chat_template = True, options.chat_template.read_text(encoding="utf-8")
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
