"""A GGUF file with its quantised weights made float, so that llama.cpp computes with the very weights of the others.

llama.cpp rounds activations to 8 bits where weights are quantised; in fp32 it does not. Needs the package ``gguf``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def in_fp32(file: Path) -> Path:
    """The file beside this one that holds the same model in fp32; made once."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter, LlamaFileType, quants

    out = file.with_name(f"{file.name.partition('.')[0]}.F32.gguf")
    if out.is_file():
        return out
    reader = GGUFReader(str(file))
    part = out.with_name(f"{out.name}.{os.getpid()}")
    writer = GGUFWriter(str(part), _text(reader, "general.architecture"))
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind = field.types[0]
        value: Any = field.contents()
        if name == "general.file_type":
            value = int(LlamaFileType.ALL_F32)
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, kind, inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, quants.dequantize(tensor.data, tensor.tensor_type).astype("float32"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(out)
    return out


def _text(reader: Any, name: str) -> str:
    return str(reader.fields[name].contents())
