"""What the build computes in: bfloat16 where this CPU multiplies it natively, elsewhere float32.

Emulated bfloat16 is six times slower than float32. Rebuilt weights agree bit for bit only between CPUs of one kind.
"""

from __future__ import annotations

import torch

NATIVE = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
DTYPE = torch.bfloat16 if NATIVE else torch.float32


def mixed() -> torch.autocast:
    """Matrix products in ``DTYPE``, weights in float32."""
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=NATIVE)
