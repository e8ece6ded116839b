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
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

Tensors = tuple[Tensor, ...]
PastKeyValues = Any  # a `Cache`, or the legacy tuple of (key, value) pairs


class ModelOutput(OrderedDict[str, Any]):
    """Base of all outputs: attributes by name, items by name or by position; None fields are skipped in both views.

    Subclasses are dataclasses. Slicing and indexing with integers work on `to_tuple()`.
    """

    def __init_subclass__(cls) -> None:
        pytree.register_pytree_node(
            cls,
            lambda out: (list(out.values()), list(out.keys())),
            lambda values, keys: cls(**dict(zip(keys, values, strict=True))),
            serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if type(self) is not ModelOutput and not dataclasses.is_dataclass(self):
            raise TypeError(f"{type(self).__name__} is a ModelOutput without @dataclass: decorate it with @dataclass.")
        super().__init__(*args, **kwargs)

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


@dataclass(repr=False)
class BaseModelOutput(ModelOutput):
    """An encoder's last states."""

    last_hidden_state: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithNoAttention(ModelOutput):
    """Last states of a model without attention (convolutional)."""

    last_hidden_state: Tensor | None = None
    hidden_states: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithPooling(ModelOutput):
    """Last states and one pooled vector per item."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithPoolingAndNoAttention(ModelOutput):
    """Last and pooled states of a model without attention."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithPast(ModelOutput):
    """A decoder's last states and its cache."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithCrossAttentions(ModelOutput):
    """Last states of a model that also attends to an encoder."""

    last_hidden_state: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    cross_attentions: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithPoolingAndCrossAttentions(ModelOutput):
    """Last and pooled states of a model that may attend to an encoder and keep a cache."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: Tensors | None = None
    past_key_values: PastKeyValues | None = None
    attentions: Tensors | None = None
    cross_attentions: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """A decoder's last states, cache and attention to the encoder."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    cross_attentions: Tensors | None = None


@dataclass(repr=False)
class MoECausalLMOutputWithPast(ModelOutput):
    """Causal language model with a mixture of experts and router losses."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    z_loss: Tensor | None = None
    aux_loss: Tensor | None = None
    router_logits: Tensors | None = None


@dataclass(repr=False)
class MoEModelOutput(ModelOutput):
    """Last states of a mixture of experts with its routing probabilities."""

    last_hidden_state: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    router_probs: Tensors | None = None


@dataclass(repr=False)
class MoeModelOutputWithPast(ModelOutput):
    """A decoder of experts: last states, cache and router logits."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    router_logits: Tensors | None = None


@dataclass(repr=False)
class MoeCausalLMOutputWithPast(ModelOutput):
    """Causal language model with experts and their balancing loss."""

    loss: Tensor | None = None
    aux_loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    router_logits: Tensors | None = None


@dataclass(repr=False)
class MoEModelOutputWithPastAndCrossAttentions(ModelOutput):
    """A decoder of experts that attends to an encoder."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    router_probs: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqModelOutput(ModelOutput):
    """Encoder-decoder states."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqMoEModelOutput(ModelOutput):
    """Encoder-decoder states with experts."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    decoder_router_logits: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None
    encoder_router_logits: Tensors | None = None


@dataclass(repr=False)
class CausalLMOutput(ModelOutput):
    """Next-token logits."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class CausalLMOutputWithPast(ModelOutput):
    """Next-token logits and the cache."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class CausalLMOutputWithCrossAttentions(ModelOutput):
    """Next-token logits of a decoder that may attend to an encoder."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    cross_attentions: Tensors | None = None


@dataclass(repr=False)
class SequenceClassifierOutputWithPast(ModelOutput):
    """One row of class scores per sequence, and the cache."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class MaskedLMOutput(ModelOutput):
    """Logits for every position of a masked language model."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqLMOutput(ModelOutput):
    """Next-token logits of an encoder-decoder."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqMoEOutput(ModelOutput):
    """Next-token logits of an encoder-decoder with experts."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    encoder_z_loss: Tensor | None = None
    decoder_z_loss: Tensor | None = None
    encoder_aux_loss: Tensor | None = None
    decoder_aux_loss: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    decoder_router_logits: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None
    encoder_router_logits: Tensors | None = None


@dataclass(repr=False)
class NextSentencePredictorOutput(ModelOutput):
    """Scores (is next, is random) per pair of sentences."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class SequenceClassifierOutput(ModelOutput):
    """One row of class (or regression) scores per sequence."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqSequenceClassifierOutput(ModelOutput):
    """Sequence classification by an encoder-decoder."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None


@dataclass(repr=False)
class MultipleChoiceModelOutput(ModelOutput):
    """One score per choice, logits (B, choices)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class TokenClassifierOutput(ModelOutput):
    """Class scores per token, logits (B, T, labels)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """Scores of each position as start and end of the answer, (B, T) each."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """Extractive question answering by an encoder-decoder."""

    loss: Tensor | None = None
    start_logits: Tensor | None = None
    end_logits: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None


@dataclass(repr=False)
class SemanticSegmenterOutput(ModelOutput):
    """Class scores per pixel, logits (B, labels, h, w), often smaller than the image."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class ImageClassifierOutput(ModelOutput):
    """One row of class scores per image."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class ImageClassifierOutputWithNoAttention(ModelOutput):
    """Image classification without attention; hidden states (B, C, h, w)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensors | None = None


@dataclass(repr=False)
class DepthEstimatorOutput(ModelOutput):
    """Depth per pixel, (B, h, w)."""

    loss: Tensor | None = None
    predicted_depth: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class ImageSuperResolutionOutput(ModelOutput):
    """Reconstructed images, (B, C, h, w)."""

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class Wav2Vec2BaseModelOutput(ModelOutput):
    """Speech encoder states and the features of its convolutions."""

    last_hidden_state: Tensor | None = None
    extract_features: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class XVectorOutput(ModelOutput):
    """Speaker scores and embeddings (B, embedding)."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    embeddings: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class BackboneOutput(ModelOutput):
    """Feature maps (B, C, h, w) of the chosen stages."""

    feature_maps: Tensors | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None


@dataclass(repr=False)
class BaseModelOutputWithPoolingAndProjection(ModelOutput):
    """Pooled states and their projection."""

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
    projection_state: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqSpectrogramOutput(ModelOutput):
    """Speech synthesis: spectrogram (B, frames, mel bins)."""

    loss: Tensor | None = None
    spectrogram: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None


@dataclass(repr=False)
class Seq2SeqTSModelOutput(ModelOutput):
    """Time-series encoder-decoder states; loc, scale and static features as given to the decoder."""

    last_hidden_state: Tensor | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None
    loc: Tensor | None = None
    scale: Tensor | None = None
    static_features: Tensor | None = None


@dataclass(repr=False)
class Seq2SeqTSPredictionOutput(ModelOutput):
    """Parameters of the predicted distribution of a time series."""

    loss: Tensor | None = None
    params: Tensors | None = None
    past_key_values: PastKeyValues | None = None
    decoder_hidden_states: Tensors | None = None
    decoder_attentions: Tensors | None = None
    cross_attentions: Tensors | None = None
    encoder_last_hidden_state: Tensor | None = None
    encoder_hidden_states: Tensors | None = None
    encoder_attentions: Tensors | None = None
    loc: Tensor | None = None
    scale: Tensor | None = None
    static_features: Tensor | None = None


@dataclass(repr=False)
class SampleTSPredictionOutput(ModelOutput):
    """Sampled futures, (B, samples, horizon[, targets])."""

    sequences: Tensor | None = None


@dataclass(repr=False)
class MaskedImageModelingOutput(ModelOutput):
    """Reconstructed masked images, (B, C, h, w)."""

    loss: Tensor | None = None
    reconstruction: Tensor | None = None
    hidden_states: Tensors | None = None
    attentions: Tensors | None = None
