"""What can be wrong with generation settings: contradictions (errors) and settings that would be ignored (warnings)."""

from __future__ import annotations

from typing import Any

from xf.plugins import registry

from .fields import FIELDS, check_type
from .modes import GenerationMode

_SAMPLING = {
    "temperature": 1.0,
    "top_p": 1.0,
    "min_p": None,
    "top_k": 50,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
_BEAMS = {
    "early_stopping": False,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "length_penalty": 1.0,
    "constraints": None,
}
_OUTPUTS = ("output_scores", "output_attentions", "output_hidden_states", "output_logits")
_ARGUMENTS = (
    "logits_processor",
    "stopping_criteria",
    "prefix_allowed_tokens_fn",
    "synced_gpus",
    "assistant_model",
    "streamer",
    "negative_prompt_ids",
    "negative_prompt_attention_mask",
    "use_model_defaults",
)
_CACHE_NAMES = ("dynamic", "dynamic_full")  # the kernel's own; all others are names in `xf.v1.cache`


def mode_of(config: Any, assistant_model: Any = None) -> GenerationMode:
    """The decoding mode that the settings ask for."""
    if config.constraints is not None or config.force_words_ids is not None:
        return GenerationMode.CONSTRAINED_BEAM_SEARCH
    assisted = assistant_model is not None or config.prompt_lookup_num_tokens is not None
    assisted = assisted or config.assistant_early_exit is not None
    if config.num_beams is not None and config.num_beams != 1:
        if (config.num_beam_groups or 1) > 1:
            mode = GenerationMode.GROUP_BEAM_SEARCH
        else:
            mode = GenerationMode.BEAM_SAMPLE if config.do_sample else GenerationMode.BEAM_SEARCH
    elif config.do_sample:
        mode = GenerationMode.SAMPLE
    elif _is_contrastive(config):
        mode = GenerationMode.CONTRASTIVE_SEARCH
    else:
        mode = GenerationMode.GREEDY_SEARCH
    single = mode in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE)
    for wanted, name in ((assisted, "assisted_generation"), (config.dola_layers is not None, "dola_generation")):
        if wanted and not single:
            raise ValueError(f"{name} works with greedy search and sampling; the other settings ask for {mode.value}.")
    if config.dola_layers is not None:
        return GenerationMode.DOLA_GENERATION
    return GenerationMode.ASSISTED_GENERATION if assisted else mode


def _is_contrastive(config: Any) -> bool:
    return bool(
        config.top_k is not None and config.top_k > 1 and config.penalty_alpha is not None and config.penalty_alpha > 0
    )


def check(config: Any) -> list[str]:
    """Raises: ValueError for settings that cannot work. Returns what would be ignored, one sentence each."""
    for name in FIELDS:
        check_type(name, getattr(config, name, None))
    _check_numbers(config)
    _check_strategy(config)
    _check_objects(config)
    return _ignored(config)


