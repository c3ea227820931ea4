"""What a model or a checkpoint may do that its forward does not show: caches that forget, threads, odd logits."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers as T
from tokenizers import Tokenizer, decoders, models, normalizers

from hf import tiny
from ttscale import Candidate, Key, Question, Sample, Score, Step, reference
from ttscale.hf import HFGenerator, HFModel, ImplicitVerifier
from ttscale.hf import pick_runner as backend_module
from ttscale.hf.known_logprobs import known
from ttscale.hf.memory import batches
from ttscale.hf.option_probabilities import first_token_odds
from ttscale.hf.own_cache import runner as plain_module
from ttscale.hf.pick_runner import open_shared_kv as fast
from ttscale.hf.pick_runner import runner
from ttscale.hf.sampling import Filters, draw
from ttscale.hf.shared_kv.kv_slots import Slab
from ttscale.prompts.steps import StepText
from ttscale.prompts.tokenize import PromptFormat, encode

TOKENIZER = T.AutoTokenizer.from_pretrained(reference.path("generator"))
V = len(TOKENIZER)
PLAIN = PromptFormat(chat=False)
SHAPE: dict[str, Any] = {**tiny.SHAPE, "vocab_size": V}


def made(config: Any, **settings: Any) -> HFModel:
    torch.manual_seed(3)
    module = T.AutoModelForCausalLM.from_config(config)
    return HFModel(module, tokenizer=TOKENIZER, device="cpu", **settings)


def llama(**settings: Any) -> HFModel:
    return made(T.LlamaConfig(**SHAPE), **settings)


def ask(question: str, n: int = 1) -> list[Sample]:
    root = Candidate(Question.of(question), Key((0, question)))
    return [Sample(root, root.key.child(i), None) for i in range(n)]


def greedy(model: HFModel, **settings: Any) -> HFGenerator:
    return HFGenerator(model, **{"temperature": 0, "delimiter": None, "max_new_tokens": 6, "prompt": PLAIN, **settings})


def said(generator: HFGenerator, question: str) -> tuple[int, ...]:
    return generator.sample(ask(question))[0].steps[0].tokens


@torch.inference_mode()
def slowly(model: HFModel, ids: Sequence[int], count: int) -> tuple[int, ...]:
    text = list(ids)
    for _ in range(count):
        text.append(int(model.module(input_ids=torch.tensor([text]), use_cache=False).logits[0, -1].argmax()))
    return tuple(text[-count:])


def test_threads_that_share_a_module_take_turns() -> None:
    model = made(T.Qwen3Config(**SHAPE, head_dim=8))
    model.eos_ids = frozenset()
    other = HFModel(model.module, tokenizer=TOKENIZER, device="cpu")
    other.eos_ids = frozenset()
    generators = [greedy(model), greedy(other)]
    alone = {f"{n} + 1": said(generators[0], f"{n} + 1") for n in range(6)}
    fast_one = fast(model)
    assert fast_one is not None
    assert fast_one.network.lean is None  # the kind that changes the config for a forward
    inside, most, wrong = [0], [0], []

    def before(*_: Any) -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])

    model.module.model.register_forward_pre_hook(before)
    model.module.model.register_forward_hook(lambda *_: inside.__setitem__(0, inside[0] - 1))

    def work(place: int) -> None:
        for question, wanted in alone.items():
            if said(generators[place % 2], question) != wanted:
                wrong.append(question)

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, most[0]) == ([], 1)
    assert model.module.config._attn_implementation != "ttscale"


HYBRIDS = {
    "jamba": (
        T.JambaConfig(
            **{**SHAPE, "num_hidden_layers": 4},
            attn_layer_period=2,
            attn_layer_offset=1,
            expert_layer_period=2,
            expert_layer_offset=1,
            num_experts=2,
            num_experts_per_tok=1,
            mamba_d_state=8,
            mamba_dt_rank=4,
        ),
        (True, False),
    ),
    "minimax": (
        T.MiniMaxConfig(
            **{**SHAPE, "num_hidden_layers": 4},
            head_dim=8,
            block_size=8,
            num_local_experts=4,
            layer_types=["linear_attention", "full_attention"] * 2,
        ),
        (False, False),
    ),
    "roberta": (
        T.RobertaConfig(**{k: v for k, v in SHAPE.items() if k != "num_key_value_heads"}, is_decoder=True),
        (False, False),
    ),
    "gemma2": (T.Gemma2Config(**SHAPE, head_dim=8, tie_word_embeddings=False), (True, True)),
}


@pytest.mark.parametrize("name", HYBRIDS)
def test_a_cache_is_trusted_with_what_it_gets_right(name: str) -> None:
    config, wanted = HYBRIDS[name]
    model = made(config)
    model.eos_ids = frozenset()
    generator = greedy(model)
    root = ask("hello")[0].prefix
    step = Step("x", tuple(range(10, 17)))
    longer = root.extend(root.key.child(0), [step], "open")
    session, replies = generator.session(), {}
    for ticket, prefix in enumerate((root, longer)):  # the second continues what the first left behind
        session.admit([(ticket, Sample(prefix, prefix.key.child(1), None))])
        while session.active:
            replies.update(session.step())
    session.close()
    context = encode(TOKENIZER, PLAIN, "hello")
    assert replies[0].steps[0].tokens == slowly(model, context, 6)
    assert replies[1].steps[0].tokens == slowly(model, [*context, *step.tokens], 6)
    caching = backend_module.found(model).caching
    assert caching is not None
    assert (caching.steps, caching.prefixes) == wanted
    # Rows that leave at different times.
    model.eos_ids = frozenset(range(2, 12))
    warm = HFGenerator(model, delimiter=None, max_new_tokens=8, prompt=PLAIN)
    together = warm.sample(ask("hello", 4))
    assert [one.steps for one in together] == [warm.sample(ask("hello", 4)[i : i + 1])[0].steps for i in range(4)]


def test_rotary_embeddings_that_change_with_the_length_are_computed_anew() -> None:
    rope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": 64,
    }
    model = made(T.Phi3Config(**SHAPE, original_max_position_embeddings=64, rope_parameters=rope))
    model.eos_ids = frozenset()
    generator, question = greedy(model, max_new_tokens=20), "1 + " * 29
    context = encode(TOKENIZER, PLAIN, question)
    assert len(context) < 64 < len(context) + 20
    assert said(generator, question) == slowly(model, context, 20)


def test_a_model_without_a_cache_pays_for_every_forward() -> None:
    model = made(T.MambaConfig(vocab_size=V, hidden_size=32, num_hidden_layers=2, state_size=8, eos_token_id=2))
    model.eos_ids = frozenset()
    generator, ran = HFGenerator(model, delimiter=None, max_new_tokens=8, prompt=PLAIN), []
    generator.sample(ask("x"))  # the test of its cache is nobody's
    model.forwarded_tokens = 0
    model.module.backbone.register_forward_pre_hook(
        lambda _, given, named: ran.append((given[0] if given else named["input_ids"]).numel()), with_kwargs=True
    )
    replies = generator.sample(ask("hello there", 2))
    assert model.forwarded_tokens == sum(ran)
    assert sum(reply.cost.flops for reply in replies) >= 2 * model.body_parameters * sum(ran)


def test_kept_caches_of_models_stay_within_the_budget() -> None:
    for budget in (0, 40_000):
        model = made(T.Gemma2Config(**SHAPE, head_dim=8), kv_bytes=budget)
        session = HFGenerator(model, delimiter=None, max_new_tokens=2, prompt=PLAIN).session()
        session.admit(list(enumerate(one for i in range(12) for one in ask(f"question {i}"))))
        while session.active:
            session.step()
        kept = session._decoder._runner._kept
        tensors = [t for cache, _ in kept.values() for layer in cache.layers for t in (layer.keys, layer.values)]
        assert sum(t.numel() * t.element_size() for t in tensors) <= session.kv_bytes <= budget
        assert bool(kept) == bool(budget)
        session.close()
    assert plain_module._bytes(None) == 0


@pytest.mark.parametrize("config", [T.GraniteConfig(**SHAPE, logits_scaling=8.0), T.Gemma2Config(**SHAPE, head_dim=8)])
def test_a_judges_odds_are_the_models_own(config: Any) -> None:
    model = made(config)
    with torch.no_grad():
        model.module.get_output_embeddings().weight.mul_(4)
    contexts = [(5, 6, 7), (8, 9), (5, 6, 7, 8, 9)]
    found = first_token_odds(model, contexts, ("7", "8"))
    assert found is not None
    for context, (odds, _) in zip(contexts, found, strict=True):
        with torch.no_grad():
            wanted = model.module(input_ids=torch.tensor([context])).logits[0, -1].softmax(-1)
        ids = [TOKENIZER(word, add_special_tokens=False)["input_ids"][0] for word in ("7", "8")]
        assert odds == pytest.approx([float(wanted[i]) for i in ids], rel=1e-4)


def test_logits_that_are_more_than_the_heads_product_are_the_models_own() -> None:
    torch.manual_seed(3)
    config = T.Gemma2Config(**SHAPE, head_dim=8, attn_logit_softcapping=None, final_logit_softcapping=30.0)
    model = HFModel(T.Gemma2ForCausalLM(config), tokenizer=TOKENIZER, device="cpu", dtype="bfloat16")
    assert fast(model) is None
    assert "final_logit_softcapping" in str(backend_module.found(model).unshared_because)
    scaled = made(T.GraniteConfig(**SHAPE, logits_scaling=1.001))  # within the tolerance of a whole forward
    assert fast(scaled) is None
    assert "head" in str(backend_module.found(scaled).unshared_because)


class Coarse(torch.nn.Linear):
    """Sums one row another way than many, as quantised layers do."""

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        out = super().forward(given)
        return out * 1.005 if given.shape[:-1].numel() == 1 else out


@pytest.mark.parametrize("quantised", [True, False])
def test_a_quantised_model_may_sum_one_row_another_way(quantised: bool) -> None:
    """Its own ``generate`` does so too; a model that says nothing of it is read whole, at every token."""
    model = made(T.LlamaConfig(**SHAPE))
    for layer in model.module.model.layers:
        own = layer.mlp.down_proj
        layer.mlp.down_proj = Coarse(own.in_features, own.out_features, bias=False)
        layer.mlp.down_proj.weight = own.weight
    model.module.is_quantized = quantised
    assert backend_module.caching(model).steps is quantised


def byte_fallback() -> Any:
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"<0x{i:02X}>": 3 + i for i in range(256)}}
    for letter in "▁abcdefghijklmnopqrstuvwxyz.":
        vocabulary[letter] = len(vocabulary)
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return T.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def test_characters_spelled_in_bytes_are_read_from_their_beginning() -> None:
    tokenizer = byte_fallback()

    def ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"][1:])

    text = StepText(tokenizer, "\n", ("\n\nb",))
    before = ids("x 日本語\n")
    assert text.text(before, ids("日 yes\n")) == "日 yes\n"
    assert text.ends(before, ids("日\n"))
    assert text.stops(tuple(before), ids("\nb")) == 0
    own = ids("🤔🤔🤔\n日本語\nabc\n")
    for begin in range(len(own)):
        for context in ((), tuple(ids("日本"))):
            whole = text.decode([*context, *own])
            head = text.decode([*context, *own[:begin]])
            if whole.startswith(head) and "\ufffd" not in head:
                assert text.text(text.before(context, own, begin), own[begin:]) == whole[len(head) :]


def test_a_step_cut_inside_a_token_keeps_what_was_drawn() -> None:
    row = Tokenizer(models.WordLevel({"<eos>": 0, "4": 1, ".\n\n": 2, "Problem": 3, "<unk>": 4}, unk_token="<unk>"))
    row.decoder = decoders.Fuse()
    tokenizer = T.PreTrainedTokenizerFast(tokenizer_object=row, eos_token="<eos>", unk_token="<unk>")
    module = T.GPT2LMHeadModel(
        T.GPT2Config(
            vocab_size=5, n_embd=8, n_layer=1, n_head=1, n_positions=8, tie_word_embeddings=False, eos_token_id=0
        )
    )
    with torch.no_grad():  # says 4 .\n\n Problem whatever it is asked
        for weight in (*module.transformer.h.parameters(), module.transformer.wte.weight, module.lm_head.weight):
            weight.zero_()
        module.transformer.wpe.weight.copy_(torch.eye(8))
        for place, token in enumerate((1, 2, 3)):
            module.lm_head.weight[token, place] = 1.0
    prompt = PromptFormat(chat=False, stop=("\n\nProblem",), template="{question}")
    model = HFModel(module, tokenizer=tokenizer, device="cpu")
    assert len(encode(tokenizer, prompt, "4")) == 1
    (reply,) = greedy(model, prompt=prompt).sample(ask("4"))
    (step,) = reply.steps
    assert (step.text, step.tokens, step.drawn, reply.finish) == ("4.", (), 2, "stop")
    assert step.logprob is not None
    assert step.logprob < 0
    assert step.certainty is not None
    assert step.certainty > 0


def test_weights_written_past_autograd_are_noticed() -> None:
    model = llama()
    generator = greedy(model)
    said(generator, "hi")
    for parameter in model.module.parameters():
        parameter.data.copy_(torch.randn_like(parameter) * 0.3)
    assert said(generator, "hi") == slowly(model, encode(TOKENIZER, PLAIN, "hi"), 6)


def test_training_mode_is_left_for_a_forward() -> None:
    torch.manual_seed(3)
    module = T.GPT2LMHeadModel(
        T.GPT2Config(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0.5)
    )
    model = HFModel(module, tokenizer=TOKENIZER, device="cpu")
    generator = greedy(model)
    first = said(generator, "hi")
    module.train()
    assert said(generator, "hi") == first


def test_the_count_of_tokens_leaves_out_the_tests_of_a_model() -> None:
    model = llama()
    first_token_odds(model, [(5, 6, 7)], ("7", "8"))
    assert model.forwarded_tokens == 3
    runner(model)
    assert model.forwarded_tokens == 3


def test_equal_tokens_with_other_borders_are_one_run() -> None:
    verifier = ImplicitVerifier(llama(), reference_weight=0, prompt=PLAIN, scale=0.01)

    def score(*steps: tuple[int, ...]) -> Score:
        return Score(Candidate(Question.of("hi"), Key((0, len(steps))), tuple(Step("x", step) for step in steps)))

    alone = [
        ImplicitVerifier(llama(), reference_weight=0, prompt=PLAIN, scale=0.01).score([one])[0].step_scores
        for one in (score((10, 11), (12, 13)), score((10, 11, 12, 13)))
    ]
    verifier.score([score((10, 11))])
    found = verifier.score([score((10, 11), (12, 13)), score((10, 11, 12, 13))])
    assert [one.step_scores for one in found] == [pytest.approx(scores) for scores in alone]


@pytest.mark.parametrize("shared", [False, True])
def test_likelihoods_out_of_memory_are_found_in_smaller_forwards(shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [
        Score(Candidate(Question.of("hi"), Key((0, i)), (Step("x", tuple(range(10, 40 + i))),))) for i in range(5)
    ]
    wanted = ImplicitVerifier(llama(), reference_weight=0, prompt=PLAIN).score(candidates)
    model = llama(shared_kv=shared)
    own = fast(model)
    target = model.module if own is None else own.network
    name = "forward" if own is None else "run"
    real = getattr(target, name)

    def small(*given: Any, **named: Any) -> Any:
        ids = given[0] if given else named["input_ids"]
        if (len(ids) > 2) if own is None else (ids.numel() > 12):
            raise torch.OutOfMemoryError("out of memory")
        return real(*given, **named)

    monkeypatch.setattr(target, name, small)
    found = ImplicitVerifier(model, reference_weight=0, prompt=PLAIN).score(candidates)
    assert [one.step_scores for one in found] == [pytest.approx(one.step_scores, abs=1e-5) for one in wanted]


def test_likelihoods_let_go_of_what_is_done() -> None:
    model = llama(kv_bytes=0)
    own = fast(model)
    assert own is not None
    most, real = [0], own.tree.trim

    def trim() -> None:
        real()
        most[0] = max(most[0], own.tree.bytes)

    own.tree.trim = trim  # type: ignore[method-assign]
    scores = [
        Score(Candidate(Question.of(f"q{i}"), Key((0, i)), (Step("x", tuple(range(10, 40))),))) for i in range(40)
    ]
    from ttscale.hf.verifiers import likelihood

    before, likelihood.FORWARD_TOKENS = likelihood.FORWARD_TOKENS, 64
    try:
        ImplicitVerifier(model, reference_weight=0, prompt=PLAIN).score(scores)
    finally:
        likelihood.FORWARD_TOKENS = before
    assert most[0] == 0


def test_draws_at_the_edge_of_what_numbers_can_say() -> None:
    torch.manual_seed(0)
    logits, uniform = torch.randn(4, 600) * 20, torch.rand(4)
    for temperature in (1e-30, 1e-38, 1e-45):
        tokens, _, _ = draw(logits, uniform, [temperature] * 4, Filters())
        assert tokens.tolist() == logits.argmax(-1).tolist()
    tokens, _, _ = draw(logits, uniform, [1.0] * 4, Filters(top_p=1e-46))
    assert tokens.tolist() == logits.argmax(-1).tolist()


def test_banned_tokens_do_not_count_in_the_certainty() -> None:
    torch.manual_seed(0)
    logits = torch.randn(3, 40)
    banned = torch.cat((logits, torch.full((3, 5), -torch.inf)), 1)
    plain, padded = (draw(x, torch.full((3,), 0.4), [1.0] * 3, Filters()) for x in (logits, banned))
    for a, b in zip(plain, padded, strict=True):
        assert b.tolist() == pytest.approx(a.tolist(), rel=1e-5)
    model = llama()
    model.module.lm_head = torch.nn.Linear(32, V)
    model.module.lm_head.bias.data[:2] = -torch.inf
    assert fast(HFModel(model.module, tokenizer=TOKENIZER, device="cpu")) is not None


def test_a_stop_string_that_is_a_special_token_stops() -> None:
    tokenizer = T.AutoTokenizer.from_pretrained(reference.path("generator"))
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_end|>"]})
    mark = tokenizer.convert_tokens_to_ids("<|im_end|>")
    module = T.LlamaForCausalLM(T.LlamaConfig(**{**SHAPE, "vocab_size": mark + 1}))
    module.lm_head = torch.nn.Linear(32, mark + 1)
    with torch.no_grad():
        module.lm_head.bias.zero_()
        module.lm_head.bias[mark] = 100.0
    model = HFModel(module, tokenizer=tokenizer, device="cpu")
    (reply,) = greedy(model, prompt=PromptFormat(chat=False, stop=("<|im_end|>",))).sample(ask("hi"))
    assert (reply.finish, reply.cost.sampled_tokens) == ("stop", 1)


def test_layers_of_different_head_sizes_are_counted_one_by_one() -> None:
    config = T.Gemma4TextConfig(
        **SHAPE,
        vocab_size_per_layer_input=V,
        hidden_size_per_layer_input=8,
        head_dim=8,
        global_head_dim=16,
        layer_types=["sliding_attention", "full_attention"],
        tie_word_embeddings=False,
    )
    model = made(config)
    assert model.attention_width == 4 * 8 + 4 * 16
    model.eos_ids = frozenset()
    assert said(greedy(model), "hi") == slowly(model, encode(TOKENIZER, PLAIN, "hi"), 6)


def test_the_router_of_a_mixture_is_counted() -> None:
    plain = made(T.MixtralConfig(**SHAPE, num_local_experts=4, num_experts_per_tok=2)).body_parameters
    more = made(T.MixtralConfig(**SHAPE, num_local_experts=8, num_experts_per_tok=2)).body_parameters
    assert more - plain == 2 * 32 * 4  # the experts used are as many; two layers' routers tell four more apart


def test_a_closed_session_serves_again() -> None:
    session = greedy(llama(), max_new_tokens=4).session()
    session.admit([(0, ask("hi")[0])])
    session.step()
    session.close()
    session.admit([(1, ask("hi")[0])])
    replies: dict[int, Any] = {}
    while session.active:
        replies.update(session.step())
    assert set(replies) == {1}


def test_an_interrupted_retirement_leaves_no_pin_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    model.eos_ids = frozenset(range(2, 30))
    own = fast(model)
    assert own is not None
    session = HFGenerator(model, delimiter=None, max_new_tokens=30, prompt=PLAIN).session()
    session.admit(list(enumerate(ask("hi", 6))))

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Slab, "move", interrupted)
        with pytest.raises(KeyboardInterrupt):
            [session.step() for _ in range(40)]
    session.close()
    own.tree.evict()
    assert own.tree.bytes == 0


def test_a_checkpoint_that_is_not_there_or_of_another_kind_and_a_device_that_is_not_are_named(tmp_path: Any) -> None:
    for name in ("/no/such/folder", "./folder", "a/b/c", str(tmp_path / "model")):
        with pytest.raises(
            ValueError, match=r"there is no folder '.*': give a local folder that is there, or a Hugging"
        ):
            HFModel(name)
    T.LlamaForTokenClassification(T.LlamaConfig(**SHAPE, tie_word_embeddings=True)).save_pretrained(tmp_path / "prm")
    TOKENIZER.save_pretrained(tmp_path / "prm")
    with pytest.raises(ValueError, match="is a LlamaForTokenClassification, which judges and does not write"):
        HFGenerator(str(tmp_path / "prm"))
    with pytest.raises(ValueError, match="device 'gpu' cannot be used here"):
        HFModel(reference.path("generator"), device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="device 'cuda' cannot be used here"):
            HFModel(reference.path("generator"), device="cuda")


def told(model: HFModel, question: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What is drawn with what was cached before, and by a model that knows nothing yet."""
    fresh = HFModel(model.module, tokenizer=TOKENIZER, device="cpu")
    return said(greedy(model), question), said(greedy(fresh), question)


