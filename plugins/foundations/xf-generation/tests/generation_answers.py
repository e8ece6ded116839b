"""Answers a case of `generate` with xf or with the reference: the same few lines for both, on tiny random models.

A case: {"model": name in MODELS, "prompt": rows of token ids, "arguments": of generate, ...}; see `answer`.
"""

from __future__ import annotations

import functools
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
import generation_parts

VOCABULARY = 40
ENDS, PAD, START = 2, 0, 1
_TOKENS = {"vocab_size": VOCABULARY, "pad_token_id": PAD, "eos_token_id": ENDS, "bos_token_id": START}
_LLAMA = {
    **_TOKENS,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
_T5 = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "d_kv": 4,
    "d_ff": 24,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": PAD,
    "pad_token_id": PAD,
    "eos_token_id": ENDS,
}
_WHISPER = {
    "vocab_size": VOCABULARY,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 24,
    "decoder_ffn_dim": 24,
    "num_mel_bins": 8,
    "max_source_positions": 20,
    "max_target_positions": 64,
    "pad_token_id": PAD,
    "eos_token_id": ENDS,
    "bos_token_id": START,
    "decoder_start_token_id": START,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
}
MODELS: dict[str, tuple[str, str, dict[str, Any], int]] = {  # class, config class, config, seed of the weights
    "llama": ("LlamaForCausalLM", "LlamaConfig", _LLAMA, 0),
    "llama_draft": ("LlamaForCausalLM", "LlamaConfig", {**_LLAMA, "num_hidden_layers": 1}, 0),
    "llama_tied": ("LlamaForCausalLM", "LlamaConfig", {**_LLAMA, "tie_word_embeddings": True}, 1),
    "mistral": ("MistralForCausalLM", "MistralConfig", {**_LLAMA, "sliding_window": 4}, 0),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {**_TOKENS, "n_embd": 16, "n_layer": 2, "n_head": 4}, 0),
    "t5": ("T5ForConditionalGeneration", "T5Config", _T5, 0),
    "t5_draft": ("T5ForConditionalGeneration", "T5Config", {**_T5, "num_layers": 1}, 0),
    "whisper": ("WhisperForConditionalGeneration", "WhisperConfig", _WHISPER, 0),
    "whisper_draft": ("WhisperForConditionalGeneration", "WhisperConfig", {**_WHISPER, "decoder_layers": 1}, 0),
    "whisper_decoder": ("WhisperForCausalLM", "WhisperConfig", {**_WHISPER, "decoder_layers": 1}, 0),
}


def _fill(module: torch.nn.Module, seed: int) -> None:
    """Random weights by the parameters' names; logits about three apart, so that the choice of tokens varies."""
    done: set[int] = set()
    with torch.no_grad():
        for name, tensor in sorted(module.named_parameters(remove_duplicate=False)):
            if id(tensor) in done:
                continue
            done.add(id(tensor))
            draw = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(tuple(tensor.shape))
            values = torch.from_numpy(draw.astype(np.float32))
            vector = values if name.endswith("weight") else 0.1 * values  # norms of any sign: tied heads do not echo
            tensor.copy_(vector if tensor.ndim <= 1 else values * tensor[0].numel() ** -0.5)
        head = module.get_output_embeddings()
        if head is not None:
            head.weight.mul_(3)


@functools.cache
def model(library: Any, name: str) -> Any:
    """The tiny model `name`, in eval mode with eager attention (which returns its weights)."""
    class_name, config_name, values, seed = MODELS[name]
    config = getattr(library, config_name)(**values)
    config._attn_implementation = "eager"
    made = getattr(library, class_name)(config)
    _fill(made, seed)
    return made.eval()


@functools.cache
def tokenizer(library: Any, shift: int = 0) -> Any:
    """Id i + 3 is the letter number i + shift; 0 to 2 are special."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    special = ["<pad>", "<s>", "</s>"]
    words = [letters[(i + shift) % VOCABULARY] for i in range(VOCABULARY - 3)]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *words])}, unk_token="<pad>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.decoder = decoders.Fuse()
    return library.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<pad>"
    )


def _arguments(library: Any, case: dict[str, Any]) -> dict[str, Any]:
    given = dict(case["arguments"])
    if "constraints" in given:
        given["constraints"] = generation_parts.make_constraints(library, given["constraints"])
    if "sequence_bias" in given:
        given["sequence_bias"] = {tuple(tokens): value for tokens, value in given["sequence_bias"]}
    if "allowed" in given:
        allowed = given.pop("allowed")
        given["prefix_allowed_tokens_fn"] = lambda row, tokens: allowed[len(tokens) % len(allowed)]
    for name in ("negative_prompt_ids", "decoder_input_ids", "attention_mask"):
        if name in given:
            given[name] = torch.tensor(given[name])
    if "assistant" in given:
        given["assistant_model"] = model(library, given.pop("assistant"))
    if "stop_strings" in given or given.pop("with_tokenizer", False):
        given["tokenizer"] = tokenizer(library)
    if "draft_shift" in given:
        given["tokenizer"] = tokenizer(library)
        given["assistant_tokenizer"] = tokenizer(library, given.pop("draft_shift"))
    return given


def _flat(name: str, value: Any, found: dict[str, torch.Tensor]) -> None:
    if isinstance(value, torch.Tensor):
        found[name] = value.contiguous().clone()
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            _flat(f"{name}.{index}", item, found)


def answer(library: Any, case: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What `generate` returns, as tensors by path; with scores also the transition scores (kind: see generation_parts).

    The prompt is rows of token ids; {"features": seed, "rows": n} for whisper; "embeds": True gives embeddings instead
    of ids. "seed" is set before the call.
    """
    kind = case.get("kind", "generate")
    if kind == "processor":
        return generation_parts.processor(library, case, model(library, "llama"))
    if kind == "criterion":
        return generation_parts.criterion(library, case, tokenizer(library))
    if kind in ("scorer", "constraint"):
        found: dict[str, torch.Tensor] = getattr(generation_parts, kind)(library, case)
        return found
    lm = model(library, case["model"])
    given = _arguments(library, case)
    prompt = case["prompt"]
    if isinstance(prompt, dict):
        draw = np.random.default_rng(prompt["features"]).standard_normal((prompt["rows"], 8, 40))
        given["input_features"] = torch.from_numpy(draw.astype(np.float32))
    elif case.get("embeds"):
        given["inputs_embeds"] = lm.get_input_embeddings()(torch.tensor(prompt)).detach()
    else:
        given["input_ids"] = torch.tensor(prompt)
    generate = functools.partial(library.GenerationMixin.generate, lm)  # whisper's own is about long audio
    torch.manual_seed(case.get("seed", 0))
    outputs = generate(**given)
    found = {}
    if isinstance(outputs, torch.Tensor):
        return {"sequences": outputs}
    for name, value in outputs.items():
        if name != "past_key_values":
            _flat(name, value, found)
    if outputs.get("scores") is not None and not case.get("untransitioned"):
        beams = outputs.get("beam_indices")
        moved = lm.compute_transition_scores(outputs.sequences, outputs.scores, beams)
        found["transition_scores"] = moved.contiguous()
    return found


def main() -> None:
    """Answer all cases of a file: library, cases.json, answers.pt."""
    import importlib
    import json

    library = importlib.import_module(sys.argv[1])
    torch.set_num_threads(1)
    answers = []
    for case in json.loads(Path(sys.argv[2]).read_text()):
        try:
            answers.append(answer(library, case))
        except Exception as error:
            answers.append({"error": f"{type(error).__name__}: {error}"})
    torch.save(answers, sys.argv[3])


if __name__ == "__main__":
    main()
