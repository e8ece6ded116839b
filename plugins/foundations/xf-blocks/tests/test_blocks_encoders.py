"""What encoder families share: biases that join a BlockMask, summaries of texts, forwards of heads, own attention."""

from __future__ import annotations

import inspect
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask

from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import model_forward
from xf.outputs import BaseModelOutput
from xf_blocks.attention_bias import mask_with_bias
from xf_blocks.encoder_attention import OwnAttention
from xf_blocks.encoder_heads import EncoderForMultipleChoice, EncoderForTokenClassification
from xf_blocks.sequence_summary import SequenceSummary

torch.set_num_threads(1)


def test_a_bias_joins_a_block_mask_as_it_joins_a_tensor() -> None:
    allowed = torch.ones(5, 5, dtype=torch.bool).tril()
    blocks = create_block_mask(lambda b, h, q, k: k <= q, 2, None, 5, 5, device="cpu")
    bias = torch.randn(2, 3, 5, 5)
    assert torch.equal(mask_with_bias(blocks, bias, False), mask_with_bias(allowed, bias, False))


@pytest.mark.parametrize(("kind", "place"), [("first", 0), ("last", 3), ("cls_index", 3)])
def test_a_summary_is_one_state(kind: str, place: int) -> None:
    states = torch.randn(2, 4, 6)
    summary = SequenceSummary(SimpleNamespace(summary_type=kind))
    assert torch.equal(summary(states), states[:, place])
    if kind == "cls_index":
        assert torch.equal(summary(states, torch.tensor([1, 2])), torch.stack([states[0, 1], states[1, 2]]))


def test_a_summary_can_have_a_layer_with_as_many_results_as_labels() -> None:
    fields = {"summary_use_proj": True, "summary_proj_to_labels": True, "num_labels": 3, "hidden_size": 6}
    summary = SequenceSummary(SimpleNamespace(summary_type="mean", summary_activation="tanh", **fields)).eval()
    states = torch.randn(2, 4, 6)
    torch.testing.assert_close(summary(states), torch.tanh(summary.summary(states.mean(1))))
    with pytest.raises(ValueError, match="summary_type is 'attn'"):
        SequenceSummary(SimpleNamespace(summary_type="attn"))


class OddConfig(PretrainedConfig):
    """A family whose inputs have names of their own."""

    model_type = "odd"
    hidden_size: int = 4
    hidden_dropout_prob: float = 0.0


class OddPreTrainedModel(OwnAttention):
    config_class = OddConfig
    base_model_prefix = "odd"


class OddModel(OddPreTrainedModel):
    def __init__(self, config: OddConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(9, config.hidden_size)
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        strange_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        past_key_values: object = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        x_BTC = self.words(input_ids)
        x_BTC = x_BTC if strange_mask is None else x_BTC * strange_mask[..., None]
        return BaseModelOutput(last_hidden_state=x_BTC)


class OddForTokenClassification(EncoderForTokenClassification, OddPreTrainedModel):
    body_class = OddModel


class OddForMultipleChoice(EncoderForMultipleChoice, OddPreTrainedModel):
    body_class = OddModel

    def classify(self, outputs: BaseModelOutput) -> Tensor:
        return self.classifier(outputs.last_hidden_state.sum(1))


def test_a_head_takes_what_its_body_takes_and_labels() -> None:
    model = OddForTokenClassification(OddConfig(num_labels=3)).eval()
    names = list(inspect.signature(model.forward).parameters)
    assert names == ["input_ids", "strange_mask", "head_mask", "labels", "output_attentions", "output_hidden_states"]
    ids, mask = torch.tensor([[1, 2, 3]]), torch.tensor([[1.0, 0.0, 1.0]])
    by_place = model(ids, mask, None, ids % 3)
    by_name = model(strange_mask=mask, input_ids=ids, labels=ids % 3)
    assert torch.equal(by_place.logits, by_name.logits) and by_name.loss == by_place.loss is not None
    assert torch.equal(model(ids, mask, return_dict=False)[0], by_name.logits)
    with pytest.raises(TypeError, match="unexpected keyword argument 'attention_mask'"):
        model(ids, attention_mask=mask)


def test_choices_become_rows_except_for_what_they_share() -> None:
    model = OddForMultipleChoice(OddConfig()).eval()
    ids, mask = torch.tensor([[[1, 2], [3, 4], [5, 6]]]), torch.ones(1, 3, 2)
    logits = model(ids, strange_mask=mask, head_mask=torch.ones(2)).logits
    assert logits.shape == (1, 3)
    torch.testing.assert_close(logits[0, 1], model(ids[:, 1:2]).logits[0, 0])
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()


def test_own_attention_is_eager_and_nothing_else() -> None:
    model = OddModel(OddConfig())
    assert model.attention_choice.name == "eager" and not model.attention_choice.explicit
    model.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="attn_implementation='sdpa' cannot do it"):
        model.set_attn_implementation("sdpa")
    with pytest.raises(ValueError, match="attn_implementation='sdpa' cannot do it"):
        OddModel(OddConfig(attn_implementation="sdpa"))
