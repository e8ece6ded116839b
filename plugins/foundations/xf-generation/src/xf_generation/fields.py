"""The documented fields of GenerationConfig with their defaults (spec: main_classes/text_generation.md), and value
checks.
"""

from __future__ import annotations

from typing import Any

FIELDS: dict[str, Any] = {
    # length
    "max_length": 20,
    "max_new_tokens": None,
    "min_length": 0,
    "min_new_tokens": None,
    "early_stopping": False,
    "max_time": None,
    "stop_strings": None,
    # strategy
    "do_sample": False,
    "num_beams": 1,
    "num_beam_groups": 1,
    "penalty_alpha": None,
    "dola_layers": None,
    # cache
    "use_cache": True,
    "cache_implementation": None,
    "cache_config": None,
    "return_legacy_cache": None,
    "prefill_chunk_size": None,
    # logits
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "diversity_penalty": 0.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "force_words_ids": None,
    "renormalize_logits": False,
    "constraints": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "token_healing": False,
    "guidance_scale": None,
    "low_memory": None,
    "watermarking_config": None,
    # output
    "num_return_sequences": 1,
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": None,
    "return_dict_in_generate": False,
    # special tokens
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
    # encoder-decoder
    "encoder_no_repeat_ngram_size": 0,
    "decoder_start_token_id": None,
    # assisted
    "is_assistant": False,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.4,
    "prompt_lookup_num_tokens": None,
    "max_matching_ngram_size": None,
    "assistant_early_exit": None,
    "assistant_lookbehind": 10,
    "target_lookbehind": 10,
    # compilation
    "disable_compile": False,
}
#: accepted and kept where given, but not part of `to_dict()` of a fresh config
RARE_FIELDS: dict[str, Any] = {"compile_config": None}
_INTEGERS = (
    "max_new_tokens",
    "min_new_tokens",
    "prefill_chunk_size",
    "prompt_lookup_num_tokens",
    "max_matching_ngram_size",
)
_NUMBERS = ("max_time", "penalty_alpha", "min_p", "guidance_scale")
_TOKEN_IDS = ("pad_token_id", "bos_token_id", "forced_bos_token_id")
_TOKEN_LISTS = ("eos_token_id", "forced_eos_token_id", "decoder_start_token_id")
#: numbers published as fields that may also hold something else
_MIXED = frozenset({"early_stopping", "no_repeat_ngram_size"})


def check_type(name: str, value: Any) -> None:
    """Raises: ValueError if `value` cannot be the field `name` (text for a number, a float for a count ...)."""
    if value is None or name in _MIXED:
        return
    default = FIELDS.get(name)
    if isinstance(default, bool):
        if not isinstance(value, bool) and value not in (0, 1):
            raise ValueError(f"{name} must be True or False, not {value!r}.")
    elif isinstance(default, int) or name in _INTEGERS or name in _TOKEN_IDS:
        if not _is_integer(value):
            raise ValueError(f"{name} must be an integer, not {value!r}.")
    elif isinstance(default, float) or name in _NUMBERS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) and not hasattr(value, "__float__"):
            raise ValueError(f"{name} must be a number, not {value!r}.")
    elif name in _TOKEN_LISTS and not hasattr(value, "tolist"):
        items = value if isinstance(value, (list, tuple)) else [value]
        if not items or not all(_is_integer(item) for item in items):
            raise ValueError(f"{name} must be a token id or a list of token ids, not {value!r}.")


def _is_integer(value: Any) -> bool:
    """Python and NumPy integers, one-element tensors of them, whole floats; no truth values."""
    if isinstance(value, bool):
        return False
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) or hasattr(value, "__index__")
