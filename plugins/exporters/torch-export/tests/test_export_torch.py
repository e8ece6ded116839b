"""Exported programs give the tokens of `generate`, keep their cache in buffers, and can be saved and lowered."""

from __future__ import annotations

import functools
import io
from typing import Any

import pytest
import torch

import xf
from xf_testing.tiny import fill_weights

torch.set_num_threads(1)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
SIZES = {
    "vocab_size": 99, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "pad_token_id": 0, "eos_token_id": 2, "bos_token_id": 1, "max_position_embeddings": 64,
}  # fmt: skip
PROMPT = torch.tensor([[5, 6, 7, 8]])
CACHE = 30
Static, Decoder = xf.TorchExportableModuleWithStaticCache, xf.TorchExportableModuleForDecoderOnlyLM


@functools.lru_cache
def model_of(name: str) -> Any:
    if name == "llama":
        model = xf.LlamaForCausalLM(xf.LlamaConfig(**SIZES))
    elif name == "mistral":
        model = xf.MistralForCausalLM(xf.MistralConfig(**SIZES, sliding_window=5))
    else:
        kinds = ["sliding_attention", "full_attention"]
        settings = {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 5, "layer_types": kinds}
        model = xf.Gemma3ForCausalLM(xf.Gemma3TextConfig(**SIZES, **settings))
    fill_weights(model)
    model.tie_weights()
    return model.eval()


@functools.lru_cache
def program_of(name: str) -> Any:
    return Decoder(model_of(name), max_batch_size=1, max_cache_len=CACHE).export()


def generated(name: str, new_tokens: int = 15) -> torch.Tensor:
    return model_of(name).generate(PROMPT, max_new_tokens=new_tokens, eos_token_id=None)


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma3"])
def test_the_program_gives_the_tokens_of_generate(name: str) -> None:
    program = program_of(name)
    for _ in range(2):  # a text begins anew
        assert torch.equal(Static.generate(program, PROMPT, 15), generated(name))
    assert torch.equal(generated(name), generated(name)) and not model_of(name).training


def test_strict_tracing_gives_the_same() -> None:
    program = Decoder(model_of("gemma3"), max_batch_size=1, max_cache_len=CACHE).export(strict=True)
    assert torch.equal(Static.generate(program, PROMPT, 15), generated("gemma3"))


def test_the_cache_lies_in_buffers_that_the_program_changes() -> None:
    lowered = program_of("gemma3").run_decompositions({})
    changed = set(lowered.graph_signature.buffers_to_mutate.values())
    assert changed == {f"{part}_cache_{layer}" for part in ("key", "value") for layer in range(2)}
    assert torch.equal(Static.generate(lowered, PROMPT, 15), generated("gemma3"))


def test_a_saved_program_is_whole() -> None:
    file = io.BytesIO()
    torch.export.save(program_of("gemma3"), file)
    file.seek(0)
    assert torch.equal(Static.generate(torch.export.load(file), PROMPT, 15), generated("gemma3"))


def test_several_tokens_at_a_time() -> None:
    length = torch.export.Dim("length", max=CACHE - 1)
    shapes = {"input_ids": {1: length}, "cache_position": {0: length}}
    exporter = Decoder(model_of("llama"), max_batch_size=1, max_cache_len=CACHE)
    program = exporter.export(PROMPT[:, :3], torch.arange(3), dynamic_shapes=shapes).module()
    text = generated("llama", 6)
    with torch.no_grad():
        parts = [program(text[:, a:b], torch.arange(a, b)) for a, b in ((0, 4), (4, 9), (9, 10))]
        torch.testing.assert_close(torch.cat(parts, 1), model_of("llama")(text).logits, atol=1e-5, rtol=1e-5)


