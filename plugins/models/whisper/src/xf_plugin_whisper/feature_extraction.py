"""Log-mel features of speech (arXiv:2212.04356, section 2.2): 25 ms windows, 10 ms apart, 80 or 128 mel bins.

Shapes: B batch, N samples, F mel bins, S frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xf import logging
from xf.utils.enums import PaddingStrategy, TensorType
from xf.utils.tensors import is_torch_tensor
from xf_audio.arrays import Array
from xf_audio.scales import mel_filter_bank
from xf_audio.stft import spectrogram, window_function
from xf_processing.batch_feature import BatchFeature
from xf_processing.sequence import SequenceFeatureExtractor

logger = logging.get_logger(__name__)

_MAX_FREQUENCY = 8000.0  # Hz; half of the rate of the training data
_RANGE = 8.0  # of log10 energies below the loudest: 80 dB
_FLOOR = 1e-10  # least energy of a mel bin


class WhisperFeatureExtractor(SequenceFeatureExtractor):
    """Turns waveforms at 16 kHz into log-mel features, padded or cut to 30 s.

    Args:
        feature_size: mel bins.
        sampling_rate: of the waveforms, in Hz.
        hop_length: samples from one frame to the next.
        chunk_length: seconds of a padded input.
        n_fft: samples to a frame.
        padding_value: of the samples that padding adds.
        dither: standard deviation of Gaussian noise added to the samples.
        return_attention_mask: say by default which frames are sound.
    """

    model_input_names = ["input_features"]

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        hop_length: int = 160,
        chunk_length: int = 30,
        n_fft: int = 400,
        padding_value: float = 0.0,
        dither: float = 0.0,
        return_attention_mask: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            feature_size, sampling_rate, padding_value, return_attention_mask=return_attention_mask, **kwargs
        )
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.chunk_length = chunk_length
        self.n_samples = chunk_length * sampling_rate
        self.nb_max_frames = self.n_samples // hop_length
        self.dither = dither
        self.mel_filters = mel_filter_bank(
            1 + n_fft // 2, feature_size, 0.0, _MAX_FREQUENCY, sampling_rate, norm="slaney", mel_scale="slaney"
        )

    def __call__(
        self,
        raw_speech: Any,
        truncation: bool = True,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | TensorType | None = None,
        return_attention_mask: bool | None = None,
        padding: bool | str | PaddingStrategy | None = "max_length",
        max_length: int | None = None,
        sampling_rate: int | None = None,
        do_normalize: bool | None = None,
        device: str | None = "cpu",
        return_token_timestamps: bool | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Log-mel features of one or several waveforms.

        Args:
            raw_speech: samples (N,) or a batch of them: a list, or an array (B, N).
            truncation: cut at `max_length` samples.
            padding: "max_length", "longest" or True (of the batch), or False.
            max_length: in samples; None is 30 s.
            pad_to_multiple_of: round the padded length up.
            return_tensors: "pt" or "np".
            return_attention_mask: add `attention_mask` (B, S), 1 where a frame is sound.
            sampling_rate: of `raw_speech`; it must be that of the extractor, and None means that you are sure it is.
            do_normalize: give each waveform mean 0 and variance 1 first.
            device: where torch computes.
            return_token_timestamps: add `num_frames` (B,), the frames of each waveform.

        Returns:
            `input_features` float32 (B, F, S), and what was asked for.

        Raises:
            ValueError: another sampling rate, stereo, no samples, or samples that are NaN or infinite.
        """
        self._check_rate(sampling_rate)
        waveforms = self._waveforms(raw_speech)
        padding = PaddingStrategy.LONGEST if padding is True else PaddingStrategy(padding or "do_not_pad")
        wants_mask = self.return_attention_mask if return_attention_mask is None else return_attention_mask
        padded = self._padded(waveforms, padding, truncation, max_length, pad_to_multiple_of)
        if do_normalize:
            padded = [self._normalized(samples, length) for samples, length in padded]
        features = [self._features(group, device) for group in _stacked([samples for samples, _ in padded])]
        batch = BatchFeature({"input_features": _joined(features, len(waveforms))})
        if wants_mask or do_normalize:
            batch["attention_mask"] = self._mask(padded)
        if return_token_timestamps:
            batch["num_frames"] = np.array([len(waveform) // self.hop_length for waveform in waveforms])
        return batch.convert_to_tensors(return_tensors)

    def _check_rate(self, sampling_rate: int | None) -> None:
        if sampling_rate is None:
            logger.warning_once(
                f"{type(self).__name__} was called without sampling_rate. Pass it: features of a waveform at another "
                f"rate than {self.sampling_rate} Hz are silently wrong."
            )
        elif sampling_rate != self.sampling_rate:
            raise ValueError(
                f"{type(self).__name__} needs waveforms at {self.sampling_rate} Hz, but these have {sampling_rate} Hz. "
                f"Resample them: xf.audio_utils.resample(waveform, {sampling_rate}, {self.sampling_rate})."
            )

    def _waveforms(self, raw_speech: Any) -> list[Array]:
        """A list of checked float32 waveforms (N,)."""
        if is_torch_tensor(raw_speech):
            raw_speech = raw_speech.detach().cpu().numpy()
        if isinstance(raw_speech, np.ndarray):
            if raw_speech.ndim > 2:
                raise ValueError(
                    f"Only mono-channel audio is supported for input to {type(self).__name__}: the batch has shape "
                    f"{raw_speech.shape}. Average the channels."
                )
            items: list[Any] = list(raw_speech) if raw_speech.ndim == 2 else [raw_speech]
        elif isinstance(raw_speech, (list, tuple)):
            inner = raw_speech[0] if len(raw_speech) else 0.0
            items = list(raw_speech) if isinstance(inner, (list, tuple)) or np.ndim(inner) > 0 else [raw_speech]
        else:
            raise ValueError(
                f"Expected samples as an array or a list, got {type(raw_speech).__name__}. "
                "Read a file with xf.audio_utils.load_audio."
            )
        return [_checked(item, index, len(items)) for index, item in enumerate(items)]

    def _padded(
        self,
        waveforms: list[Array],
        padding: PaddingStrategy,
        truncation: bool,
        max_length: int | None,
        pad_to_multiple_of: int | None,
    ) -> list[tuple[Array, int]]:
        """Each waveform cut and padded, with the length of its sound."""
        limit = max_length or self.n_samples
        multiple = pad_to_multiple_of or 1
        limit = -(-limit // multiple) * multiple
        cut = [waveform[:limit] if truncation else waveform for waveform in waveforms]
        if padding is PaddingStrategy.DO_NOT_PAD:
            return [(waveform, len(waveform)) for waveform in cut]
        length = limit
        if padding is PaddingStrategy.LONGEST:
            length = -(-max(map(len, cut)) // multiple) * multiple
        padded = []
        for waveform in cut:
            missing = max(length - len(waveform), 0)
            width = (0, missing) if self.padding_side == "right" else (missing, 0)
            padded.append((np.pad(waveform, width, constant_values=self.padding_value), len(waveform)))
        return padded

    def _sound(self, samples: Array, length: int) -> slice:
        return slice(0, length) if self.padding_side == "right" else slice(len(samples) - length, len(samples))

    def _normalized(self, samples: Array, length: int) -> tuple[Array, int]:
        sound = samples[self._sound(samples, length)]
        result = np.full_like(samples, self.padding_value)
        result[self._sound(samples, length)] = zero_mean_unit_var(sound)
        return result, length

    def _mask(self, padded: list[tuple[Array, int]]) -> Any:
        masks = []
        for samples, length in padded:
            mask = np.zeros(len(samples), dtype=np.int32)
            mask[self._sound(samples, length)] = 1
            masks.append(mask[:: self.hop_length][: len(samples) // self.hop_length])
        return np.stack(masks) if len({len(mask) for mask in masks}) == 1 else masks

    def _features(self, waveforms_BN: Array, device: str | None) -> Array:
        return self._torch_extract_fbank_features(waveforms_BN, device or "cpu")

    def _torch_extract_fbank_features(self, waveform: Array, device: str = "cpu") -> Array:
        """Features (B, F, S) or (F, S) of waveforms (B, N) or (N,), by torch on `device`."""
        import torch

        samples = torch.from_numpy(waveform).to(device, torch.float32)
        if self.dither != 0.0:
            samples = samples + self.dither * torch.randn(samples.shape, dtype=samples.dtype, device=device)
        window = torch.hann_window(self.n_fft, device=device)
        spectrum = torch.stft(samples, self.n_fft, self.hop_length, window=window, return_complex=True)
        energies = spectrum[..., :-1].abs() ** 2
        filters = torch.from_numpy(self.mel_filters).to(device, torch.float32)
        log_mel = (filters.T @ energies).clamp(min=_FLOOR).log10()
        loudest = log_mel.amax(dim=(-2, -1), keepdim=True)
        log_mel = (torch.maximum(log_mel, loudest - _RANGE) + 4.0) / 4.0
        return np.asarray(log_mel.cpu().numpy())

    def _np_extract_fbank_features(self, waveform_batch: Array, device: str = "cpu") -> Array:
        """Features (B, F, S) of waveforms (B, N), by NumPy.

        Raises:
            ValueError: another device than the CPU.
        """
        if device != "cpu":
            raise ValueError(f"NumPy computes on the CPU, not on {device!r}.")
        features = []
        for waveform in waveform_batch:
            log_mel = spectrogram(
                waveform,
                window_function(self.n_fft, "hann"),
                frame_length=self.n_fft,
                hop_length=self.hop_length,
                power=2.0,
                dither=self.dither,
                mel_filters=self.mel_filters,
                log_mel="log10",
            )[:, :-1]
            features.append((np.maximum(log_mel, log_mel.max() - _RANGE) + 4.0) / 4.0)
        return np.array(features)

    @staticmethod
    def zero_mean_unit_var_norm(
        input_values: list[Array], attention_mask: list[Array] | None = None, padding_value: float = 0.0
    ) -> list[Array]:
        """Each waveform with mean 0 and variance 1 over its sound, and `padding_value` where its mask (N,) is 0."""
        if attention_mask is None:
            return [zero_mean_unit_var(values) for values in input_values]
        normalized = []
        for values, length in zip(input_values, np.asarray(attention_mask, np.int32).sum(-1), strict=True):
            sound = zero_mean_unit_var(values, values[:length])
            sound[length:] = padding_value
            normalized.append(sound)
        return normalized


def zero_mean_unit_var(values: Array, statistics: Array | None = None) -> Array:
    """`values` shifted and scaled to mean 0 and variance 1 (of `statistics`, or their own)."""
    source = values if statistics is None else statistics
    return np.asarray((values - source.mean()) / np.sqrt(source.var() + 1e-7))  # the constant guards silence


def _checked(item: Any, index: int, count: int) -> Array:
    which = "The waveform" if count == 1 else f"Waveform {index}"
    if is_torch_tensor(item):
        item = item.detach().cpu().numpy()
    try:
        waveform = np.asarray(item, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{which} holds something other than numbers ({error}). Pass samples.") from error
    if waveform.ndim != 1:
        raise ValueError(f"{which} has shape {waveform.shape}, but must be mono (samples,). Average its channels.")
    if waveform.size == 0:
        raise ValueError(f"{which} has no samples. Check the recording.")
    if not np.isfinite(waveform).all():
        raise ValueError(f"{which} holds samples that are NaN or infinite. Clean the recording first.")
    return waveform


def _stacked(waveforms: list[Array]) -> list[Array]:
    """One array (B, N) if all have one length, else one (1, N) for each."""
    if len({len(waveform) for waveform in waveforms}) == 1:
        return [np.stack(waveforms)]
    return [waveform[None] for waveform in waveforms]


def _joined(features: list[Array], count: int) -> Any:
    return features[0] if len(features) == 1 and len(features[0]) == count else [item[0] for item in features]
