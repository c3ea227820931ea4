"""The adapters with the real packages, in front of the stand-in server whose right replies are known.

`make integrations` installs the packages; a test whose package is not there is skipped.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import ttscale
from fake_openai import FakeServer, serving
from ttscale import Candidate, reference
from ttscale.hf import HFVerifier
from ttscale.integrations.searcher import Searcher
from ttscale.integrations.trl import reward_function
from ttscale.openai import OpenAIGenerator
from ttscale.prompts.layouts import PromptFormat
from ttscale.verifiers import FunctionVerifier

pytestmark = pytest.mark.filterwarnings("ignore")  # of other people's packages

QUESTION = "What is the digit?"
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One"},
    {"role": "assistant", "content": "Two"},
    {"role": "user", "content": QUESTION},
]


def needs(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed: make integrations")


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeServer]:
    with serving() as server:
        yield server


def generator(upstream: FakeServer, **form: Any) -> OpenAIGenerator:
    return OpenAIGenerator("toy", upstream.url, prompt=PromptFormat(**{"system": None, **form}))


def usage(cost: ttscale.Cost) -> tuple[int, int]:
    return cost.prompt_tokens + cost.cached_tokens, cost.sampled_tokens


# What they share.


def test_a_chat_reaches_the_server_as_it_is(upstream: FakeServer) -> None:
    before = len(upstream.requests)
    result = Searcher(generator(upstream), budget=3).ask(CHAT)
    assert [body["messages"] for body in upstream.bodies[before:]] == [CHAT] * 3
    form = PromptFormat(system="Be brief.", examples=(("One", "Two"),))
    own = ttscale.solve(QUESTION, 3, generator=OpenAIGenerator("toy", upstream.url, prompt=form))
    assert (result.text, result.cost) == (own.text, own.cost)


def test_the_generators_own_prompt_stays_unless_the_chat_brings_one(upstream: FakeServer) -> None:
    role = generator(upstream, system="Own.", examples=(("q", "a"),))
    shots = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    Searcher(role, budget=1).ask(CHAT)
    assert upstream.bodies[-1]["messages"] == [CHAT[0], *shots, *CHAT[1:]]
    Searcher(role, budget=1).ask(CHAT[1:])
    assert upstream.bodies[-1]["messages"] == [{"role": "system", "content": "Own."}, *shots, *CHAT[1:]]


def test_a_step_search_goes_on_in_a_conversation(upstream: FakeServer) -> None:
    def longest(candidate: Candidate) -> list[float]:
        return [1 - 1 / (1 + len(step.text)) for step in candidate.steps]

    form = PromptFormat(system="Be brief.", examples=(("One", "Two"),))
    arguments: Any = {"server": "vllm", "delimiter": "\n"}
    verifier = FunctionVerifier(longest)
    role = OpenAIGenerator("toy", upstream.url, prompt=PromptFormat(system=None), **arguments)
    result = Searcher(role, verifier, strategy="beam", budget=4).ask(CHAT)
    own_role = OpenAIGenerator("toy", upstream.url, prompt=form, **arguments)
    own = ttscale.solve(QUESTION, 4, generator=own_role, verifier=verifier, strategy="beam")
    assert (result.text, result.cost.steps) == (own.text, own.cost.steps)


def test_a_verifier_reads_the_conversation(upstream: FakeServer) -> None:
    seen: list[str] = []

    def note(candidate: Candidate) -> float:
        seen.append(candidate.question.prompt)
        return 0.5

    searcher = Searcher(generator(upstream), FunctionVerifier(note), strategy="best_of_n", budget=1)
    searcher.ask(CHAT)
    searcher.ask(CHAT[:1] + CHAT[-1:])
    searcher.ask(QUESTION)
    assert seen == [f"System: Be brief.\n\nUser: One\n\nAssistant: Two\n\nUser: {QUESTION}", QUESTION, QUESTION]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "messages is empty"),
        (CHAT[:3], "must be of role user or tool"),
        ([{"role": "user", "content": 5}], "must be a text or a list of parts"),
    ],
)
def test_chats_that_are_no_question(upstream: FakeServer, messages: list[Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Searcher(generator(upstream)).ask(messages)


def test_generators_of_plain_text_read_the_conversation(upstream: FakeServer) -> None:
    plain = OpenAIGenerator("toy", upstream.url, api="completions", prompt=PromptFormat(template="{question}"))
    Searcher(plain, budget=1).ask(CHAT)
    assert upstream.bodies[-1]["prompt"] == f"System: Be brief.\n\nUser: One\n\nAssistant: Two\n\nUser: {QUESTION}"
    with pytest.raises(ValueError, match="'top_k' is no setting of a search"):
        Searcher(plain).set({"top_k": 3})


# LiteLLM.


@needs("litellm")
class TestLiteLLM:
    @pytest.fixture(autouse=True)
    def registered(self, upstream: FakeServer) -> Iterator[None]:
        import litellm

        from ttscale.integrations.litellm import register

        register(Searcher(generator(upstream), budget=5))
        yield
        litellm.custom_provider_map = []

    def test_a_reply(self, upstream: FakeServer) -> None:
        import litellm

        own = ttscale.solve(QUESTION, 5, generator=generator(upstream))
        reply = litellm.completion("ttscale/toy", [{"role": "user", "content": QUESTION}])
        assert reply.choices[0].message.content == own.text
        assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == usage(own.cost)
        about = reply.choices[0].message.provider_specific_fields["ttscale"]
        assert (about["answer"], about["generations"]) == (own.answer, 5)

    def test_budget_and_seed_of_a_call(self, upstream: FakeServer) -> None:
        import litellm

        own = ttscale.solve(QUESTION, 9, generator=generator(upstream), seed=3)
        reply = asyncio.run(litellm.acompletion("ttscale/toy", CHAT[-1:], budget=9, seed=3))
        assert reply.choices[0].message.content == own.text

    def test_streams(self, upstream: FakeServer) -> None:
        import litellm

        own = ttscale.solve(QUESTION, 5, generator=generator(upstream))
        parts = list(litellm.completion("ttscale/toy", CHAT[-1:], stream=True))
        assert "".join(part.choices[0].delta.content or "" for part in parts) == own.text

        async def awaited() -> str:
            stream = await litellm.acompletion("ttscale/toy", CHAT[-1:], stream=True)
            return "".join([part.choices[0].delta.content or "" async for part in stream])

        assert asyncio.run(awaited()) == own.text

    def test_what_is_wrong_is_said(self) -> None:
        import litellm

        with pytest.raises(Exception, match="'top_p' is no setting of a search"):
            litellm.completion("ttscale/toy", CHAT[-1:], top_p=0.5)
        with pytest.raises(Exception, match="budget must be an integer"):
            litellm.completion("ttscale/toy", CHAT[-1:], budget=0)


# LangChain.


@needs("langchain_core")
class TestLangChain:
    def test_a_reply(self, upstream: FakeServer) -> None:
        from langchain_core.messages import HumanMessage, SystemMessage

        from ttscale.integrations.langchain import ChatTtscale

        chat = ChatTtscale(searcher=Searcher(generator(upstream), budget=5))
        form = PromptFormat(system="Be brief.")
        own = ttscale.solve(QUESTION, 5, generator=OpenAIGenerator("toy", upstream.url, prompt=form))
        message = chat.invoke([SystemMessage("Be brief."), HumanMessage(QUESTION)])
        assert message.content == own.text
        assert (message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"]) == usage(own.cost)
        assert message.response_metadata["ttscale"]["answer"] == own.answer

    def test_in_a_chain_awaited_streamed_and_with_a_budget(self, upstream: FakeServer) -> None:
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import ChatPromptTemplate

        from ttscale.integrations.langchain import ChatTtscale

        chat = ChatTtscale(searcher=Searcher(generator(upstream), budget=5))
        chain = ChatPromptTemplate([("user", "{text}")]) | chat.bind(budget=7) | StrOutputParser()
        own = ttscale.solve(QUESTION, 7, generator=generator(upstream))
        assert chain.invoke({"text": QUESTION}) == own.text
        assert asyncio.run(chain.ainvoke({"text": QUESTION})) == own.text
        assert "".join(chain.stream({"text": QUESTION})) == own.text
        with pytest.raises(ValueError, match="where the generator is made"):
            chat.invoke(QUESTION, stop=["x"])
        with pytest.raises(ValueError, match="is no setting of a search"):
            chat.invoke(QUESTION, top_p=1)


# DSPy.


@needs("dspy")
class TestDSPy:
    @pytest.fixture(autouse=True)
    def model(self) -> Iterator[Any]:
        """A language model whose answer is its rollout's number modulo three."""
        import dspy

        class Rolls(dspy.BaseLM):
            def __init__(self, **settings: Any) -> None:
                super().__init__("rolls", cache=False)
                self.kwargs = {"temperature": 0.0, **settings}

            def copy(self, **settings: Any) -> Rolls:
                return Rolls(**{**self.kwargs, **settings})

            def forward(self, prompt: Any = None, messages: Any = None, **settings: Any) -> Any:
                drawn = self.kwargs["rollout_id"] % 3
                text = f"[[ ## reasoning ## ]]\nr{drawn}\n\n[[ ## answer ## ]]\n{drawn}\n\n[[ ## completed ## ]]"
                message = {"role": "assistant", "content": text}
                import litellm

                return litellm.ModelResponse(
                    choices=[{"message": message, "finish_reason": "stop"}],
                    usage={"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7},
                    model="rolls",
                )

        lm = Rolls()
        with dspy.context(lm=lm):
            yield lm

    @staticmethod
    def drawn(budget: int) -> list[int]:
        question = ttscale.Question.of(repr([("question", "q")]))
        return [ttscale.Key((0, question.id)).child(i).seed % 3 for i in range(budget)]

    def test_a_vote_over_predictions(self) -> None:
        import dspy

        from ttscale.integrations.dspy import Scaled

        module = Scaled(dspy.ChainOfThought("question -> answer"), budget=9)
        prediction = module(question="q")
        drawn = self.drawn(9)
        best = max(drawn, key=lambda one: (drawn.count(one), -drawn.index(one)))
        assert (prediction.answer, prediction.reasoning) == (str(best), f"r{best}")
        assert prediction.ttscale["generations"] == 9

    def test_a_reward_chooses(self) -> None:
        import dspy

        from ttscale.integrations.dspy import Scaled

        module = Scaled(
            dspy.ChainOfThought("question -> answer"),
            budget=9,
            reward=lambda inputs, prediction: float(prediction.answer == "1" and inputs["question"] == "q"),
            strategy="best_of_n",
        )
        assert 1 in self.drawn(9)
        assert module(question="q").answer == "1"


# inspect_ai.


@needs("inspect_ai")
class TestInspect:
    @staticmethod
    def task(solver: Any) -> Any:
        from inspect_ai import Task
        from inspect_ai.dataset import Sample
        from inspect_ai.scorer import includes

        return Task(dataset=[Sample(QUESTION, target="Answer", id="a")], solver=solver, scorer=includes())

    def test_a_solver(self, upstream: FakeServer, tmp_path: Any) -> None:
        from inspect_ai import eval as run
        from inspect_ai.model import ModelOutput, ModelUsage, get_model

        from ttscale.integrations.inspect_ai import scaled

        drawn: list[int] = []

        def reply(messages: Any, tools: Any, choice: Any, config: Any) -> ModelOutput:
            drawn.append(config.seed % 3)
            output = ModelOutput.from_content("mock", f"Answer: {config.seed % 3}")
            output.usage = ModelUsage(input_tokens=5, output_tokens=2, total_tokens=7)
            return output

        model = get_model("mockllm/model", custom_outputs=reply)
        (log,) = run(self.task(scaled(budget=9)), model=model, display="none", log_dir=str(tmp_path))
        assert log.status == "success"
        (sample,) = log.samples
        best = max(set(drawn), key=drawn.count)
        assert len(drawn) == 9
        assert sample.output.completion == f"Answer: {best}"
        assert sample.metadata["ttscale"]["generations"] == 9
        assert [message.role for message in sample.messages] == ["user", "assistant"]

    def test_a_model(self, upstream: FakeServer, tmp_path: Any) -> None:
        from inspect_ai import eval as run
        from inspect_ai.model import GenerateConfig
        from inspect_ai.solver import generate

        from ttscale.integrations.inspect_model import model

        own = ttscale.solve(QUESTION, 7, generator=generator(upstream))
        (log,) = run(
            self.task(generate()),
            model=model(Searcher(generator(upstream), budget=5)),
            display="none",
            log_dir=str(tmp_path),
            extra_body={"budget": 7},
        )
        assert log.status == "success"
        assert log.samples[0].output.completion == own.text
        spent = log.samples[0].output.usage
        assert (spent.input_tokens, spent.output_tokens) == usage(own.cost)
        with pytest.raises(ValueError, match="is no setting of a search"):
            asyncio.run(model(Searcher(generator(upstream))).generate("x", config=GenerateConfig(top_p=0.5)))


# The harness.


def test_settings_of_a_call_reach_the_search(monkeypatch: pytest.MonkeyPatch, upstream: FakeServer) -> None:
    """Of inspect's ``extra_body``; its packages need not be there for this."""
    kinds = dict.fromkeys(("GenerateConfig", "Model", "ModelUsage", "get_model"), SimpleNamespace)
    api = type("ModelAPI", (), {"__init__": lambda self, *_: None})
    output = SimpleNamespace(from_content=lambda *_: SimpleNamespace())
    for name in ("inspect_ai", "inspect_ai.model"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    model: Any = sys.modules["inspect_ai.model"]
    vars(model).update(kinds, ModelAPI=api, ModelOutput=output, modelapi=lambda name: lambda cls: cls)
    monkeypatch.delitem(sys.modules, "ttscale.integrations.inspect_model", raising=False)
    adapter = import_module("ttscale.integrations.inspect_model").SearchAPI
    monkeypatch.delitem(sys.modules, "ttscale.integrations.inspect_model")
    role = adapter("m", searcher=Searcher(generator(upstream), budget=3, strategy="majority_vote"))

    def said(body: dict[str, Any] | None) -> tuple[str, int]:
        config = SimpleNamespace(extra_body=body, model_dump=lambda **_: {"extra_body": body} if body else {})
        asked = [SimpleNamespace(role="user", text=QUESTION)]
        about = asyncio.run(role.generate(asked, [], None, config)).metadata["ttscale"]
        return about["strategy"].partition("(")[0], about["generations"]

    assert said(None) == ("MajorityVote", 3)
    assert said({"budget": 5, "seed": 9}) == ("MajorityVote", 5)
    assert said({"strategy": "adaptive_consistency"})[0] == "AdaptiveConsistency"
    with pytest.raises(ValueError, match="'top_k' is no setting of a search"):
        said({"budget": 5, "top_k": 3})


@needs("lm_eval")
class TestHarness:
    def test_a_task(self, upstream: FakeServer, tmp_path: Any) -> None:
        import json

        from lm_eval import simple_evaluate
        from lm_eval.tasks import TaskManager

        from ttscale.integrations.lm_eval import TtscaleLM

        questions = [f"{QUESTION} {i}" for i in range(4)]
        role = OpenAIGenerator("toy", upstream.url, prompt=PromptFormat(system=None))
        own = [ttscale.solve(f"Q: {text}", 5, generator=role) for text in questions]
        file = tmp_path / "data.jsonl"
        rows = [{"q": text, "a": "x"} for text in questions]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        task = {
            "task": "digits",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(file)}},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "Q: {{q}}",
            "doc_to_target": "{{a}}",
            "generation_kwargs": {"until": ["\n\n"], "do_sample": False, "temperature": 0.0, "max_gen_toks": 256},
            "metric_list": [{"metric": "exact_match"}],
        }
        lm = TtscaleLM(role, budget=5)
        found = simple_evaluate(lm, tasks=[task], task_manager=TaskManager(), bootstrap_iters=0, log_samples=True)
        texts = [sample["resps"][0][0] for sample in found["samples"]["digits"]]
        assert len(texts) == len(own)
        assert all(result.cost.generations == 5 for result in lm.results)
        assert texts == [result.text for result in lm.results]

    def test_what_is_refused(self, upstream: FakeServer) -> None:
        from lm_eval.api.instance import Instance

        from ttscale.integrations.lm_eval import TtscaleLM

        lm = TtscaleLM(generator(upstream), budget=2)
        with pytest.raises(NotImplementedError, match="no log-likelihoods"):
            lm.loglikelihood([])
        request = Instance("generate_until", {}, ("x", {"top_k": 3}), 0)
        with pytest.raises(ValueError, match="'top_k' is set where the generator is made"):
            lm.generate_until([request])

    def test_texts_are_cut_at_stop_strings(self, upstream: FakeServer) -> None:
        from lm_eval.api.instance import Instance

        from ttscale.integrations.lm_eval import TtscaleLM

        lm = TtscaleLM(generator(upstream), budget=2)
        (whole,) = lm.generate_until([Instance("generate_until", {}, (QUESTION, {}), 0)], disable_tqdm=True)
        (cut,) = lm.generate_until([Instance("generate_until", {}, (QUESTION, {"until": ["\n", ""]}), 0)])
        assert whole.count("\n") >= 2
        assert cut == whole.split("\n")[0]


