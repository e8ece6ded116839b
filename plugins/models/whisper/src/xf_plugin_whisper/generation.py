"""`generate` of Whisper: transcripts of any length, with timestamps, in a given or a detected language."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from xf import logging
from xf.outputs import BaseModelOutput
from xf_generation.mixin import GenerationMixin
from xf_generation.settle import settle_config
from xf_plugin_whisper.segments import joined_tokens, pad_rows
from xf_plugin_whisper.settings import Settings, check_language_and_task, first_tokens, settle
from xf_plugin_whisper.windows import WindowReader

logger = logging.get_logger(__name__)


class WhisperGenerationMixin(GenerationMixin):
    """Adds Whisper's own `generate` and `detect_language` to the model with the language model head."""

    decoder_prompt_needs_start = False

    @torch.no_grad()
    def generate(  # type: ignore[override]
        self,
        input_features: Tensor | None = None,
        generation_config: Any = None,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        prefix_allowed_tokens_fn: Callable[[int, Tensor], list[int]] | None = None,
        synced_gpus: bool = False,
        return_timestamps: bool | None = None,
        task: str | None = None,
        language: str | list[str] | None = None,
        is_multilingual: bool | None = None,
        prompt_ids: Tensor | None = None,
        prompt_condition_type: str | None = None,
        condition_on_prev_tokens: bool | None = None,
        temperature: float | tuple[float, ...] | None = None,
        compression_ratio_threshold: float | None = None,
        logprob_threshold: float | None = None,
        no_speech_threshold: float | None = None,
        num_segment_frames: int | None = None,
        attention_mask: Tensor | None = None,
        time_precision: float = 0.02,
        time_precision_features: float = 0.01,
        return_token_timestamps: bool | None = None,
        return_segments: bool = False,
        return_dict_in_generate: bool | None = None,
        force_unique_generate_call: bool | None = None,
        monitor_progress: Callable[[Tensor], None] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Transcribe or translate speech; arguments that are None come from the generation config.

        Args:
            input_features: (B, F, S) log-mel features; more than 3000 frames are read in windows of 30 s.
            generation_config, logits_processor, stopping_criteria, prefix_allowed_tokens_fn, synced_gpus: of every
                window's decoding, see `GenerationMixin.generate`.
            return_timestamps: predict timestamps; long inputs need them.
            task: "transcribe" or "translate" (to English).
            language: name, code or token, one or one for each input; None detects it.
            is_multilingual: overrides the generation config.
            prompt_ids: (tokens,) of `get_prompt_ids`: names and style to go by.
            prompt_condition_type: "first-segment", or "all-segments" to repeat the prompt in every window.
            condition_on_prev_tokens: let each window see what was said before.
            temperature: 0.0 is greedy; a tuple is tried in order until a transcript passes the thresholds.
            compression_ratio_threshold: above it a transcript repeats itself and is decoded again.
            logprob_threshold: below this mean log probability a transcript is decoded again.
            no_speech_threshold: above this probability of silence an unlikely transcript is left out.
            num_segment_frames: frames of a window.
            attention_mask: (B, S), where the features are sound; batches of long inputs need it.
            time_precision, time_precision_features: seconds to a timestamp and to a frame.
            return_token_timestamps: also say when each token begins.
            return_segments: also return the segments, see `segments`.
            return_dict_in_generate: return a dictionary.
            force_unique_generate_call: one decoding only, without moving on in the window (then the output is the
                decoder's own: with start tokens, unpadded behind the end).
            monitor_progress: called before each window with (B, 2): frames read, and in all.

        Returns:
            Token ids (B, L) without start tokens and end; or, where segments, token times or a dictionary are asked
            for, a dictionary with "sequences" and these.

        Raises:
            ValueError: settings that contradict each other or that the checkpoint does not offer; inputs that are
                missing, or longer than the model reads at once without timestamps.
        """
        given = {name: value for name, value in locals().items() if name in _SETTINGS}
        if return_dict_in_generate is not None:
            kwargs["return_dict_in_generate"] = return_dict_in_generate
        config, inputs = self._settle_config(generation_config, kwargs)
        if is_multilingual is not None:
            config.is_multilingual = is_multilingual
        features, encoder_outputs = self._speech(input_features, inputs)
        window = num_segment_frames or 2 * self.config.max_source_positions  # type: ignore[attr-defined]
        batch, total = _extent(features, encoder_outputs)
        settings = settle(config, given, is_long=total > window)
        init_BL = self._init_tokens(settings, language, task, features, encoder_outputs, batch, window, inputs)
        sound_frames = _sound_frames(inputs.pop("num_frames", None), attention_mask, batch)
        reader = WindowReader(
            model=self,
            settings=settings,
            init_BL=init_BL,
            frames_B=_frames(batch, total, attention_mask, is_long=total > window),
            window_frames=window,
            features_BFS=features,
            encoder_outputs=encoder_outputs,
            arguments={
                "logits_processor": logits_processor,
                "stopping_criteria": stopping_criteria,
                "prefix_allowed_tokens_fn": prefix_allowed_tokens_fn,
                "synced_gpus": synced_gpus,
                **inputs,
            },
            sound_frames_B=sound_frames,
            step_seconds=time_precision,
            frame_seconds=time_precision_features,
            progress=monitor_progress,
        )
        _repeat_rows(reader, max(config.num_return_sequences or 1, 1))
        return self._returned(reader, settings, return_segments, force_unique_generate_call, total > window)

    def _init_tokens(
        self,
        settings: Settings,
        language: str | list[str] | None,
        task: str | None,
        features: Tensor | None,
        encoder_outputs: Any,
        batch: int,
        window: int,
        inputs: dict[str, Any],
    ) -> Tensor:
        """The first tokens (B, L) of every transcript; `forced_decoder_ids` are taken out of `inputs`."""
        config = settings.config
        language = getattr(config, "language", None) if language is None else language
        task = getattr(config, "task", None) if task is None else task
        check_language_and_task(config, language, task, batch)
        forced = inputs.pop("forced_decoder_ids", None)
        for holder in (config, self.config):  # type: ignore[attr-defined]
            forced = getattr(holder, "forced_decoder_ids", None) if forced is None else forced

        def detect() -> Tensor:
            return self.detect_language(features, encoder_outputs, config, window)

        tokens = first_tokens(config, forced, language, task, settings.timestamps, batch, detect)
        return tokens.to(self.device)  # type: ignore[attr-defined]

    # ------------------------------------------------------------------------------------------------------- inputs

    def _settle_config(self, given: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """A copy of the generation config with the settings of `kwargs`, and the rest of `kwargs`."""
        if kwargs.get("decoder_input_ids") is not None or kwargs.get("decoder_inputs_embeds") is not None:
            raise ValueError(
                "Whisper's generate makes the decoder's first tokens itself: pass language, task and "
                "return_timestamps, and text to go by as prompt_ids, instead of decoder_input_ids."
            )
        forced = kwargs.pop("forced_decoder_ids", None)
        config, inputs, extra, _ = settle_config(self, given, None, kwargs)
        config = copy.copy(config)
        if given is not None and given is not self.generation_config:
            for name, value in vars(self.generation_config).items():  # Whisper's own settings: lang_to_id ...
                if not hasattr(config, name):
                    setattr(config, name, value)
        if forced is not None:
            inputs["forced_decoder_ids"] = forced
        return config, {**inputs, **extra}

    def _speech(self, input_features: Tensor | None, inputs: dict[str, Any]) -> tuple[Tensor | None, Any]:
        """Features or encoder outputs, taken out of `inputs`."""
        if "inputs" in inputs:
            input_features = inputs.pop("inputs") if input_features is None else input_features
        encoder_outputs = inputs.pop("encoder_outputs", None)
        if (input_features is None) == (encoder_outputs is None):
            raise ValueError("Pass input_features (from the processor), or encoder_outputs: exactly one of them.")
        if encoder_outputs is not None and not isinstance(encoder_outputs, BaseModelOutput):
            states = encoder_outputs if isinstance(encoder_outputs, Tensor) else encoder_outputs[0]
            encoder_outputs = BaseModelOutput(last_hidden_state=states)
        if input_features is not None and input_features.ndim != 3:
            raise ValueError(
                f"input_features must be (batch, mel bins, frames), but have shape {tuple(input_features.shape)}."
            )
        window = 2 * self.config.max_source_positions  # type: ignore[attr-defined]
        if input_features is not None and input_features.shape[-1] < window:
            raise ValueError(
                f"Whisper expects the mel input features to be of length {window} or more, but found "
                f"{input_features.shape[-1]}. Let the processor pad them."
            )
        return input_features, encoder_outputs

    def detect_language(
        self,
        input_features: Tensor | None = None,
        encoder_outputs: Any = None,
        generation_config: Any = None,
        num_segment_frames: int = 3000,
    ) -> Tensor:
        """Ids (B,) of the languages that the first window of each input is in.

        Args:
            input_features: (B, F, S), or encoder_outputs.
            generation_config: the model's own if None.
            num_segment_frames: frames of a window.

        Raises:
            ValueError: neither or both inputs, or a checkpoint without languages.
        """
        if (input_features is None) == (encoder_outputs is None):
            raise ValueError("Pass input_features or encoder_outputs: exactly one of them.")
        config: Any = self.generation_config if generation_config is None else generation_config
        known = getattr(config, "lang_to_id", None)
        if not known:
            raise ValueError("The generation config has no lang_to_id: this checkpoint cannot detect languages.")
        if encoder_outputs is None:
            assert input_features is not None
            window = input_features[:, :, :num_segment_frames]
            encoder_outputs = self.get_encoder()(window, return_dict=True)  # type: ignore[attr-defined]
        states = encoder_outputs.last_hidden_state if hasattr(encoder_outputs, "keys") else encoder_outputs[0]
        start = torch.full((states.shape[0], 1), config.decoder_start_token_id, device=states.device)
        with torch.no_grad():
            logits_BV = self(  # type: ignore[operator]
                encoder_outputs=BaseModelOutput(last_hidden_state=states),
                decoder_input_ids=start,
                use_cache=False,
                return_dict=True,
            ).logits[:, -1]
        ids = torch.tensor(sorted(known.values()), device=logits_BV.device)
        return ids[logits_BV[:, ids].argmax(dim=-1)]

    # ----------------------------------------------------------------------------------------------------- decoding

    def _decode_window(
        self, encoder_outputs: Any, prompt_BL: Tensor, config: Any, settings: Settings, inputs: dict[str, Any]
    ) -> Any:
        """Decode one window after `prompt_BL`: ids, or an output object where parts of it are needed."""
        from xf_generation.logits.audio import WhisperTimeStampLogitsProcessor

        inputs = dict(inputs)
        processors = list(inputs.pop("logits_processor", None) or [])
        if settings.timestamps:
            processors.insert(0, WhisperTimeStampLogitsProcessor(config, begin_index=prompt_BL.shape[1]))
        if settings.logprob_threshold is not None or settings.token_timestamps:
            config.return_dict_in_generate = config.output_scores = True
        if settings.token_timestamps:
            config.output_attentions = True
        return GenerationMixin.generate(
            self,
            encoder_outputs=encoder_outputs,
            decoder_input_ids=prompt_BL,
            generation_config=config,
            logits_processor=processors,
            use_model_defaults=False,
            **inputs,
        )

    # ----------------------------------------------------------------------------------------------------- returning

    def _returned(
        self,
        reader: WindowReader,
        settings: Settings,
        return_segments: bool,
        force_unique: bool | None,
        is_long: bool,
    ) -> Any:
        wants_dict = bool(settings.config.return_dict_in_generate)
        if force_unique:
            if is_long:
                raise ValueError("force_unique_generate_call=True decodes one window, but the input is longer.")
            reader.encoder_outputs = reader._encode(list(range(len(reader.frames_B))))
        segments_B = reader.read()
        one_window = reader.windows == 1 and len(reader.last_rows) == len(segments_B)
        if (force_unique or (wants_dict and not settings.timestamps and one_window)) and not is_long:
            return reader.last_outputs
        config = settings.config
        empty = torch.empty(0, dtype=torch.long)
        rows = [joined_tokens(segments) for segments in segments_B]
        sequences = pad_rows([empty if row is None else row for row in rows], config.pad_token_id).to(self.device)  # type: ignore[attr-defined]
        if not (return_segments or settings.token_timestamps or wants_dict):
            return sequences
        result: dict[str, Any] = {"sequences": sequences}
        if settings.token_timestamps:
            times = [joined_tokens(segments, key="token_timestamps") for segments in segments_B]
            result["token_timestamps"] = pad_rows([torch.zeros(0) if row is None else row for row in times], 0.0)
        if return_segments or (wants_dict and not settings.token_timestamps):
            result["segments"] = segments_B
        return result


_SETTINGS = frozenset(
    "return_timestamps prompt_ids prompt_condition_type condition_on_prev_tokens temperature "
    "compression_ratio_threshold logprob_threshold no_speech_threshold return_token_timestamps".split()
)


def _extent(features: Tensor | None, encoder_outputs: Any) -> tuple[int, int]:
    """(batch, frames) of the input."""
    if features is not None:
        return features.shape[0], features.shape[-1]
    states = encoder_outputs.last_hidden_state
    return states.shape[0], 2 * states.shape[1]


def _frames(batch: int, total: int, attention_mask: Tensor | None, is_long: bool) -> list[int]:
    """Frames to read of each row."""
    if not is_long or batch == 1:
        return [total] * batch
    if attention_mask is None:
        raise ValueError(
            "A batch of long inputs needs attention_mask, or silence behind the shorter ones is transcribed. Call the "
            "processor with return_attention_mask=True and pass on what it returns."
        )
    return [min(int(count), total) for count in attention_mask.sum(-1)]


def _sound_frames(num_frames: Any, attention_mask: Tensor | None, batch: int) -> list[int] | None:
    """Frames of sound in each row, for token times."""
    if num_frames is None:
        return None if attention_mask is None else [int(count) for count in attention_mask.sum(-1)]
    return [int(count) for count in torch.as_tensor(num_frames).reshape(-1).expand(batch)]


def _repeat_rows(reader: WindowReader, times: int) -> None:
    """Decode each row `times` times (num_return_sequences)."""
    if times == 1:
        return
    reader.init_BL = reader.init_BL.repeat_interleave(times, dim=0)
    reader.frames_B = [frames for frames in reader.frames_B for _ in range(times)]
    if reader.sound_frames_B is not None:
        reader.sound_frames_B = [frames for frames in reader.sound_frames_B for _ in range(times)]
    if reader.features_BFS is not None:
        reader.features_BFS = reader.features_BFS.repeat_interleave(times, dim=0)
    if reader.encoder_outputs is not None:
        states = reader.encoder_outputs.last_hidden_state.repeat_interleave(times, dim=0)
        reader.encoder_outputs = BaseModelOutput(last_hidden_state=states)
    reader.__post_init__()
