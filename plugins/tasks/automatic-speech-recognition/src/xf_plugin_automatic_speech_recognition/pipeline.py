"""AutomaticSpeechRecognitionPipeline (spec: main_classes/pipelines.md): speech of any length to text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from xf import logging
from xf_pipelines.pipeline import ChunkPipeline
from xf_plugin_automatic_speech_recognition import sound
from xf_plugin_automatic_speech_recognition.decoder import load_ctc_decoder

logger = logging.get_logger(__name__)

_OWN_KEYS = ("tokens", "logits", "is_last", "stride", "token_timestamps")
_GENERATING = ("seq2seq", "seq2seq_whisper")


class AutomaticSpeechRecognitionPipeline(ChunkPipeline):
    """Transcribes speech.

    `type` says how: "seq2seq_whisper" (a model that generates, whose tokenizer joins chunks), "seq2seq" (any other that
    generates), "ctc" (characters by the best path) or "ctc_with_lm" (by a beam search with a language model).

    Args:
        model, feature_extractor, tokenizer: see `Pipeline`.
        decoder: a `pyctcdecode.BeamSearchDecoderCTC`; None takes the one in the checkpoint, if there is one.
        kwargs: further arguments of `Pipeline`, and defaults for the arguments of a call.
    """

    task = "automatic-speech-recognition"
    auto_model_heads: ClassVar[tuple[str, ...]] = ("ctc", "speech_seq2seq")
    loads: ClassVar[tuple[str, ...] | None] = ("feature_extractor", "tokenizer")
    default_model = "facebook/wav2vec2-base-960h@22aad52"
    calls_generate: ClassVar[bool] = True
    generation_defaults = {"max_new_tokens": 256, "num_beams": 5}

    def __init__(
        self, model: Any, feature_extractor: Any = None, tokenizer: Any = None, decoder: Any = None, **kwargs: Any
    ) -> None:
        self.decoder = decoder
        if callable(getattr(model, "generate", None)):
            self.type = "seq2seq_whisper" if hasattr(tokenizer, "_decode_asr") else "seq2seq"
        else:
            self.decoder = load_ctc_decoder(model) if decoder is None else decoder
            self.type = "ctc" if self.decoder is None else "ctc_with_lm"
        super().__init__(model, tokenizer=tokenizer, feature_extractor=feature_extractor, **kwargs)

    def __call__(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Transcribe one recording, or several (a list, a dataset, a generator).

        Args:
            inputs: a path, an http(s) address, the bytes of a sound file, samples at the rate of the feature extractor,
                or {"sampling_rate": Hz, "raw" or "array": samples}, which are resampled; with "stride": (left, right)
                samples at the ends that only give context.
            chunk_length_s: cut longer recordings into chunks of so many seconds, which can run in batches; 0 reads a
                recording as a whole.
            stride_length_s: overlap of chunks: seconds, or (left, right); a sixth of the chunk if None.
            return_timestamps: Whisper: True for segments, "word" for words; CTC: "char" or "word".
            return_language: Whisper: the language of each segment.
            generate_kwargs: arguments of `generate`.
            decoder_kwargs: arguments of the beam search with a language model.
            ignore_warning: say nothing about chunks of models they were not made for.

        Returns:
            {"text"}, with timestamps or languages also "chunks": [{"text", "timestamp": (start, end) in seconds,
            "language"}]; further keys of a dictionary come back in lists.

        Raises:
            ValueError: bad audio, or timestamps that this kind of model does not have.
        """
        return super().__call__(inputs, *args, **kwargs)

    def _sanitize_parameters(  # type: ignore[override]
        self,
        chunk_length_s: float | None = None,
        stride_length_s: Any = None,
        ignore_warning: bool | None = None,
        decoder_kwargs: dict[str, Any] | None = None,
        return_timestamps: bool | str | None = None,
        return_language: bool | None = None,
        generate_kwargs: dict[str, Any] | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if chunk_length_s is not None and self.type == "seq2seq" and not ignore_warning:
            logger.warning(
                "chunk_length_s with a model that generates text is experimental: chunks are joined where their texts "
                "agree. Pass ignore_warning=True if you know this."
            )
        self._check_timestamps(return_timestamps)
        if return_language is not None and self.type != "seq2seq_whisper":
            raise ValueError("Only Whisper can return language for now.")
        before = {"chunk_length_s": chunk_length_s, "stride_length_s": stride_length_s}
        after = {
            "decoder_kwargs": decoder_kwargs,
            "return_timestamps": return_timestamps,
            "return_language": return_language,
        }
        forward = {"return_timestamps": return_timestamps, **(generate_kwargs or {})}
        return _given(before), _given(forward), _given(after)

    def _check_timestamps(self, wanted: bool | str | None) -> None:
        if not wanted:
            return
        if self.type == "seq2seq":
            raise ValueError("We cannot return_timestamps yet on non-CTC models apart from Whisper!")
        if self.type == "ctc_with_lm" and wanted != "word":
            raise ValueError("CTC with LM can only predict word level timestamps, set `return_timestamps='word'`.")
        if self.type == "ctc" and wanted not in ("char", "word"):
            raise ValueError(
                "CTC can either predict character level timestamps, or word level timestamps. "
                "Set `return_timestamps='char'` or `return_timestamps='word'` as required."
            )
        if self.type == "seq2seq_whisper" and wanted == "char":
            raise ValueError(
                "Whisper cannot return `char` timestamps, only word level or segment level timestamps. "
                "Use `return_timestamps='word'` or `return_timestamps=True` respectively."
            )

    # ---------------------------------------------------------------------------------------------------- preprocess

    def preprocess(  # type: ignore[override]
        self, inputs: Any, chunk_length_s: float = 0, stride_length_s: Any = None
    ) -> Iterator[dict[str, Any]]:
        """The features of the recording, or of each of its chunks."""
        rate = self.feature_extractor.sampling_rate
        samples, stride, extra = sound.read_sound(inputs, rate)
        if len(samples) == 0:
            raise ValueError("The recording has no samples. Check the file or the array.")
        if chunk_length_s:
            align_to = getattr(self.model.config, "inputs_to_logits_ratio", 1)
            sizes = sound.chunk_sizes(chunk_length_s, stride_length_s, rate, align_to)
            for piece, own_stride, is_last in sound.chunks(samples, *sizes):
                features = self._features(piece, is_chunk=True)
                yield {"is_last": is_last, "stride": own_stride, **features, **extra}
            return
        if stride is not None and self.type == "seq2seq":
            raise ValueError("Stride is only usable with CTC models, try removing it !")
        item = {"is_last": True, **self._features(samples, is_chunk=stride is not None), **extra}
        yield item if stride is None else {**item, "stride": stride}

    def _features(self, samples: Any, is_chunk: bool) -> dict[str, Any]:
        options: dict[str, Any] = {"return_attention_mask": True} if not is_chunk or self.type != "seq2seq" else {}
        if self.type == "seq2seq_whisper":
            if not is_chunk and len(samples) > self.feature_extractor.n_samples:
                options |= {"truncation": False, "padding": "longest"}
            elif not is_chunk:
                options["return_token_timestamps"] = True
        extractor = self.feature_extractor
        features = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt", **options)
        return dict(features)

    # ------------------------------------------------------------------------------------------------------- forward

    def _forward(self, model_inputs: Any, return_timestamps: bool | str = False, **generate_kwargs: Any) -> Any:  # type: ignore[override]
        inputs = dict(model_inputs)
        name = "input_features" if "input_features" in inputs else "input_values"
        features = inputs.pop(name, None)
        if features is None:
            raise ValueError(
                "The feature extractor makes neither input_features nor input_values: it is none for speech."
            )
        mask, stride, is_last = inputs.pop("attention_mask", None), inputs.pop("stride", None), inputs.pop("is_last")
        frames = inputs.pop("num_frames", None)
        if self.type in _GENERATING:
            found = self._generate(features, mask, stride, frames, return_timestamps, generate_kwargs)
        else:
            logits = self.model(**{self.model.main_input_name: features}, attention_mask=mask).logits
            found = {"logits": logits} if self.type == "ctc_with_lm" else {"tokens": logits.argmax(dim=-1)}
            if stride is not None:
                ratio = 1 / self.model.config.inputs_to_logits_ratio
                many = isinstance(stride, list)
                found["stride"] = [sound.rescaled(s, ratio) for s in stride] if many else sound.rescaled(stride, ratio)
        return {"is_last": is_last, **found, **inputs}

    def _generate(
        self, features: Any, mask: Any, stride: Any, frames: Any, timestamps: bool | str, options: dict[str, Any]
    ) -> dict[str, Any]:
        whisper = self.type == "seq2seq_whisper"
        if whisper and timestamps:
            options = {"return_timestamps": True, **options}
        if whisper and timestamps == "word":
            options |= {"return_token_timestamps": True, "return_segments": True}
            if stride is not None:
                hop = self.feature_extractor.hop_length
                frames = [s[0] // hop for s in stride] if isinstance(stride, list) else [stride[0] // hop]
            if frames is not None:
                options["num_frames"] = frames
        options.setdefault("generation_config", self.generation_config)
        result = self.model.generate(features, attention_mask=mask, **options)
        if whisper and timestamps == "word":
            import torch

            times = [
                torch.cat([s["token_timestamps"] for s in row]) if row else torch.zeros(0) for row in result["segments"]
            ]
            sequences = result["sequences"]
            padded = torch.zeros(sequences.shape)
            for index, row in enumerate(times):
                padded[index, : len(row)] = row
            found = {"tokens": sequences, "token_timestamps": padded}
        else:
            found = {"tokens": result["sequences"] if isinstance(result, dict) else result}
        if whisper and stride is not None:
            found["stride"] = stride
        return found

    # --------------------------------------------------------------------------------------------------- postprocess

    def postprocess(  # type: ignore[override]
        self,
        model_outputs: list[dict[str, Any]],
        decoder_kwargs: dict[str, Any] | None = None,
        return_timestamps: bool | str | None = None,
        return_language: bool | None = None,
    ) -> dict[str, Any]:
        """The transcript of one recording from the outputs for its chunks."""
        if self.type == "seq2seq_whisper":
            text, found = self._join_whisper(model_outputs, return_timestamps, return_language)
        elif self.type == "seq2seq":
            ids = _join_texts([output["tokens"] for output in model_outputs], self.tokenizer.all_special_ids)
            text, found = self.tokenizer.decode(ids, skip_special_tokens=True), {}
        else:
            text, offsets = self._decode_ctc(model_outputs, decoder_kwargs, return_timestamps)
            found = {"chunks": self._timed(offsets, str(return_timestamps))} if return_timestamps else {}
        extra = defaultdict(list)
        for output in model_outputs:
            for name, value in output.items():
                if name not in _OWN_KEYS:
                    extra[name].append(value)
        return {"text": text, **found, **extra}

    def _join_whisper(
        self, outputs: list[dict[str, Any]], timestamps: bool | str | None, language: bool | None
    ) -> tuple[str, dict[str, Any]]:
        rate = self.feature_extractor.sampling_rate
        in_seconds = [
            {**output, "stride": tuple(samples / rate for samples in output["stride"])}
            if output.get("stride") is not None
            else output
            for output in outputs
        ]
        text, found = self.tokenizer._decode_asr(
            in_seconds,
            return_timestamps=timestamps,
            return_language=language,
            time_precision=self.feature_extractor.chunk_length / self.model.config.max_source_positions,
        )
        return str(text), dict(found)

    def _decode_ctc(
        self, outputs: list[dict[str, Any]], decoder_kwargs: dict[str, Any] | None, timestamps: bool | str | None
    ) -> tuple[str, list[dict[str, Any]]]:
        """The text of the frames of all chunks without their strides, and {start_offset, end_offset} in frames."""
        key = "logits" if self.type == "ctc_with_lm" else "tokens"
        frames = np.concatenate([_without_stride(output[key], output.get("stride")) for output in outputs], axis=0)
        if self.type == "ctc_with_lm":
            best = self.decoder.decode_beams(frames, **(decoder_kwargs or {}))[0]
            return best[0], [{"word": word, "start_offset": a, "end_offset": b} for word, (a, b) in best[2]]
        text = self.tokenizer.decode(frames, skip_special_tokens=False)
        if not timestamps:
            return text, []
        offsets = self.tokenizer.decode(frames, skip_special_tokens=False, output_char_offsets=True)["char_offsets"]
        if timestamps == "word":
            offsets = self.tokenizer._get_word_offsets(offsets, self.tokenizer.replace_word_delimiter_char)
        return text, offsets

    def _timed(self, offsets: list[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
        seconds = self.model.config.inputs_to_logits_ratio / self.feature_extractor.sampling_rate
        return [
            {"text": item[unit], "timestamp": (item["start_offset"] * seconds, item["end_offset"] * seconds)}
            for item in offsets
        ]


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _without_stride(frames: Any, stride: sound.Stride | None) -> Any:
    """The frames (frames, ...) of one chunk as an array, without those that its neighbours hear better."""
    array = frames.float().numpy()[0] if frames.is_floating_point() else frames.numpy()[0]
    if stride is None:
        return array
    total, left, right = stride
    return array[left : total - right]


def _join_texts(sequences: list[Any], special_ids: list[int]) -> list[int]:
    """Token sequences of overlapping chunks as one: each is appended from where it best overlaps the end so far.

    An overlap of i tokens scores the share of equal tokens plus i / 10000, so that longer ones win ties.
    """
    special = set(special_ids)
    rows = [[token for token in sequence[0].tolist() if token not in special] for sequence in sequences]
    joined = rows[0]
    for row in rows[1:]:
        best, cut = 0.0, 0
        for size in range(1, min(len(row), len(joined)) + 1):
            matches = sum(a == b for a, b in zip(joined[-size:], row[:size], strict=True))
            score = matches / size + size / 10000.0
            if matches > 1 and score > best:
                best, cut = score, size
        joined = joined + row[cut:]
    return joined
