"""DSPy: a module run eight times at once, and a vote on its answers. (A made-up language model that slips.)"""

import dspy
from litellm import ModelResponse

from ttscale.integrations.dspy import Scaled


class Slips(dspy.BaseLM):
    def copy(self, **settings):
        return Slips("slips", cache=False, **{**self.kwargs, **settings})

    def forward(self, prompt=None, messages=None, **settings):
        answer = 42 if self.kwargs["rollout_id"] % 3 else 41
        text = f"[[ ## answer ## ]]\n{answer}\n\n[[ ## completed ## ]]"
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        return ModelResponse(choices=[{"message": {"role": "assistant", "content": text}}], usage=usage, model="slips")


with dspy.context(lm=Slips("slips", cache=False)):
    prediction = Scaled(dspy.Predict("question -> answer"), budget=8)(question="What is 6 times 7?")
print(prediction.answer, prediction.ttscale)
