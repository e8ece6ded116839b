"""What models return: `ModelOutput` and the classes that more than one family uses (spec: main_classes/output.md).

Shapes: B batch, T positions, H heads, C channels or width, L layers.
    loss                 () or (1,)
    last_hidden_state    (B, T, C)        pooler_output      (B, C)
    logits               (B, T, vocab) for language models, (B, labels) for classifiers
    hidden_states        L + 1 tensors (B, T, C): the embeddings, then every layer's output
    attentions           L tensors (B, H, T, T_key): the weights after softmax
    past_key_values      a `Cache`, to be handed to the next call
    encoder_*, decoder_* the same for one half of an encoder-decoder
A field that a model did not compute is None, and is left out of the tuple and mapping views.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.utils import _pytree as pytree

Tensors = tuple[Tensor, ...]
if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:  # in the standard library from Python 3.11 on
    dataclass_transform = lambda: lambda cls: cls  # noqa: E731

PastKeyValues = Any  # a `Cache`, or the legacy tuple of (key, value) pairs


@dataclass_transform()
class ModelOutput(OrderedDict[str, Any]):
    """Base of all outputs: attributes by name, items by name or by position; None fields are skipped in both views.

    Subclasses are dataclasses, with or without saying so. Slicing and indexing with integers work on `to_tuple()`.
    """

    def __init_subclass__(cls) -> None:
        dataclass(repr=False)(cls)
        pytree.register_pytree_node(
            cls,
            lambda out: (list(out.values()), list(out.keys())),
            lambda values, keys: cls(**dict(zip(keys, values, strict=True))),
            serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        )

    def __post_init__(self) -> None:
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        first = getattr(self, names[0])
        others_unset = all(getattr(self, name) is None for name in names[1:])
        if others_unset and first is not None and not isinstance(first, Tensor):
            pairs = _as_pairs(first, set(names))
            if pairs is not None:  # a mapping, or (name, value) pairs, given as the only argument
                object.__setattr__(self, names[0], None)
                for name, value in pairs:
                    self[name] = value
                return
        for name in names:
            value = getattr(self, name)
            if value is not None:
                OrderedDict.__setitem__(self, name, value)

    def __getitem__(self, key: Any) -> Any:
        return OrderedDict.__getitem__(self, key) if isinstance(key, str) else self.to_tuple()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        OrderedDict.__setitem__(self, key, value)
        object.__setattr__(self, key, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if value is not None and name in self:
            OrderedDict.__setitem__(self, name, value)
        object.__setattr__(self, name, value)

    def __delitem__(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"Items of {type(self).__name__} cannot be deleted; set the attribute to None instead.")

    def setdefault(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"{type(self).__name__}.setdefault is not supported; set the attribute.")

    def pop(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"Items of {type(self).__name__} cannot be removed; use to_tuple() or dict(output).")

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(f"{type(self).__name__}.update is not supported; set the attributes.")

    def __reduce__(self) -> tuple[Any, ...]:
        if not dataclasses.is_dataclass(self):
            return super().__reduce__()  # type: ignore[return-value]
        return type(self), tuple(getattr(self, field.name) for field in dataclasses.fields(self))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.items())
        return f"{type(self).__name__}({fields})"

    def to_tuple(self) -> tuple[Any, ...]:
        """All fields that are not None, in their order."""
        return tuple(self.values())


def _as_pairs(first: Any, names: set[str]) -> list[tuple[str, Any]] | None:
    """`first` as (name, value) pairs where it is a mapping or a list of such pairs, else None."""
    if isinstance(first, dict):
        return list(first.items())
    if isinstance(first, Iterable) and not isinstance(first, (str, bytes)):
        items = list(first)
        if (
            items
            and all(
                isinstance(item, (tuple, list)) and len(item) == 2 and item[0] in names
                for item in items
                if not isinstance(item, Tensor)
            )
            and not any(isinstance(item, Tensor) for item in items)
        ):
            return [(item[0], item[1]) for item in items]
    return None


# The groups of fields that outputs are made of. Dataclass fields come from the last base to the first, so the bases of
# an output read from right to left.


class _Loss(ModelOutput):
    loss: Tensor | None = None


class _Logits(ModelOutput):
    logits: Tensor | None = None


class _Span(ModelOutput):
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None


class _Last(ModelOutput):
    last_hidden_state: Tensor | None = None


class _Pooled(ModelOutput):
    pooler_output: Tensor | None = None


class _Past(ModelOutput):
    past_key_values: PastKeyValues | None = None


class _Hidden(ModelOutput):
    hidden_states: Tensors | None = None


class _Attended(ModelOutput):
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


class _Cross(ModelOutput):
    cross_attentions: Tensors | None = None


class _Decoder(ModelOutput):
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None


class _Encoder(ModelOutput):
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None


class _RouterLogits(ModelOutput):
    router_logits: Tensors | None = None


class _RouterProbs(ModelOutput):
    router_probs: Tensors | None = None


class _AuxLoss(ModelOutput):
    aux_loss: Tensor | None = None


class _ZLoss(ModelOutput):
    z_loss: Tensor | None = None


class _Scaled(ModelOutput):
    loc: Tensor | None = None
    scale: Tensor | None = None
    static_features: Tensor | None = None


class _Reconstruction(ModelOutput):
    reconstruction: Tensor | None = None


class _Depth(ModelOutput):
    predicted_depth: Tensor | None = None


class _Features(ModelOutput):
    extract_features: Tensor | None = None


class _Embeddings(ModelOutput):
    embeddings: Tensor | None = None


class _FeatureMaps(ModelOutput):
    feature_maps: Tensors | None = None


class _Spectrogram(ModelOutput):
    spectrogram: Tensor | None = None


class _Params(ModelOutput):
    params: Tensors | None = None


class _Attentions(ModelOutput):
    attentions: Tensors | None = None


class _DecoderRouter(ModelOutput):
    decoder_router_logits: Tensors | None = None


class _EncoderRouter(ModelOutput):
    encoder_router_logits: Tensors | None = None


class _ExpertLosses(ModelOutput):
    encoder_z_loss: Tensor | None = None
    decoder_z_loss: Tensor | None = None
    encoder_aux_loss: Tensor | None = None
    decoder_aux_loss: Tensor | None = None


class _Projection(ModelOutput):
    projection_state: Tensors | None = None


class _Sequences(ModelOutput):
    sequences: Tensor | None = None


class BaseModelOutput(_Attended, _Last):
    """An encoder's last states."""