def test_a_window_that_only_the_mask_knows_is_not_lost() -> None:
    """Longer than a probe can be: the attention of these classes is not told of it."""
    experts = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
    window = {"use_sliding_window": True, "sliding_window": 65, "max_window_layers": 28}
    model = made(T.Qwen2MoeConfig(**SHAPE | experts | window, shared_expert_intermediate_size=16))
    assert fast(model) is None
    assert "sliding window" in str(backend_module.found(model).unshared_because)
    assert fast(made(T.MistralConfig(**SHAPE, sliding_window=65))) is not None


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")  # peft's own
def test_hooks_and_adapters_are_seen() -> None:
    pytest.importorskip("peft")
    from peft import LoraConfig

    model = llama()
    module = model.module
    before = said(greedy(model), "Compute 1 + 2")

    def steer(layer: Any, given: Any, out: Any) -> Any:
        return (out[0] + 5, *out[1:]) if isinstance(out, tuple) else out + 5

    hook = module.model.layers[0].register_forward_hook(steer)
    assert len(set(told(model, "Compute 1 + 2"))) == 1
    hook.remove()
    assert said(greedy(model), "Compute 1 + 2") == before
    for name, scale in (("one", 1.0), ("two", -1.0)):
        module.add_adapter(LoraConfig(r=2, target_modules=["q_proj", "v_proj"]), name)
        for key, weight in module.named_parameters():
            if f"lora_B.{name}" in key:
                torch.nn.init.normal_(weight, std=scale if scale > 0 else 2.0)
    results = []
    for name in ("one", "two"):
        module.set_adapter(name)
        results.append(told(model, "Compute 1 + 2"))
    module.disable_adapters()
    results.append(told(model, "Compute 1 + 2"))
    assert all(got == wanted for got, wanted in results)
    assert len({wanted for _, wanted in results}) > 1


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's use of transformers
def test_a_wrapped_model_of_peft_is_served_as_fast_as_the_bare_one() -> None:
    peft = pytest.importorskip("peft")
    model = llama()
    wrapped = peft.get_peft_model(model.module, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    served = HFModel(wrapped, tokenizer=TOKENIZER, device="cpu")
    assert fast(served) is not None
    assert said(greedy(served), "Compute 1 + 2") == said(greedy(model), "Compute 1 + 2")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_likelihood_is_of_the_weights_as_they_are_now(dtype: torch.dtype) -> None:
    model = llama()
    model.module.to(dtype)
    verifier = ImplicitVerifier(model, None, reference_weight=0.0)
    root = Candidate(Question.of("q"), Key((0, "q")))
    asked = [Score(root.extend(root.key.child(i), (Step(f"{i}\n"), Step("Answer: 1")), "stop")) for i in range(2)]
    verifier.score(asked[:1])
    with torch.no_grad():
        for weight in model.module.parameters():
            weight.add_(0.05 * torch.randn_like(weight))
    found = [verdict.step_scores for verdict in verifier.score(asked)]  # one known before, one new
    again = HFModel(model.module, tokenizer=TOKENIZER, device="cpu")
    fresh = ImplicitVerifier(again, None, reference_weight=0.0).score(asked)
    assert found == [pytest.approx(verdict.step_scores, abs=2e-3) for verdict in fresh]


def test_memory_that_runs_out_once_in_the_test_of_a_model_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    probed = backend_module._probed

    def short(model: HFModel) -> Any:
        monkeypatch.setattr(backend_module, "_probed", probed)
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(backend_module, "_probed", short)
    assert fast(model) is None
    assert fast(model) is not None


def test_what_was_drawn_is_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    ImplicitVerifier(model, None, reference_weight=0.0)
    monkeypatch.setattr("ttscale.hf.known_logprobs.REMEMBERED", 20)
    HFGenerator(model, prompt=PLAIN, max_new_tokens=8, delimiter=None).sample(ask("Compute 1 + 2", 40))
    assert 0 < len(known(model)) <= 20


def test_lengths_on_both_sides_of_a_border_are_not_run_together() -> None:
    assert list(batches([3, 4, 5, 9], lambda: 100)) == [slice(0, 4)]
    assert list(batches([3, 4, 5, 9], lambda: 100, 4)) == [slice(0, 2), slice(2, 4)]
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 1e4,
        "original_max_position_embeddings": 32}  # fmt: skip
    model = made(T.Phi3Config(**SHAPE | {"pad_token_id": 0}, rope_parameters=rope, original_max_position_embeddings=32))
    contexts = [tuple(range(20)), tuple(range(60))]
    alone = [first_token_odds(model, [context], ["1", "2"]) for context in contexts]
    together = first_token_odds(model, contexts, ["1", "2"])
    assert together is not None
    for one, among in zip(alone, together, strict=True):
        assert one is not None
        assert among[0] == pytest.approx(one[0][0], abs=1e-5)


