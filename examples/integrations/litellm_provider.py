"""LiteLLM: every model called "ttscale/..." is answered by a search. (The bundled model: arithmetic only.)"""

import litellm

from ttscale.integrations.litellm import register
from ttscale.integrations.searcher import Searcher

register(Searcher(budget=8))
reply = litellm.completion("ttscale/bundled", [{"role": "user", "content": "Compute (17 + 5) * 3 - 48"}])
print(reply.choices[0].message.content)
print(reply.usage.completion_tokens, "tokens in all draws")
