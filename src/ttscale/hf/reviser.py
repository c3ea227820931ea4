"""The reviser: earlier attempts in, a new whole solution out, on a shared ``HFModel``.

The context is laid out by ``prompts.encode``, which training uses too.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.core.protocols import run_all
from ttscale.core.requests import Completion, Revise
from ttscale.hf.sampler import HFWriter


class HFReviser(HFWriter):
    """Writes new attempts after earlier ones; its settings are those of ``HFGenerator``.

    A root candidate (no steps) among the attempts stands for "no attempt yet" and is left out of the context.
    """

    def revise(self, requests: Sequence[Revise], /) -> list[Completion]:
        """A new attempt for each request; raises for the first one that cannot be served."""
        return run_all(self.session(), requests)