def test_a_delimiter_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="the delimiter '<eos>' holds a special token"):
        HFGenerator(llama(), delimiter="<eos>")
    assert HFGenerator(llama(), top_k=3.0).sampling["top_k"] == 3  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [T.LlamaConfig(**SHAPE), T.Qwen3Config(**SHAPE, head_dim=8)])
def test_numbers_that_are_none_stay_with_the_question_that_has_them(config: Any) -> None:
    """A slot of shared keys is used again by others; what is masked there is still multiplied, by 0."""
    model = made(config, max_batch=2)
    model.eos_ids = frozenset()
    with torch.no_grad():
        model.module.get_input_embeddings().weight[TOKENIZER.encode("8", add_special_tokens=False)[0]] = float("nan")
    assert fast(model) is not None
    generator = greedy(model)
    questions = [f"{i} + {j}{' + 1' * (j % 4)}" for i in range(4) for j in range(4)]
    questions.insert(5, "8 + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 1")

    def outcomes(asked: list[str]) -> dict[str, Any]:
        session = generator.session()
        session.admit(list(enumerate(request for question in asked for request in ask(question))))
        found: dict[str, Any] = {}
        while session.active:
            found |= {asked[ticket]: getattr(reply, "steps", "no numbers") for ticket, reply in session.step()}
        session.close()
        return found

    assert outcomes(questions) == {key: value for q in questions for key, value in outcomes([q]).items()}
    assert outcomes(questions[5:6]) == {questions[5]: "no numbers"}