class BaseModelOutputWithNoAttention(_Hidden, _Last):
    """Last states of a model without attention (convolutional)."""


class BaseModelOutputWithPooling(_Attended, _Pooled, _Last):
    """Last states and one pooled vector per item."""


class BaseModelOutputWithPoolingAndNoAttention(_Hidden, _Pooled, _Last):
    """Last and pooled states of a model without attention."""


class BaseModelOutputWithPast(_Attended, _Past, _Last):
    """A decoder's last states and its cache."""


class BaseModelOutputWithCrossAttentions(_Cross, _Attended, _Last):
    """Last states of a model that also attends to an encoder."""


class BaseModelOutputWithPoolingAndCrossAttentions(_Cross, _Attentions, _Past, _Hidden, _Pooled, _Last):
    """Last and pooled states of a model that may attend to an encoder and keep a cache."""


class BaseModelOutputWithPastAndCrossAttentions(_Cross, _Attended, _Past, _Last):
    """A decoder's last states, cache and attention to the encoder."""


class MoECausalLMOutputWithPast(_RouterLogits, _AuxLoss, _ZLoss, _Attended, _Past, _Logits, _Loss):
    """Causal language model with a mixture of experts and router losses."""


class MoEModelOutput(_RouterProbs, _Attended, _Last):
    """Last states of a mixture of experts with its routing probabilities."""


class MoeModelOutputWithPast(_RouterLogits, _Attended, _Past, _Last):
    """A decoder of experts: last states, cache and router logits."""


class MoeCausalLMOutputWithPast(_RouterLogits, _Attended, _Past, _Logits, _AuxLoss, _Loss):
    """Causal language model with experts and their balancing loss."""


class MoEModelOutputWithPastAndCrossAttentions(_RouterProbs, _Cross, _Attended, _Past, _Last):
    """A decoder of experts that attends to an encoder."""


class Seq2SeqModelOutput(_Encoder, _Cross, _Decoder, _Past, _Last):
    """Encoder-decoder states."""


