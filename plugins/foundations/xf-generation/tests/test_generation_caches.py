"""Every cache gives the same tokens as the dynamic one, whatever the strategy; caches are handed over and back."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

import xf
from xf.plugins import hooks, registry
from xf_testing.tiny import fill_weights

torch.set_num_threads(1)
SIZES = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1, "max_position_embeddings": 64,
}  # fmt: skip
WINDOW = 5


def llama() -> Any:
    return xf.LlamaForCausalLM(xf.LlamaConfig(**SIZES))


def mistral() -> Any:
    return xf.MistralForCausalLM(xf.MistralConfig(**SIZES, sliding_window=WINDOW))


def gemma3() -> Any:
    kinds = ["sliding_attention", "full_attention", "sliding_attention"]
    config = {**SIZES, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": WINDOW, "layer_types": kinds}
    return xf.Gemma3ForCausalLM(xf.Gemma3TextConfig(**config))


def t5() -> Any:
    return xf.T5ForConditionalGeneration(
        xf.T5Config(vocab_size=99, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0)
    )


@functools.lru_cache
def model_of(make: Callable[[], Any]) -> Any:
    model = make()
    fill_weights(model)
    model.tie_weights()
    return model.eval()


PROMPT = torch.randint(3, 99, (2, 9), generator=torch.Generator().manual_seed(1))
MASK = torch.ones_like(PROMPT)
MASK[0, :3] = 0
NAMES = [
    "dynamic", "dynamic_full", "static", "sliding_window", "hybrid", "hybrid_chunked", "offloaded", "offloaded_static",
    "offloaded_hybrid", "offloaded_hybrid_chunked", "quantized",
]  # fmt: skip
FINE = {"backend": "affine", "nbits": 8, "residual_length": 64}  # so that nothing is rounded in a text that short
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "sampling": {"do_sample": True, "seed": 5, "num_return_sequences": 2},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4},
}


def generated(model: Any, **options: Any) -> torch.Tensor:
    return model.generate(PROMPT, attention_mask=MASK, max_new_tokens=10, **options)


@functools.lru_cache
def expected(make: Callable[[], Any], strategy: str) -> torch.Tensor:
    return generated(model_of(make), **STRATEGIES[strategy])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("make", [llama, mistral, gemma3, t5])
def test_the_same_tokens_as_with_the_dynamic_cache(make: Callable[[], Any], strategy: str, name: str) -> None:
    options = {**STRATEGIES[strategy], "cache_implementation": name}
    if name == "quantized":
        options["cache_config"] = FINE
    if name == "sliding_window" and make is not mistral:
        with pytest.raises(ValueError, match=r"needs config\.sliding_window; use 'static'|use 'hybrid' for this model"):
            generated(model_of(make), **options)
        return
    assert torch.equal(generated(model_of(make), **options), expected(make, strategy))


@pytest.mark.parametrize("nbits", [8, 4, 2])
def test_a_quantized_cache_stays_near_the_dynamic_one(nbits: int) -> None:
    model = model_of(llama)
    settings = {**FINE, "nbits": nbits, "residual_length": 4, "q_group_size": 8}
    options = {"max_new_tokens": 1, "return_dict_in_generate": True, "output_logits": True}
    text = expected(llama, "greedy")[1:]
    exact = model.generate(text, **options, past_key_values=fed(model, text[:, :-1], xf.DynamicCache())).logits[0]
    cache = xf.QuantizedCache(**settings, compute_dtype=torch.float32)
    rounded = model.generate(text, **options, past_key_values=fed(model, text[:, :-1], cache)).logits[0]
    worst = (exact - rounded).abs().max() / exact.std()
    assert 0 < worst < {8: 0.03, 4: 0.5, 2: 3.0}[nbits]


def fed(model: Any, tokens: torch.Tensor, cache: Any) -> Any:
    """The cache after `tokens`, given one by one."""
    with torch.no_grad():
        for token in tokens.split(1, dim=1):
            model(token, past_key_values=cache, use_cache=True)
    return cache


# ---- handed over and back -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["DynamicCache", "StaticCache", "HybridCache", "OffloadedCache", "OffloadedStaticCache"]
)
def test_a_cache_goes_on_with_the_next_turn(kind: str) -> None:
    """What was read is not read again: the second turn gives the tokens of the whole text at once."""
    model = model_of(llama)
    made = getattr(xf, kind)
    fixed = {"config": model.config, "max_batch_size": 2, "max_cache_len": 40}
    cache = made() if kind in ("DynamicCache", "OffloadedCache") else made(**fixed)
    first = model.generate(PROMPT, past_key_values=cache, max_new_tokens=5, eos_token_id=None)
    assert cache.get_seq_length() == 13
    turn = torch.cat([first, PROMPT[:, :3]], dim=1)
    seen: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    again = model.generate(turn, past_key_values=cache, max_new_tokens=5, eos_token_id=None)
    hook.remove()
    assert seen[0] == 4 and torch.equal(again, model.generate(turn, max_new_tokens=5, eos_token_id=None))


@pytest.mark.parametrize("kind", ["dynamic", "static", "hybrid", "offloaded", "offloaded_static", "affine_quantized"])
def test_a_prefix_is_read_once_for_many_texts(kind: str) -> None:
    """A copy of a filled cache goes on by itself; so does one that was written to a file."""
    model, prefix = model_of(gemma3), PROMPT[:1, :6]
    options = {"batch_size": 1, "max_length": 30, "device": model.device, "dtype": model.dtype}
    made = xf.DynamicCache if kind == "dynamic" else registry("cache").get(kind)
    extra = {"residual_length": 64} if "quantized" in kind else {}
    cache = made.for_generation(model.config, **options, **extra)
    with torch.no_grad():
        model(prefix, past_key_values=cache, use_cache=True)
    for text, other in ((PROMPT[:1], copy.deepcopy(cache)), (PROMPT[1:], pickle.loads(pickle.dumps(cache)))):
        text = torch.cat([prefix, text[:, 6:]], dim=1)
        found = model.generate(text, past_key_values=other, max_new_tokens=6, eos_token_id=None)
        assert torch.equal(found, model.generate(text, max_new_tokens=6, eos_token_id=None))
    assert cache.get_seq_length() == 6


def test_a_cache_that_was_filled_for_one_row_serves_many() -> None:
    model, prefix = model_of(llama), PROMPT[:1, :6]
    cache = fed(model, prefix, xf.DynamicCache())
    cache.batch_repeat_interleave(2)
    turns = torch.cat([prefix.expand(2, -1), PROMPT[:, 6:]], dim=1)
    found = model.generate(turns, past_key_values=cache, max_new_tokens=6, eos_token_id=None)
    assert torch.equal(found, model.generate(turns, max_new_tokens=6, eos_token_id=None))


@pytest.mark.parametrize("make", [llama, t5])
def test_tuples_in_and_out(make: Callable[[], Any]) -> None:
    model = model_of(make)
    options = {"max_new_tokens": 4, "return_dict_in_generate": True, "eos_token_id": None}
    plain = model.generate(PROMPT, **options)
    legacy = model.generate(PROMPT, **options, return_legacy_cache=True).past_key_values
    assert isinstance(plain.past_key_values, xf.Cache) and isinstance(legacy, tuple)
    assert len(legacy[0]) == (4 if make is t5 else 2)
    for ours, theirs in zip(legacy, plain.past_key_values.to_legacy_cache(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    if make is llama:
        longer = model.generate(plain.sequences, past_key_values=legacy, max_new_tokens=3, eos_token_id=None)
        assert torch.equal(longer, model.generate(PROMPT, max_new_tokens=7, eos_token_id=None))
    with pytest.raises(ValueError, match="a StaticCache has no form as tuples|EncoderDecoderCache"):
        model_of(llama).generate(PROMPT, return_legacy_cache=True, cache_implementation="static", max_new_tokens=2)


def test_what_does_not_fit_is_refused() -> None:
    model = model_of(llama)
    small = xf.StaticCache(model.config, max_batch_size=2, max_cache_len=12)
    with pytest.raises(ValueError, match="holds 12 tokens, but prompt and answer may need 18: make it larger"):
        model.generate(PROMPT, past_key_values=small, max_new_tokens=10)
    one_row = xf.StaticCache(model.config, max_batch_size=1, max_cache_len=30)
    with pytest.raises(ValueError, match="is for 1 rows, not 2"):
        model.generate(PROMPT, past_key_values=one_row, max_new_tokens=5)
    full = fed(model, PROMPT, xf.DynamicCache())
    with pytest.raises(ValueError, match="holds 9 tokens, but the prompt has only 9: give the whole text"):
        model.generate(PROMPT, past_key_values=full, max_new_tokens=5)
    roomy = {"cache_implementation": "static", "cache_config": {"batch_size": 1, "max_cache_len": 40}}
    found = model.generate(PROMPT, max_new_tokens=5, return_dict_in_generate=True, **roomy)
    assert found.past_key_values.max_cache_len == 40 and found.past_key_values.max_batch_size == 2
    with pytest.raises(ValueError, match="holds 40 tokens, but prompt and answer may need 48"):
        model.generate(PROMPT, max_new_tokens=40, **roomy)
    with pytest.raises(ValueError, match="Give either past_key_values or cache_implementation"):
        model.generate(PROMPT, past_key_values=full, cache_implementation="static", max_new_tokens=5)
    for name in ("mamba", "offloaded_processor"):
        with pytest.raises(ValueError, match=f"cache_implementation='{name}': LlamaForCausalLM cannot keep"):
            model.generate(PROMPT, cache_implementation=name, max_new_tokens=5)
    with pytest.raises(ValueError, match="cache_implementation is 'sttatic', which no installed plugin offers"):
        model.generate(PROMPT, cache_implementation="sttatic", max_new_tokens=5)


# ---- prompts in pieces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "static", "hybrid", "offloaded"])
@pytest.mark.parametrize("strategy", ["greedy", "beams", "sampling"])
@pytest.mark.parametrize("make", [llama, gemma3])
def test_a_prompt_in_pieces_gives_the_same_tokens(make: Callable[[], Any], strategy: str, name: str | None) -> None:
    model, lengths = model_of(make), []
    hook = model.register_forward_pre_hook(
        lambda _, args, kwargs: lengths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    options = {**STRATEGIES[strategy], "prefill_chunk_size": 4, "cache_implementation": name}
    found = generated(model, **options)
    hook.remove()
    assert lengths[:3] == [4, 4, 1] and torch.equal(found, expected(make, strategy))


def test_a_prompt_that_cannot_be_cut_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from xf_generation import prefill

    told: list[str] = []
    monkeypatch.setattr(prefill.logger, "warning_once", told.append)
    model = model_of(llama)
    embeds = model.get_input_embeddings()(PROMPT)
    options = {"max_new_tokens": 3, "eos_token_id": None, "prefill_chunk_size": 4}
    plain = model.generate(PROMPT, max_new_tokens=3, eos_token_id=None)
    assert torch.equal(model.generate(inputs_embeds=embeds, **options), plain[:, 9:])
    assert torch.equal(model.generate(PROMPT, use_cache=False, **options), plain)
    assert "inputs_embeds" in told[0] and all("without a cache" in text for text in told[1:]) and len(told) > 1


def test_a_hook_sees_which_cache_a_generation_got() -> None:
    seen = []

    class Plugin:
        @hooks.hookimpl
        def xf_dispatch_chosen(self, model: Any, what: str, name: str) -> None:
            seen.append((what, name))

    model = llama().eval()
    hooks.register(Plugin, "seen")
    try:
        model.generate(torch.tensor([[3, 4]]), max_new_tokens=2, cache_implementation="static")
    finally:
        hooks.unregister("seen")
    assert seen == [("cache", "static")]
