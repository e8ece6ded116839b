"""Moving through a recording in windows of 30 s (arXiv:2212.04356, section 4.5).

Each window is decoded, its transcript cut at its timestamps, and the next window begins where the last finished
segment ends. A transcript that repeats itself or that the model gives a low probability is decoded again at the next
temperature.

Shapes: B batch, F mel bins, S frames, L tokens.
"""

from __future__ import annotations

import copy
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xf.outputs import BaseModelOutput
from xf_plugin_whisper.alignment import token_times
from xf_plugin_whisper.segments import Segment, cut_into_segments, joined_tokens, pad_rows
from xf_plugin_whisper.settings import Settings

_HOT = 0.5  # from this temperature on a transcript is too uncertain to condition the next window on


@dataclass
class Decoded:
    """What was decoded for one row of a window: tokens after the prompt without the end token, and the whole result."""

    tokens: Tensor
    result: Any
    conditions: bool
    skip: bool = False


@dataclass
class WindowReader:
    """Reads a batch of recordings window by window.

    model: with `_decode_window`. features_BFS, or encoder_outputs for a single window.
    frames_B: frames of sound in each row. init_BL: first tokens of every transcript. arguments: of the decoding
    (processors, criteria ...). progress: called before each window with (batch, 2) frames read and in all.
    """

    model: Any
    settings: Settings
    init_BL: Tensor
    frames_B: list[int]
    window_frames: int
    features_BFS: Tensor | None = None
    encoder_outputs: Any = None
    arguments: dict[str, Any] = field(default_factory=dict)
    sound_frames_B: list[int] | None = None
    step_seconds: float = 0.02
    frame_seconds: float = 0.01
    progress: Callable[[Tensor], None] | None = None

    def __post_init__(self) -> None:
        batch = len(self.frames_B)
        self.seek_B = [0] * batch
        self.segments_B: list[list[Segment]] = [[] for _ in range(batch)]
        self.conditions_B = [self.settings.condition_on_prev_tokens] * batch
        self.last_outputs: Any = None  # of the last call of the decoder, and the rows it was for
        self.last_rows: list[int] = []
        self.windows = 0  # read so far
        prompt = self.settings.prompt_ids
        self.has_first_prompt = prompt is not None and self.settings.prompt_condition_type == "first-segment"
        if prompt is not None and self.has_first_prompt:
            marker = getattr(self.settings.config, "prev_sot_token_id", None)
            self.first_prompt = prompt[1:] if len(prompt) and int(prompt[0]) == marker else prompt

    def read(self) -> list[list[Segment]]:
        """The segments of every row."""
        while rows := [row for row, frames in enumerate(self.frames_B) if self.seek_B[row] < frames]:
            if self.progress is not None:
                self.progress(torch.tensor([self.seek_B, self.frames_B]).T)
            self._read_window(rows)
        return self.segments_B

    def _read_window(self, rows: list[int]) -> None:
        self.windows += 1
        frames = [min(self.frames_B[row] - self.seek_B[row], self.window_frames) for row in rows]
        prompt_BL, mask_BL = self._prompt(rows)
        decoded = self._decode_with_fallback(rows, self._encode(rows), prompt_BL, mask_BL)
        for row, count, item in zip(rows, frames, decoded, strict=True):
            self.conditions_B[row] = item.conditions
            if item.skip or self.encoder_outputs is not None:
                self.seek_B[row] += count
            if item.skip:
                continue
            offset = torch.tensor(self.seek_B[row] * self.frame_seconds, dtype=torch.float64)
            if self.encoder_outputs is not None:
                offset = torch.zeros((), dtype=torch.float64)
            segments, covered = cut_into_segments(
                item.tokens.cpu(),
                offset,
                count,
                self.settings.first_timestamp_or_end,
                item.result,
                prompt_BL.shape[1],
                self.step_seconds,
                self.frame_seconds,
            )
            self.segments_B[row] += segments
            if self.encoder_outputs is None:
                self.seek_B[row] += covered

    # ---------------------------------------------------------------------------------------------- inputs of a window

    def _encode(self, rows: list[int]) -> Any:
        """The encoder's states of the windows of `rows`; temperatures share them."""
        if self.encoder_outputs is not None:
            return _take_rows(self.encoder_outputs, rows)
        assert self.features_BFS is not None
        windows = []
        for row in rows:
            begin = self.seek_B[row]
            end = begin + min(self.frames_B[row] - begin, self.window_frames)
            piece_FS = self.features_BFS[row, :, begin:end]
            windows.append(F.pad(piece_FS, (0, self.window_frames - piece_FS.shape[-1])))
        config = self.settings.config
        wanted = bool(config.return_dict_in_generate)
        return self.model.get_encoder()(
            torch.stack(windows),
            output_attentions=wanted and bool(config.output_attentions),
            output_hidden_states=wanted and bool(config.output_hidden_states),
            return_dict=True,
        )

    def _prompt(self, rows: list[int]) -> tuple[Tensor, Tensor | None]:
        """The decoder's prompt of each row and its mask: what was said before, where it conditions, and init tokens."""
        init_BL = self.init_BL[rows]
        prompt, config = self.settings.prompt_ids, self.settings.config
        if any(self.conditions_B) and (self.has_first_prompt or self.segments_B[0]):
            begin = self._previous_text_begin()
            texts = [self._previous_text(row, begin) for row in rows]
            previous_BL = pad_rows(texts, config.pad_token_id, left=True).to(init_BL.device)
            prompt_BL = torch.cat([previous_BL, init_BL], dim=1)
            return prompt_BL, (prompt_BL != config.pad_token_id).long()
        if prompt is not None:
            return torch.cat([prompt.to(init_BL.device).expand(len(rows), -1), init_BL], dim=1), None
        return init_BL, None

    def _previous_text_begin(self) -> Tensor:
        if self.settings.prompt_ids is not None and self.settings.prompt_condition_type == "all-segments":
            return self.settings.prompt_ids
        marker = getattr(self.settings.config, "prev_sot_token_id", None)
        return torch.tensor([] if marker is None else [marker], dtype=torch.long)

    def _previous_text(self, row: int, begin: Tensor) -> Tensor:
        """The prompt and the latest segments of a row behind <|startofprev|>, at most half of the positions."""
        pieces = [self.first_prompt] if self.has_first_prompt else []
        said = joined_tokens(self.segments_B[row], self.settings.first_timestamp_or_end)
        if said is not None:
            pieces.append(said)
        if not pieces or not self.conditions_B[row]:
            return begin.cpu()
        room = self.model.config.max_target_positions // 2 - 1
        return torch.cat([begin.cpu(), torch.cat([piece.cpu() for piece in pieces])[-room:]])

    # ---------------------------------------------------------------------------------------------------- decoding

    def _decode_with_fallback(
        self, rows: list[int], encoded: Any, prompt_BL: Tensor, mask_BL: Tensor | None
    ) -> list[Decoded]:
        silence = self._no_speech_probabilities(encoded, prompt_BL, mask_BL)
        decoded: list[Decoded | None] = [None] * len(rows)
        left = list(range(len(rows)))  # positions in `rows` that are still to be decoded well
        for temperature in self.settings.temperatures:
            outputs = self._decode(left, rows, encoded, prompt_BL, mask_BL, temperature)
            again = []
            for place, index in enumerate(left):
                item, poor = self._judge(outputs, place, prompt_BL.shape[1], temperature, silence, index)
                decoded[index] = item
                if poor and not item.skip:
                    again.append(index)
            left = again
            if not left:
                break
        return [item for item in decoded if item is not None]

    def _decode(
        self,
        left: list[int],
        rows: list[int],
        encoded: Any,
        prompt_BL: Tensor,
        mask_BL: Tensor | None,
        temperature: float | None,
    ) -> Any:
        config = copy.copy(self.settings.config)
        if temperature is not None:
            config.do_sample = temperature > 0.0
            config.temperature = temperature if temperature > 0.0 else 1.0
        if config.do_sample:
            config.num_beams = 1
        config.num_return_sequences = 1
        inputs = {**self.arguments, **self._bounded_length(config, prompt_BL.shape[1])}
        if mask_BL is not None:
            inputs["decoder_attention_mask"] = mask_BL[left]
        outputs = self.model._decode_window(_take_rows(encoded, left), prompt_BL[left], config, self.settings, inputs)
        if self.settings.token_timestamps:
            sound = None
            if self.sound_frames_B is not None:
                sound = [self.sound_frames_B[rows[index]] - self.seek_B[rows[index]] for index in left]
            width = self.model.config.median_filter_width
            outputs["token_timestamps"] = token_times(
                outputs, prompt_BL.shape[1], config.alignment_heads, width, sound, self.step_seconds
            )
        self.last_outputs, self.last_rows = outputs, [rows[index] for index in left]
        return outputs

    def _bounded_length(self, config: Any, prompt_length: int) -> dict[str, int]:
        """The length of the decoding as arguments, within the positions of the decoder."""
        positions = self.model.config.max_target_positions
        if config.max_new_tokens is not None and prompt_length + config.max_new_tokens > positions:
            raise ValueError(
                f"The decoder begins with {prompt_length} tokens (start tokens, prompt and previous text), and "
                f"max_new_tokens is {config.max_new_tokens}: together more than the {positions} positions of the "
                "decoder. Shorten the prompt or lower max_new_tokens."
            )
        limit = min(config.max_length or positions, positions)
        config.max_length = None
        return {} if config.max_new_tokens is not None else {"max_length": limit}

    def _no_speech_probabilities(self, encoded: Any, prompt_BL: Tensor, mask_BL: Tensor | None) -> Tensor | None:
        """Probability (B,) of <|nospeech|> right after <|startoftranscript|>."""
        if self.settings.no_speech_threshold is None:
            return None
        logits_BLV = self.model(
            encoder_outputs=encoded,
            decoder_input_ids=prompt_BL,
            decoder_attention_mask=mask_BL,
            decoder_position_ids=positions_of(mask_BL),
            use_cache=False,
            return_dict=True,
        ).logits
        start = prompt_BL.shape[1] - self.init_BL.shape[1]
        no_speech = self.settings.config.no_timestamps_token_id - 1
        return logits_BLV[:, start].float().softmax(dim=-1)[:, no_speech]

    # -------------------------------------------------------------------------------------------------------- judging

    def _judge(
        self,
        outputs: Any,
        place: int,
        prompt_length: int,
        temperature: float | None,
        silence: Tensor | None,
        index: int,
    ) -> tuple[Decoded, bool]:
        """What was decoded at `place` of the batch, and whether it is so poor that it should be decoded again."""
        settings, config = self.settings, self.settings.config
        sequence = outputs["sequences"][place] if isinstance(outputs, dict) else outputs[place]
        tokens = _without_padding(sequence[prompt_length:], config.pad_token_id, _ends(config))
        poor = False
        if settings.compression_ratio_threshold is not None:
            ratio = compression_ratio(tokens, self.model.config.vocab_size)
            poor = ratio > settings.compression_ratio_threshold
        skip = False
        if settings.logprob_threshold is not None:
            unlikely = self._mean_log_probability(outputs, place, tokens, temperature) < settings.logprob_threshold
            poor = poor or unlikely
            if silence is not None and settings.no_speech_threshold is not None and unlikely:
                skip = float(silence[index]) > settings.no_speech_threshold
        if len(tokens) and int(tokens[-1]) in _ends(config):
            tokens = tokens[:-1]
        conditions = settings.condition_on_prev_tokens and (temperature is None or temperature < _HOT)
        return Decoded(tokens, split_outputs(outputs, place), conditions, skip), poor

    def _mean_log_probability(self, outputs: Any, place: int, tokens: Tensor, temperature: float | None) -> float:
        """Mean log probability of the tokens, the end token included."""
        if outputs.get("sequences_scores") is not None:
            return float(outputs["sequences_scores"][place])
        scale = temperature if temperature is not None and temperature > 0.0 else 1.0
        scores_LV = torch.stack([step[place] for step in outputs["scores"]])[: len(tokens)]
        tokens = tokens[len(tokens) - len(scores_LV) :]
        log_probs_LV = (scores_LV * scale).float().log_softmax(dim=-1).to(scores_LV.dtype)
        chosen = log_probs_LV[torch.arange(len(tokens)), tokens]
        return float(chosen.mean()) if len(tokens) else 0.0