def test_convert_and_export_reads_the_settings_of_the_model() -> None:
    model = xf.LlamaForCausalLM(xf.LlamaConfig(**SIZES)).eval()
    model.generation_config.cache_implementation = "static"
    model.generation_config.cache_config = {"batch_size": 2, "max_cache_len": 20}
    program = xf.convert_and_export_with_cache(model)
    assert {tuple(b.shape) for n, b in program.named_buffers() if "key_cache" in n} == {(2, 2, 20, 8)}
    rows = torch.cat([PROMPT, PROMPT.flip(1)])
    expected = model.generate(rows, max_new_tokens=5, eos_token_id=None, cache_config=None, cache_implementation=None)
    assert torch.equal(Static.generate(program, rows, 5), expected)


def test_the_module_runs_without_export() -> None:
    model = model_of("llama")
    module = Static(model, max_batch_size=1, max_cache_len=CACHE)
    names = [name for name, _ in module.named_buffers()]
    assert {"key_cache_0", "value_cache_1"} <= set(names) and not [n for n in module.state_dict() if "cache" in n]
    with torch.no_grad():
        logits = torch.cat([module(PROMPT, torch.arange(4)), module(PROMPT[:, :1], torch.tensor([4]))], dim=1)
        torch.testing.assert_close(logits, model(torch.cat([PROMPT, PROMPT[:, :1]], 1)).logits, atol=1e-5, rtol=1e-5)


def test_export_leaves_the_model_as_it_was() -> None:
    model = xf.LlamaForCausalLM(xf.LlamaConfig(**SIZES))
    model.train()
    model.model.layers[0].eval()
    before = [part.training for part in model.modules()]
    Decoder(model, 1, 8).export()
    assert [part.training for part in model.modules()] == before
    model(PROMPT, labels=PROMPT).loss.backward()


def test_what_cannot_work_is_refused() -> None:
    model = xf.LlamaForCausalLM(xf.LlamaConfig(**SIZES))
    model.generation_config.use_cache = False
    with pytest.raises(ValueError, match=r"set model\.generation_config\.use_cache = True"):
        xf.convert_and_export_with_cache(model)
    model.generation_config.use_cache = True
    model.generation_config.cache_implementation = "offloaded"
    with pytest.raises(ValueError, match="is 'offloaded', but the exported program has a 'static' cache"):
        Static(model)
    program = program_of("llama")
    for prompt in (PROMPT[:, :0], PROMPT.repeat(1, 8)):
        with pytest.raises(
            ValueError, match=f"The prompt has {prompt.shape[1]} tokens; the program's cache takes 1 to 30"
        ):
            Static.generate(program, prompt, 5)
    assert Static.generate(program, PROMPT, 100).shape == (1, CACHE)  # ends where the cache does
    plain = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    with pytest.raises(ValueError, match="The program has no cache"):
        Static.generate(plain, PROMPT, 2)


class Letters:
    """A tokenizer whose ids are letters."""

    eos_token_id = 2

    def __call__(self, text: str, return_tensors: str) -> dict[str, torch.Tensor]:
        return {"input_ids": torch.tensor([[ord(letter) - 60 for letter in text]])}

    def decode(self, ids: torch.Tensor, skip_special_tokens: bool) -> str:
        return "".join(chr(index + 60) for index in ids.tolist() if not (skip_special_tokens and index == 2))


def test_text_from_a_program() -> None:
    program, tokenizer = program_of("llama"), Letters()
    text = Decoder.generate(program, tokenizer, "ABCD", max_new_tokens=10)
    assert text == tokenizer.decode(model_of("llama").generate(PROMPT, max_new_tokens=10)[0], True)
    torch.manual_seed(0)
    drawn = Decoder.generate(program, tokenizer, "ABCD", max_new_tokens=10, do_sample=True, temperature=2.0, top_p=0.9)
    assert drawn.startswith("ABCD") and drawn != text
    with pytest.raises(ValueError, match="temperature must be a number greater than 0"):
        Decoder.generate(program, tokenizer, "ABCD", do_sample=True, temperature=0.0)


def test_documented_places() -> None:
    from xf.integrations.executorch import TorchExportableModuleWithStaticCache, convert_and_export_with_cache

    assert TorchExportableModuleWithStaticCache is Static
    assert convert_and_export_with_cache is xf.convert_and_export_with_cache
    assert issubclass(xf.TorchExportableModuleWithHybridCache, Static)
