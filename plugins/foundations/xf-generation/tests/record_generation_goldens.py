"""Record the reference's answers to the cases below. Needs the reference environment (`make reference`).

Run: python record_generation_goldens.py
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from xf_testing.reference import run_reference

HERE = Path(__file__).parent
PROMPTS: dict[str, Any] = {
    "llama": [[5, 9, 30, 11], [7, 22, 3, 18]],
    "gpt2": [[5, 9, 30, 11], [7, 22, 3, 18]],
    "t5": [[5, 9, 30, 11], [7, 22, 3, 2]],
    "whisper": {"features": 3, "rows": 2},
}
LEFT = {"attention_mask": [[1, 1, 1, 1], [0, 0, 1, 1]]}
LISTED = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
STATES = {"return_dict_in_generate": True, "output_attentions": True, "output_hidden_states": True}
BEAMS = {"num_beams": 4, "max_new_tokens": 8}
PHRASES = [{"phrase": [12, 19]}, {"any": [[8, 9], [8, 30, 5], [27, 25]]}]
GROUPS = {"num_beams": 6, "num_beam_groups": 3, "diversity_penalty": 0.7, "max_new_tokens": 8}
WARPERS = {"temperature": 0.8, "top_k": 20, "top_p": 0.9}
STRATEGIES: dict[str, dict[str, Any]] = {
    "greedy": {"max_new_tokens": 10, **LISTED},
    "greedy_states": {"max_new_tokens": 3, **STATES},
    "greedy_without_cache": {"max_new_tokens": 6, "use_cache": False, **LISTED},
    "greedy_ends": {"max_new_tokens": 12, "eos_token_id": [2, 27, 16, 5]},
    "greedy_penalties": {"max_new_tokens": 12, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2, **LISTED},
    "greedy_bans": {
        "max_new_tokens": 8,
        "bad_words_ids": [[27], [16, 9]],
        "suppress_tokens": [19],
        "min_new_tokens": 4,
    },
    "greedy_forced": {"max_new_tokens": 6, "forced_bos_token_id": 9, "forced_eos_token_id": 2},
    "greedy_stop_strings": {"max_new_tokens": 12, "stop_strings": ["y", "ab", "g"]},
    "greedy_guided": {"max_new_tokens": 6, "guidance_scale": 1.7},
    "greedy_allowed": {"max_new_tokens": 6, "allowed": [[3, 4, 5], [6, 7, 8, 9]]},
    "greedy_biased": {"max_new_tokens": 6, "sequence_bias": [[[5], 3.0], [[7, 8], 4.0]], "renormalize_logits": True},
    "sample": {"do_sample": True, "max_new_tokens": 10, **LISTED},
    "sample_warped": {"do_sample": True, "max_new_tokens": 10, **WARPERS, "num_return_sequences": 3, **LISTED},
    "sample_typical": {"do_sample": True, "max_new_tokens": 8, "typical_p": 0.6, "min_p": 0.02, "top_k": 0},
    "sample_cutoffs": {"do_sample": True, "max_new_tokens": 8, "epsilon_cutoff": 0.02, "eta_cutoff": 0.02, "top_k": 0},
    "beam": {**BEAMS, **LISTED},
    "beam_states": {"num_beams": 2, "max_new_tokens": 3, **STATES},
    "beam_returned": {**BEAMS, "num_return_sequences": 3, "return_dict_in_generate": True, "output_scores": True},
    "beam_long": {**BEAMS, "length_penalty": 2.0, "num_return_sequences": 4},
    "beam_short": {**BEAMS, "length_penalty": -1.5, "eos_token_id": [2, 27, 16]},
    "beam_early": {**BEAMS, "early_stopping": True, "eos_token_id": [2, 9, 27], "num_return_sequences": 2},
    "beam_never": {**BEAMS, "early_stopping": "never", "eos_token_id": [2, 9, 27], "num_return_sequences": 2},
    "beam_penalties": {**BEAMS, "repetition_penalty": 1.3, "no_repeat_ngram_size": 2, "renormalize_logits": True},
    "beam_sample": {**BEAMS, "do_sample": True, **WARPERS, "num_return_sequences": 2, **LISTED},
    "group": {**GROUPS, "num_return_sequences": 4},
    "group_ends": {**GROUPS, "eos_token_id": [2, 9, 27], "early_stopping": True, "length_penalty": 0.3},
    "constrained": {**BEAMS, "constraints": PHRASES, "max_new_tokens": 10},
    "constrained_words": {**BEAMS, "force_words_ids": [[12], [[8, 9], [8, 30]]], "num_return_sequences": 2},
    "constrained_ends": {**BEAMS, "force_words_ids": [[12, 9]], "eos_token_id": [2, 27, 16], "early_stopping": True},
    "contrastive": {"penalty_alpha": 0.6, "top_k": 4, "max_new_tokens": 10, **LISTED},
    "contrastive_states": {"penalty_alpha": 0.6, "top_k": 3, "max_new_tokens": 3, **STATES},
    "contrastive_one_by_one": {"penalty_alpha": 0.8, "top_k": 4, "max_new_tokens": 8, "low_memory": True},
    "lookup": {"prompt_lookup_num_tokens": 3, "max_new_tokens": 12},
    "lookup_ngrams": {"prompt_lookup_num_tokens": 5, "max_matching_ngram_size": 1, "max_new_tokens": 12, **LISTED},
}
DECODER_ONLY: dict[str, dict[str, Any]] = {
    "dola_low": {"dola_layers": "low", "max_new_tokens": 8, **LISTED},
    "dola_high": {"dola_layers": "high", "max_new_tokens": 8, "repetition_penalty": 1.2},
    "dola_sampled": {"dola_layers": [0, 1], "max_new_tokens": 8, "do_sample": True},
    **{f"{name}_padded": {**STRATEGIES[name], **LEFT} for name in ("greedy", "sample", "beam", "group", "contrastive")},
}
ONE_ROW = ("contrastive_one_by_one", "lookup", "lookup_ngrams")  # the reference takes one text in these
ASSISTED = {
    "draft": {"max_new_tokens": 12},
    "draft_listed": {"max_new_tokens": 8, **LISTED},
    "draft_few": {"max_new_tokens": 12, "num_assistant_tokens": 2, "num_assistant_tokens_schedule": "constant"},
    "draft_sure": {"max_new_tokens": 12, "assistant_confidence_threshold": 0.7, "eos_token_id": [2, 27]},
    "draft_penalties": {"max_new_tokens": 12, "repetition_penalty": 1.4, "no_repeat_ngram_size": 2},
}
FEATURES = {"input_features": True}


def strategies(model: str) -> dict[str, dict[str, Any]]:
    """Every strategy with one model."""
    encdec = model in ("t5", "whisper")
    wanted = {**STRATEGIES, **({} if encdec else DECODER_ONLY)}
    cases = {}
    for name, arguments in wanted.items():
        if encdec and name in ("greedy_guided", "lookup_ngrams"):
            continue  # guidance is for decoders; the reference runs past max_new_tokens in this lookup
        prompt = PROMPTS[model]
        if name in ONE_ROW:
            prompt = {**prompt, "rows": 1} if isinstance(prompt, dict) else prompt[:1]
        if "attention_mask" in arguments:
            prompt = [[5, 9, 30, 11], [0, 0, 3, 18]]
        case = {"model": model, "prompt": prompt, "arguments": arguments, "seed": 7}
        cases[name] = {**case, "untransitioned": True} if name.startswith(("group", "constrained")) else case
    draft = {"llama": "llama_draft", "t5": "t5_draft", "gpt2": "llama_draft"}.get(model)
    if draft is not None:
        prompt = PROMPTS[model][:1]
        for name, arguments in ASSISTED.items():
            cases[name] = {"model": model, "prompt": prompt, "arguments": {**arguments, "assistant": draft}}
    if model == "llama":
        early = {"assistant_early_exit": 2, "max_new_tokens": 10}
        cases["early_exit"] = {"model": model, "prompt": PROMPTS[model][:1], "arguments": early}
        for name in ("greedy", "beam"):
            cases[f"{name}_embeds"] = {**cases[name], "embeds": True}
    return cases


def one(name: str, **more: Any) -> dict[str, Any]:
    """A case of one logits processor."""
    arguments = {key: value for key, value in more.items() if key in _ARGUMENTS}
    return {
        "kind": "processor",
        "name": name,
        "arguments": arguments,
        **{k: more[k] for k in more if k not in arguments},
    }


_ARGUMENTS = (
    "temperature", "top_k", "top_p", "min_p", "mass", "epsilon", "filter_value", "min_tokens_to_keep", "min_length",
    "eos_token_id", "prompt_length_to_skip", "min_new_tokens", "penalty", "ngram_size", "encoder_input_ids",
    "encoder_ngram_size", "bad_words_ids", "allowed", "sequence_bias", "diversity_penalty", "num_beams",
    "num_beam_groups", "bos_token_id", "max_length", "exponential_decay_length_penalty", "input_ids_seq_length",
    "suppress_tokens", "begin_suppress_tokens", "begin_index", "guidance_scale", "unconditional_ids",
    "input_start_len", "semantic_vocab_size", "codebook_size", "prompt_ignore_length",
)  # fmt: skip
TIMES = {"no_timestamps_token_id": 20, "eos_token_id": 2, "bos_token_id": 1, "max_initial_timestamp_index": 5}
ENCODER = [[3, 4, 5, 1], [2, 2, 9, 8], [0, 1, 2, 3], [5, 5, 5, 5]]
PROCESSORS = {
    "temperature": one("TemperatureLogitsWarper", temperature=0.7),
    "top_k": one("TopKLogitsWarper", top_k=5),
    "top_k_kept": one("TopKLogitsWarper", top_k=2, min_tokens_to_keep=4, filter_value=-50.0),
    "top_k_all": one("TopKLogitsWarper", top_k=100),
    "top_p": one("TopPLogitsWarper", top_p=0.8),
    "top_p_kept": one("TopPLogitsWarper", top_p=0.1, min_tokens_to_keep=3),
    "top_p_none": one("TopPLogitsWarper", top_p=0.0),
    "min_p": one("MinPLogitsWarper", min_p=0.1),
    "min_p_kept": one("MinPLogitsWarper", min_p=0.9, min_tokens_to_keep=3),
    "typical": one("TypicalLogitsWarper", mass=0.7),
    "typical_kept": one("TypicalLogitsWarper", mass=0.1, min_tokens_to_keep=4),
    "epsilon": one("EpsilonLogitsWarper", epsilon=0.03),
    "epsilon_kept": one("EpsilonLogitsWarper", epsilon=0.9, min_tokens_to_keep=2),
    "eta": one("EtaLogitsWarper", epsilon=0.05),
    "eta_kept": one("EtaLogitsWarper", epsilon=0.9, min_tokens_to_keep=2),
    "min_length": one("MinLengthLogitsProcessor", min_length=9, eos_token_id=[2, 5]),
    "min_new": one("MinNewTokensLengthLogitsProcessor", prompt_length_to_skip=5, min_new_tokens=3, eos_token_id=2),
    "repetition": one("RepetitionPenaltyLogitsProcessor", penalty=1.5),
    "repetition_reward": one("RepetitionPenaltyLogitsProcessor", penalty=0.7),
    "repetition_prompt": one("RepetitionPenaltyLogitsProcessor", penalty=1.5, prompt_ignore_length=6),
    "encoder_repetition": one("EncoderRepetitionPenaltyLogitsProcessor", penalty=1.5, encoder_input_ids=ENCODER),
    "no_repeat_1": one("NoRepeatNGramLogitsProcessor", ngram_size=1),
    "no_repeat_2": one("NoRepeatNGramLogitsProcessor", ngram_size=2),
    "no_repeat_3": one("NoRepeatNGramLogitsProcessor", ngram_size=3, below=3),
    "no_repeat_longer": one("NoRepeatNGramLogitsProcessor", ngram_size=20),
    "encoder_no_repeat": one("EncoderNoRepeatNGramLogitsProcessor", encoder_ngram_size=2, encoder_input_ids=ENCODER),
    "bad_words": one("NoBadWordsLogitsProcessor", bad_words_ids=[[7], [1, 2], [3, 1, 5], [4, 4]], eos_token_id=2),
    "bad_words_end": one("NoBadWordsLogitsProcessor", bad_words_ids=[[2], [1, 2]], eos_token_id=[2]),
    "allowed": one("PrefixConstrainedLogitsProcessor", allowed=[[3, 4], [5], [6, 7, 8]]),
    "bias": one("SequenceBiasLogitsProcessor", sequence_bias=[[[3], -5.0], [[1, 4], 2.5], [[2, 2, 1], 9.0]]),
    "hamming": one(
        "HammingDiversityLogitsProcessor", diversity_penalty=1.5, num_beams=12, num_beam_groups=3,
        current_tokens=[1, 1, 3, 4, 5, 5, 7, 8, 0, 0, 0, 0], group=1,
    ),
    "hamming_first": one(
        "HammingDiversityLogitsProcessor", diversity_penalty=1.5, num_beams=12, num_beam_groups=3,
        current_tokens=[0] * 12, group=0,
    ),
    "forced_bos": one("ForcedBOSTokenLogitsProcessor", bos_token_id=4, lengths=[1, 2]),
    "forced_eos": one("ForcedEOSTokenLogitsProcessor", max_length=9, eos_token_id=[2, 4]),
    "invalid_nan": one("InfNanRemoveLogitsProcessor", spoil=float("nan")),
    "invalid_inf": one("InfNanRemoveLogitsProcessor", spoil=float("inf")),
    "invalid_less": one("InfNanRemoveLogitsProcessor", spoil=float("-inf")),
    "decay": one(
        "ExponentialDecayLengthPenalty", exponential_decay_length_penalty=[2, 1.3], eos_token_id=[2, 4],
        input_ids_seq_length=5,
    ),
    "suppress": one("SuppressTokensLogitsProcessor", suppress_tokens=[1, 7, 39]),
    "begin_suppress": one("SuppressTokensAtBeginLogitsProcessor", begin_suppress_tokens=[1, 7], begin_index=8),
    "normalize": one("LogitNormalization"),
    "guided": one("ClassifierFreeGuidanceLogitsProcessor", guidance_scale=2.5, rows_share=2),
    "guided_alone": one("UnbatchedClassifierFreeGuidanceLogitsProcessor", guidance_scale=1.5, needs_model=True),
    "guided_negative": one(
        "UnbatchedClassifierFreeGuidanceLogitsProcessor", guidance_scale=0.5, needs_model=True,
        unconditional_ids=[[1, 5, 9]] * 4,
    ),
    "codebooks": one("AlternatingCodebooksLogitsProcessor", input_start_len=6, semantic_vocab_size=9, codebook_size=9),
    "times_begin": one(
        "WhisperTimeStampLogitsProcessor", begin_index=3, timestamps=TIMES, lengths=[3, 4, 5], set=[[3, 22]],
    ),
    "times_pair": one(
        "WhisperTimeStampLogitsProcessor", begin_index=3, timestamps=TIMES, lengths=[5, 6, 7], set=[[4, 24], [5, 24]],
    ),
    "times_single": one(
        "WhisperTimeStampLogitsProcessor", begin_index=3, timestamps=TIMES, lengths=[6, 7], set=[[4, 9], [5, 26]],
    ),
}  # fmt: skip
CRITERIA = {
    "max_length": {"name": "MaxLengthCriteria", "arguments": {"max_length": 5}},
    "max_length_positions": {"name": "MaxLengthCriteria", "arguments": {"max_length": 8, "max_position_embeddings": 4}},
    "max_time": {"name": "MaxTimeCriteria", "arguments": {"max_time": 1.0, "initial_timestamp": 0.0}},
    "max_time_left": {"name": "MaxTimeCriteria", "arguments": {"max_time": 1e4}},
    "end": {"name": "EosTokenCriteria", "arguments": {"eos_token_id": 2}},
    "ends": {"name": "EosTokenCriteria", "arguments": {"eos_token_id": [2, 7, 9]}},
    "stop_one": {"name": "StopStringCriteria", "arguments": {"stop_strings": "c"}},
    "stop_many": {"name": "StopStringCriteria", "arguments": {"stop_strings": ["ab", "cde", "hh"]}, "below": 11},
    "stop_long": {"name": "StopStringCriteria", "arguments": {"stop_strings": ["aba", "baab"]}, "below": 5},
    "stop_never": {"name": "StopStringCriteria", "arguments": {"stop_strings": ["zzzz", "?!"]}},
}
SCORERS: dict[str, dict[str, Any]] = {
    "plain": {"batch": 2, "beams": 3, "ends": [2], "arguments": {}, "seed": 1},
    "early": {"batch": 2, "beams": 3, "ends": [2, 5, 9, 11], "arguments": {"do_early_stopping": True}, "seed": 2},
    "never": {"batch": 2, "beams": 2, "ends": [2, 5, 9], "arguments": {"do_early_stopping": "never"}, "seed": 3},
    "long": {"batch": 1, "beams": 4, "ends": [2, 5], "arguments": {"length_penalty": 2.0}, "seed": 4},
    "short": {"batch": 3, "beams": 2, "ends": [2, 5, 7], "arguments": {"length_penalty": -1.0}, "seed": 5},
    "kept": {"batch": 2, "beams": 4, "ends": [2, 5], "arguments": {"num_beam_hyps_to_keep": 3}, "seed": 6},
    "groups": {"batch": 2, "beams": 6, "groups": 3, "group": 1, "ends": [2, 5], "arguments": {}, "seed": 7},
    "phrase": {"batch": 2, "beams": 3, "ends": [2], "arguments": {}, "seed": 8, "constraints": PHRASES[:1]},
    "both": {"batch": 2, "beams": 4, "ends": [2, 9], "arguments": {}, "seed": 9, "constraints": PHRASES},
}
LISTS = {
    "phrase": [{"phrase": [4, 5, 6]}],
    "phrases": [{"phrase": [4, 5]}, {"phrase": [5, 4, 4]}],
    "any": [{"any": [[4, 5, 6], [4, 6], [7, 4]]}],
    "mixed": [{"any": [[4, 5], [6, 4]]}, {"phrase": [4, 6]}, {"phrase": [5]}],
}
GROUPS_OF_CASES: dict[str, dict[str, dict[str, Any]]] = {
    **{f"strategies_{model}": strategies(model) for model in PROMPTS},
    "logits": PROCESSORS,
    "stopping": {name: {"kind": "criterion", **case} for name, case in CRITERIA.items()},
    "scorers": {name: {"kind": "scorer", **case} for name, case in SCORERS.items()},
    "constraints": {
        f"{name}_{seed}": {"kind": "constraint", "constraints": given, "tokens": [4, 5, 6, 7], "seed": seed}
        for name, given in LISTS.items() for seed in range(4)
    },
}  # fmt: skip


def main() -> None:
    names = [(group, name) for group, cases in GROUPS_OF_CASES.items() for name in cases]
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "cases.json", Path(folder) / "answers.pt"
        asked.write_text(json.dumps([GROUPS_OF_CASES[group][name] for group, name in names]))
        run_reference(HERE / "generation_answers.py", "transformers", str(asked), str(answered))
        answers = dict(zip(names, torch.load(answered), strict=True))
    failed = {key: answer["error"] for key, answer in answers.items() if "error" in answer}
    if failed:
        raise RuntimeError(f"the reference cannot answer: {failed}")
    for group, cases in GROUPS_OF_CASES.items():
        found = {f"{name}/{key}": t.contiguous() for name in cases for key, t in answers[group, name].items()}
        metadata = {"cases": json.dumps(cases, sort_keys=True), "reference": "4.55.4"}
        save_file(found, HERE / "goldens" / f"generation_{group}.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