def _check_numbers(config: Any) -> None:
    if config.max_new_tokens is not None and config.max_new_tokens <= 0:
        raise ValueError(f"max_new_tokens is {config.max_new_tokens}; it must be greater than 0.")
    for name in ("num_beams", "num_beam_groups", "num_return_sequences"):
        value = getattr(config, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1.")
    if config.max_time is not None and config.max_time <= 0:
        raise ValueError(f"max_time is {config.max_time} seconds; it must be greater than 0.")
    if config.prefill_chunk_size is not None and config.prefill_chunk_size < 1:
        raise ValueError(f"prefill_chunk_size is {config.prefill_chunk_size}; it must be at least 1.")
    longest, least = config.max_new_tokens, config.min_new_tokens
    if longest is not None and least is not None and least > longest:
        raise ValueError(f"min_new_tokens ({least}) is larger than max_new_tokens ({longest}).")
    if not isinstance(config.early_stopping, (bool, type(None))) and config.early_stopping not in ("never", 0, 1):
        raise ValueError(f'early_stopping is {config.early_stopping!r}; it must be True, False or "never".')


def _check_strategy(config: Any) -> None:
    beams, groups, returned = config.num_beams or 1, config.num_beam_groups or 1, config.num_return_sequences or 1
    constrained = config.constraints is not None or config.force_words_ids is not None
    if constrained and config.do_sample:
        raise ValueError(
            "constraints and force_words_ids need do_sample=False: constrained beam search does not sample."
        )
    if constrained and groups > 1:
        raise ValueError("constraints and force_words_ids cannot be combined with num_beam_groups.")
    if beams > 1 and (groups > 1 or (config.diversity_penalty or 0.0) != 0.0):
        if config.do_sample:
            raise ValueError("Group beam search (num_beam_groups, diversity_penalty) needs do_sample=False.")
        if beams % groups:
            raise ValueError(f"num_beams ({beams}) must be a multiple of num_beam_groups ({groups}).")
        if (config.diversity_penalty or 0.0) == 0.0:
            raise ValueError(
                "Group beam search needs diversity_penalty > 0: without it all groups find the same beams."
            )
    if returned > 1 and beams == 1 and not config.do_sample:
        raise ValueError(
            f"num_return_sequences is {returned}, but greedy decoding finds one sequence: set do_sample=True or "
            "num_beams."
        )
    if beams > 1 and returned > beams:
        raise ValueError(f"num_return_sequences ({returned}) cannot be larger than num_beams ({beams}).")
    mode_of(config)


def _check_objects(config: Any) -> None:
    from .compile_config import CompileConfig

    compiled = getattr(config, "compile_config", None)
    if compiled is not None and not isinstance(compiled, CompileConfig):
        raise ValueError(f"compile_config must be a CompileConfig, not {type(compiled).__name__}.")
    watermark = config.watermarking_config
    if watermark is not None:
        if not hasattr(watermark, "construct_processor"):
            raise ValueError(f"watermarking_config must be a watermarking config or a dict, not {watermark!r}.")
        watermark.validate()
    name = config.cache_implementation
    if name is not None and name not in _CACHE_NAMES and registry("cache").find(name) is None:
        names = sorted({*_CACHE_NAMES, *(n for n in registry("cache").names() if not n.endswith("_processor"))})
        raise ValueError(f"cache_implementation is {name!r}, which no installed plugin offers; here are {names}.")
    for name in _ARGUMENTS:
        if hasattr(config, name):
            raise ValueError(
                f"{name} is an argument of generate(), not a setting: give it to generate() or the pipeline."
            )


def _ignored(config: Any) -> list[str]:
    found = []
    if config.pad_token_id is not None and config.pad_token_id < 0:
        found.append(f"pad_token_id is {config.pad_token_id}; a token id is at least 0")
    if not config.do_sample:
        contrastive = config.penalty_alpha is not None
        for name, default in _SAMPLING.items():
            value = getattr(config, name)
            if value is not None and value != default and not (name == "top_k" and contrastive):
                found.append(f"{name}={value} acts only with do_sample=True")
    if (config.num_beams or 1) == 1:
        for name, default in _BEAMS.items():
            value = getattr(config, name)
            if value is not None and value != default and not (name == "constraints"):
                found.append(f"{name}={value} acts only with num_beams > 1")
    if config.use_cache is False:
        for name in ("cache_implementation", "cache_config", "return_legacy_cache"):
            if getattr(config, name) is not None:
                found.append(f"{name} acts only with use_cache=True")
    if config.return_dict_in_generate is not True:
        found += [
            f"{name} acts only with return_dict_in_generate=True" for name in _OUTPUTS if getattr(config, name) is True
        ]
    if config.dola_layers is not None and (config.repetition_penalty or 1.0) < 1.2:
        found.append("dola_layers tends to repeat itself with a repetition_penalty below 1.2 (arXiv:2309.03883)")
    return found
