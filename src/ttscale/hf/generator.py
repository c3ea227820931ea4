"""The generator: questions and steps in, sampled steps out, on a shared ``HFModel``.

How requests become draws is in ``sampler.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from ttscale.core.protocols import run_all
from ttscale.core.requests import Completion, Sample
from ttscale.hf.option_probabilities import Odds, first_token_odds
from ttscale.hf.sampler import HFWriter


class HFGenerator(HFWriter):
    """Samples continuations from a causal LM.

    ``delimiter`` ends a step (None: the whole solution is one step); ``temperature`` 0 is greedy; ``max_new_tokens``
    limits a solution, and in step search each step; ``prompt`` lays the question out, and ``chat_template_kwargs`` are
    what its chat template is given ({"enable_thinking": False}, say).
    What is left out comes from the checkpoint's ``ttscale.json``, else from its generation config (temperature, top_k,
    top_p, min_p, penalties, bans and biases, stop strings, limits), else from our defaults (one step per line).
    ``generation_config`` is one of your own (``transformers.GenerationConfig``), or None: none at all. ``ValueError``
    names a setting in it that ttscale does not have. ``sampling`` holds the settings that results depend on and that
    our defaults do not say; it is part of what stored results call this generator.
    """

    def sample(self, requests: Sequence[Sample], /) -> list[Completion]:
        """Continue each prefix; raises for the first request that cannot be served."""
        return run_all(self.session(), requests)

    def choose(self, requests: Sequence[Sample], options: Sequence[str], /) -> list[Odds] | None:
        """For each request, how likely the reply is to begin with each of ``options`` (for judges), and its cost.

        None where the tokenizer cannot tell the options apart by their first token.
        """
        contexts = [tuple(self._sampler.draw(request).context) for request in requests]
        return first_token_odds(self.model, contexts, options)