def positions_of(mask_BL: Tensor | None) -> Tensor | None:
    """Decoder positions (B, L) that do not count padding."""
    return None if mask_BL is None else (mask_BL.cumsum(-1) - 1).clamp(min=0)


def compression_ratio(tokens: Tensor, vocab_size: int) -> float:
    """How many times zlib shortens the ids: repetitions make it large."""
    width = int(math.log2(vocab_size) / 8) + 1
    data = b"".join(token.to_bytes(width, "little") for token in tokens.tolist())
    return len(data) / len(zlib.compress(data))


def _ends(config: Any) -> set[int]:
    ends = config.eos_token_id
    return set() if ends is None else set(ends) if isinstance(ends, (list, tuple)) else {ends}


def _without_padding(tokens: Tensor, pad: int | None, ends: set[int]) -> Tensor:
    """`tokens` without the padding behind them; where the end token pads, one stays as the end."""
    if len(tokens) == 0 or int(tokens[-1]) != pad:
        return tokens
    count = int((tokens == pad).sum()) - (1 if pad in ends else 0)
    return tokens[:-count] if count else tokens


def _take_rows(encoded: Any, rows: list[int]) -> BaseModelOutput:
    """Rows of the encoder's output."""
    index = torch.tensor(rows, device=encoded.last_hidden_state.device)
    if len(index) == len(encoded.last_hidden_state) and rows == list(range(len(rows))):
        return encoded  # type: ignore[no-any-return]

    def taken(value: Any) -> Any:
        return tuple(taken(item) for item in value) if isinstance(value, tuple) else value[index]

    return BaseModelOutput(**{name: taken(value) for name, value in encoded.items()})


def split_outputs(outputs: Any, row: int) -> Any:
    """One row of what `generate` returned; the cache, which would keep memory of every window, is left out."""
    if isinstance(outputs, Tensor):
        return outputs[row]

    def taken(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(taken(item) for item in value)
        return value[row] if isinstance(value, Tensor) and value.ndim else value

    return {name: taken(value) for name, value in outputs.items() if name != "past_key_values" and value is not None}
