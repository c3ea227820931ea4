"""Arguments that ``solve`` does not have, and where what they mean is set."""

from __future__ import annotations

_OF_GENERATOR = "it is a setting of the generator: HFGenerator(model, {0}=...) or OpenAIGenerator(name, url, {0}=...)"
_OF_HF = (
    "it is a setting of the generator: HFGenerator(model, {0}=...) or OpenAIGenerator(name, url, extra={{'{0}': ...}})"
)
_OF_MANY = "it is an argument of solve_all, which takes a list of questions"
INSTEAD = {
    **dict.fromkeys(("resume", "total_budget", "total_limit", "executor", "workers", "ray_options"), _OF_MANY),
    "temperature": _OF_GENERATOR,
    "top_p": _OF_GENERATOR,
    "top_k": _OF_HF,
    "min_p": _OF_HF,
    "max_new_tokens": _OF_GENERATOR,
    "stop": "it is a setting of the generator's prompt: prompt=PromptFormat(stop=('...',))",
    "max_tokens": "cap a solution with the generator's max_new_tokens, the search with limit=Limit(tokens=...)",
    "timeout": "cap the search with limit=Limit(seconds=...)",
    "n": "the number of solutions is budget=...",
    "num_samples": "the number of solutions is budget=...",
    "num_return_sequences": "the number of solutions is budget=...",
    "model": "name it as generator=...",
    "llm": "name it as generator=...",
    "lm": "name it as generator=...",
    "prm": "name it as verifier=...",
    "reward_model": "name it as verifier=...",
    "judge": "wrap it: verifier=ttscale.verifiers.JudgeVerifier(generator)",
    "method": "name it as strategy=...",
    "algorithm": "name it as strategy=...",
    "base_url": "make a generator of it: OpenAIGenerator(name, 'http://.../v1')",
    "api_key": "give it to the generator: OpenAIGenerator(name, api_key=...)",
    "device": "give it to the model: HFModel(name, device=...)",
    "dtype": "give it to the model: HFModel(name, dtype=...)",
    "prompt": "it is a setting of the generator: HFGenerator(model, prompt=...)",
    "system_prompt": "it is a setting of the generator: HFGenerator(model, prompt=PromptFormat(system=...))",
    "beam_width": "it is a setting of the strategy: strategy=ttscale.Beam(width=...)",
    "aggregate": "it is a setting of the strategy: strategy=ttscale.BestOfN(aggregate=...)",
    "trace": "result.trace has it, result.save(path) draws it, and solve_all(resume=path) writes it as it comes",
    "verbose": "progress=False hides the progress bar; logging.getLogger('ttscale') has the rest",
    "quiet": "progress=False hides the progress bar",
}