def test_a_session_closed_half_way_leaves_no_more_than_the_budget() -> None:
    model = llama(kv_bytes=0)
    session = greedy(model).session()
    session.admit(list(enumerate(ask("1 + 2 + 3 + 4", 3) + ask("5 + 6", 2))))
    session.step()
    session.step()
    assert session.kv_bytes > 0
    session.close()
    assert session.kv_bytes == 0


def test_likelihoods_whose_logits_run_out_of_memory_are_read_in_smaller_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = [Score(Candidate(Question.of("hi"), Key((0, i)), (Step("x", (10, 11 + i, 12)),))) for i in range(4)]
    wanted = ImplicitVerifier(llama(), reference_weight=0, prompt=PLAIN).score(candidates)
    model = llama()
    own = fast(model)
    assert own is not None
    real = own.network.logits

    def small(hidden: torch.Tensor) -> torch.Tensor:
        if len(hidden) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return real(hidden)

    monkeypatch.setattr(own.network, "logits", small)
    found = ImplicitVerifier(model, reference_weight=0, prompt=PLAIN).score(candidates)
    assert [one.step_scores for one in found] == [pytest.approx(one.step_scores, abs=1e-5) for one in wanted]


@torch.inference_mode()
def test_room_that_nothing_came_into_is_given_back_when_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    model = llama()
    own = fast(model)
    assert own is not None
    rows, real, asked = runner(model), Slab.reserve, [0]
    prefixes = [rows.open(tuple(range(10, 10 + n))) for n in (60, 8)]
    for prefix in prefixes:
        rows.advance([prefix])

    def reserve(slab: Slab, used: int, slots: int, width: int) -> None:
        asked[0] += 1
        if asked[0] == 3:  # the rows' own, the first block, the second
            raise torch.OutOfMemoryError("out of memory")
        real(slab, used, slots, width)

    monkeypatch.setattr(Slab, "reserve", reserve)
    before = rows.kv_bytes
    with pytest.raises(torch.OutOfMemoryError):
        rows.admit(prefixes, [60, 8])
    assert rows.kv_bytes > before
    rows.close()
    assert rows.kv_bytes == before