def test_repeats_of_the_harness_are_draws_of_their_own(monkeypatch: pytest.MonkeyPatch, upstream: FakeServer) -> None:
    """It hands the very same request over once for each repeat. Its packages need not be there for this."""
    for name in ("lm_eval", "lm_eval.api", "lm_eval.api.model", "lm_eval.api.registry"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    hook = SimpleNamespace(add_partial=lambda *_: None)
    model: Any = sys.modules["lm_eval.api.model"]
    model.LM = type("LM", (), {"__init__": lambda self: setattr(self, "cache_hook", hook)})
    registry: Any = sys.modules["lm_eval.api.registry"]
    registry.register_model = lambda name: lambda cls: cls
    monkeypatch.delitem(sys.modules, "ttscale.integrations.lm_eval", raising=False)
    lm = import_module("ttscale.integrations.lm_eval").TtscaleLM(generator(upstream), budget=1)
    monkeypatch.delitem(sys.modules, "ttscale.integrations.lm_eval")
    settings = {"until": ["\n\n"], "do_sample": True, "max_gen_toks": 4}
    requests = [SimpleNamespace(args=(f"q{i}", settings), idx=0, repeats=4, doc_id=i) for i in range(2)]
    with pytest.warns(RuntimeWarning, match="max_gen_toks.*max_new_tokens"):
        texts = lm.generate_until([one for one in requests for _ in range(4)], disable_tqdm=True)
    assert all(len(set(some)) > 1 for some in (texts[:4], texts[4:]))
    assert len({result.question.id for result in lm.results}) == 8
    alone = lm.generate_until(requests, disable_tqdm=True)
    assert alone == [texts[0], texts[4]], "the first draw is that of a request without repeats"


# TRL.


def test_rewards_are_the_verifiers_scores() -> None:
    verifier = HFVerifier(reference.path("prm"))
    reward = reward_function(verifier, how="min")
    questions = ["Compute 7 * 6 - 5", "Compute 8 + 5 - 4"]
    texts = ["42 - 5\n37\nAnswer: 37", "13 - 4\n8\nAnswer: 8"]
    scores = reward(prompts=questions, completions=texts, completion_ids=[[1], [2]], answer=["37", "9"])
    for question, text, score in zip(questions, texts, scores, strict=True):
        asked = ttscale.Question.of(question)
        steps = tuple(ttscale.Step(line) for line in text.splitlines(keepends=True))
        (verdict,) = verifier.score([ttscale.Score(Candidate(asked, ttscale.Key((0,)), steps, "stop"))])
        assert len(verdict.step_scores) == 3
        assert score == pytest.approx(min(verdict.step_scores), abs=1e-5)
    assert scores[0] is not None
    assert scores[1] is not None
    assert scores[0] > scores[1]


def test_rewards_of_chats_of_empty_texts_and_of_asynchronous_verifiers() -> None:
    async def share(candidate: Candidate) -> float:
        return len(candidate.steps) / 10 if candidate.question.prompt == "q" else 0.0

    reward = reward_function(FunctionVerifier(share))
    prompts = [[{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]] * 3
    completions = [[{"role": "assistant", "content": text}] for text in ("a\nb\nc", " \n", "a")]
    assert reward(prompts, completions) == [0.3, None, 0.1]
    with pytest.raises(ValueError, match="no text of role"):
        reward([[{"role": "system", "content": "s"}]], ["a"])

    def broken(candidate: Candidate) -> float:
        raise RuntimeError("no")

    with pytest.raises(ttscale.RoleError, match="broken raised RuntimeError: no"):
        reward_function(FunctionVerifier(broken))(["q"], ["a"])


def test_a_completion_without_a_score_has_no_reward() -> None:
    class Short:
        def score(self, requests: Any) -> list[ttscale.Verdict]:
            long = [len(request.candidate.text) > 3 for request in requests]
            return [ttscale.Verdict((), unscored="too long") if one else ttscale.Verdict((0.5,)) for one in long]

    assert reward_function(Short())(["q"] * 3, ["a", "aaaaa", "b"]) == [0.5, None, 0.5]


def test_an_asynchronous_verifier_rewards_inside_a_loop_too() -> None:
    """As in a notebook, where ``solve`` works as well."""

    async def half(candidate: Candidate) -> float:
        await asyncio.sleep(0)
        return 0.5

    async def notebook() -> list[float | None]:
        return reward_function(FunctionVerifier(half))(["q"], ["a"])

    assert asyncio.run(notebook()) == [0.5]


@needs("trl")
def test_grpo_trains_on_the_reward(tmp_path: Any) -> None:
    """Two steps of the bundled model: the rewards that TRL logs are the verifier's."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    seen: list[float] = []

    def digits(candidate: Candidate) -> float:
        seen.append(sum(letter.isdigit() for letter in candidate.text) / max(1, len(candidate.text)))
        return seen[-1]

    config = GRPOConfig(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=8,
        max_steps=2,
        logging_steps=1,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        bf16=False,
    )
    trainer = GRPOTrainer(
        model=str(reference.path("generator")),
        reward_funcs=reward_function(FunctionVerifier(digits)),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": "Compute 7 * 6 - 5"}] * 8),
    )
    trainer.train()
    logged = [row["rewards/ttscale/mean"] for row in trainer.state.log_history if "rewards/ttscale/mean" in row]
    assert len(seen) == 8
    assert logged == pytest.approx([sum(seen[:4]) / 4, sum(seen[4:]) / 4])
