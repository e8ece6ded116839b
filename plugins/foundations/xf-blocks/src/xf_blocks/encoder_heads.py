"""Heads of text encoders of any inputs: a head's forward takes what its body's forward takes, and its own labels.

A family subclasses one together with its own PreTrainedModel and names its body. `text_heads` has the same heads with
BERT's inputs written out; their `answer` and `classify` are used here.

    class DistilBertForTokenClassification(EncoderForTokenClassification, DistilBertPreTrainedModel):
        body_class = DistilBertModel
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.model import PreTrainedModel, model_forward
from xf.outputs import MaskedLMOutput

from .losses import token_loss
from .text_heads import (
    TextForMultipleChoice,
    TextForQuestionAnswering,
    TextForSequenceClassification,
    TextForTokenClassification,
    TextModelWithHead,
)

_FLAGS = ("use_mems", "output_attentions", "output_hidden_states")
# of a body that decodes too: a head that classifies has no use for them
_DECODING = ("encoder_hidden_states", "encoder_attention_mask", "past_key_values", "use_cache", "cache_position")
Forward = Callable[..., Any]


class EncoderWithHead(TextModelWithHead):
    """Makes forward when a subclass names its body; `own_inputs` are the arguments that go to `answer`."""

    own_inputs: ClassVar[tuple[str, ...]] = ("labels",)
    answer: Callable[..., Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "body_class" in cls.__dict__ and "forward" not in cls.__dict__:
            cls.forward = head_forward(cls.body_class, cls.own_inputs)  # type: ignore[method-assign]

    @classmethod
    def needs_of(cls, config: Any) -> AttentionNeeds:
        return cls.body_class.needs_of(config)

    def build_body(self, config: Any) -> PreTrainedModel:
        """Create the body, and its pooler where it has one that the head reads."""
        optional = "add_pooling_layer" in inspect.signature(self.body_class.__init__).parameters
        return self.body_class(config, **({"add_pooling_layer": self.needs_pooler} if optional else {}))

    def run_body(self, given: dict[str, Any]) -> Any:
        """The body's outputs for the arguments that were given to forward."""
        return self.base_model(**given, return_dict=True)

    def finish(self, given: dict[str, Any], own: dict[str, Any]) -> Any:
        """Run the body and answer."""
        return self.answer(self.run_body(given), **own)


def head_forward(body_class: type[PreTrainedModel], own_inputs: tuple[str, ...]) -> Forward:
    """A forward with the parameters of the body's forward, and before its flags `own_inputs`."""
    taken = inspect.signature(body_class.forward).parameters.values()
    parameters = [parameter for parameter in taken if parameter.name not in _DECODING]
    place = next(i for i, parameter in enumerate(parameters) if parameter.name in _FLAGS)
    named = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [inspect.Parameter(name, named, default=None, annotation="Tensor | None") for name in own_inputs]
    signature = inspect.Signature([*parameters[:place], *own, *parameters[place:]])

    def forward(self: EncoderWithHead, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs).arguments
        del given["self"]
        return self.finish(given, {name: given.pop(name, None) for name in own_inputs})

    forward.__signature__ = signature  # type: ignore[attr-defined]
    forward.__doc__ = f"As `{body_class.__name__}`, and: {', '.join(own_inputs)}; see `answer`."
    return model_forward(forward)


class EncoderForMaskedLM(EncoderWithHead):
    """Vocabulary scores (B, T, V) for every place of a text."""

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        raise NotImplementedError(f"{type(self).__name__} has to say how it scores the vocabulary")

    def answer(self, outputs: Any, labels: Tensor | None) -> MaskedLMOutput:
        """The body's outputs and labels (B, T), -100 where there is no loss -> scores and loss."""
        logits_BTV = self.lm_logits(outputs.last_hidden_state)
        return MaskedLMOutput(
            loss=None if labels is None else token_loss(logits_BTV, labels),
            logits=logits_BTV,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class EncoderForSequenceClassification(EncoderWithHead, TextForSequenceClassification):
    """Scores (B, N); labels (B,) classes or values, (B, N) for several; see `losses.classification_loss`."""


class EncoderForTokenClassification(EncoderWithHead, TextForTokenClassification):
    """Scores (B, T, N) for every token; labels (B, T), -100 where there is no loss."""


class EncoderForQuestionAnswering(EncoderWithHead, TextForQuestionAnswering):
    """Scores (B, T) of start and end; start_positions, end_positions (B,), outside of the text for no loss."""

    own_inputs = ("start_positions", "end_positions")


class EncoderForMultipleChoice(EncoderWithHead, TextForMultipleChoice):
    """One score for each choice: inputs (B, choices, ...), logits (B, choices); labels (B,), the right choice."""

    shared_inputs: ClassVar[tuple[str, ...]] = ("head_mask",)  # those that have no dimension of choices

    def finish(self, given: dict[str, Any], own: dict[str, Any]) -> Any:
        first = next((given[name] for name in ("input_ids", "inputs_embeds") if given.get(name) is not None), None)
        if first is None:
            raise ValueError(f"{type(self).__name__} needs exactly one of input_ids and inputs_embeds.")
        for name, value in given.items():
            if isinstance(value, Tensor) and name not in self.shared_inputs:
                given[name] = value.flatten(0, 1)
        return self.answer(self.run_body(given), first.shape[1], **own)