class Seq2SeqMoEModelOutput(_EncoderRouter, _Encoder, _Cross, _DecoderRouter, _Decoder, _Past, _Last):
    """Encoder-decoder states with experts."""


class CausalLMOutput(_Attended, _Logits, _Loss):
    """Next-token logits."""


class CausalLMOutputWithPast(_Attended, _Past, _Logits, _Loss):
    """Next-token logits and the cache."""


class CausalLMOutputWithCrossAttentions(_Cross, _Attended, _Past, _Logits, _Loss):
    """Next-token logits of a decoder that may attend to an encoder."""


class SequenceClassifierOutputWithPast(_Attended, _Past, _Logits, _Loss):
    """One row of class scores per sequence, and the cache."""


class MaskedLMOutput(_Attended, _Logits, _Loss):
    """Logits for every position of a masked language model."""


class Seq2SeqLMOutput(_Encoder, _Cross, _Decoder, _Past, _Logits, _Loss):
    """Next-token logits of an encoder-decoder."""


class Seq2SeqMoEOutput(
    _EncoderRouter, _Encoder, _Cross, _DecoderRouter, _Decoder, _Past, _ExpertLosses, _Logits, _Loss
):
    """Next-token logits of an encoder-decoder with experts."""


class NextSentencePredictorOutput(_Attended, _Logits, _Loss):
    """Scores (is next, is random) per pair of sentences."""


class SequenceClassifierOutput(_Attended, _Logits, _Loss):
    """One row of class (or regression) scores per sequence."""


class Seq2SeqSequenceClassifierOutput(_Encoder, _Cross, _Decoder, _Past, _Logits, _Loss):
    """Sequence classification by an encoder-decoder."""


class MultipleChoiceModelOutput(_Attended, _Logits, _Loss):
    """One score per choice, logits (B, choices)."""


class TokenClassifierOutput(_Attended, _Logits, _Loss):
    """Class scores per token, logits (B, T, labels)."""


class QuestionAnsweringModelOutput(_Attended, _Span, _Loss):
    """Scores of each position as start and end of the answer, (B, T) each."""


class Seq2SeqQuestionAnsweringModelOutput(_Encoder, _Cross, _Decoder, _Past, _Span, _Loss):
    """Extractive question answering by an encoder-decoder."""


class SemanticSegmenterOutput(_Attended, _Logits, _Loss):
    """Class scores per pixel, logits (B, labels, h, w), often smaller than the image."""


class ImageClassifierOutput(_Attended, _Logits, _Loss):
    """One row of class scores per image."""


class ImageClassifierOutputWithNoAttention(_Hidden, _Logits, _Loss):
    """Image classification without attention; hidden states (B, C, h, w)."""


class DepthEstimatorOutput(_Attended, _Depth, _Loss):
    """Depth per pixel, (B, h, w)."""


class ImageSuperResolutionOutput(_Attended, _Reconstruction, _Loss):
    """Reconstructed images, (B, C, h, w)."""


class Wav2Vec2BaseModelOutput(_Attended, _Features, _Last):
    """Speech encoder states and the features of its convolutions."""


class XVectorOutput(_Attended, _Embeddings, _Logits, _Loss):
    """Speaker scores and embeddings (B, embedding)."""


class BackboneOutput(_Attended, _FeatureMaps):
    """Feature maps (B, C, h, w) of the chosen stages."""


class BaseModelOutputWithPoolingAndProjection(_Projection, _Attended, _Pooled, _Last):
    """Pooled states and their projection."""


class Seq2SeqSpectrogramOutput(_Encoder, _Cross, _Decoder, _Past, _Spectrogram, _Loss):
    """Speech synthesis: spectrogram (B, frames, mel bins)."""


class Seq2SeqTSModelOutput(_Scaled, _Encoder, _Cross, _Decoder, _Past, _Last):
    """Time-series encoder-decoder states; loc, scale and static features as given to the decoder."""


class Seq2SeqTSPredictionOutput(_Scaled, _Encoder, _Cross, _Decoder, _Past, _Params, _Loss):
    """Parameters of the predicted distribution of a time series."""


class SampleTSPredictionOutput(_Sequences):
    """Sampled futures, (B, samples, horizon[, targets])."""


class MaskedImageModelingOutput(_Attended, _Reconstruction, _Loss):
    """Reconstructed masked images, (B, C, h, w)."""
