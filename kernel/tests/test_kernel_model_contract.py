"""PreTrainedModel: choice of attention, ties, resizing, forward flags, gradient checkpointing, small utilities."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule, AttentionNeeds
from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import GradientCheckpointingLayer, PreTrainedModel, model_forward
from xf.outputs import BaseModelOutput, CausalLMOutput

torch.set_num_threads(1)


class ToyConfig(PretrainedConfig):
    model_type = "toy_of_model_tests"
    vocab_size: int = 11
    hidden_size: int = 4
    num_hidden_layers: int = 2
    pad_token_id: int | None = 0
    head_bias: bool = False


class ToyAttention(AttentionModule):
    is_causal = True

    def forward(self, x: Tensor, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        heads = x[:, None]
        out, weights = self.attend(heads, heads, heads, None, output_attentions)
        return out[:, :, 0], weights


class ToyLayer(GradientCheckpointingLayer):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.attention, self.dense, self.calls = ToyAttention(config), nn.Linear(4, 4), []

    def forward(self, x: Tensor, past_key_values: Any = None, output_attentions: bool = False) -> Any:
        self.calls.append(past_key_values)
        attended, weights = self.attention(self.dense(x), output_attentions)
        return x + attended, weights


class ToyPreTrainedModel(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"


class ToyModel(ToyPreTrainedModel):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, 4, padding_idx=config.pad_token_id)
        self.layers = nn.ModuleList([ToyLayer(config) for _ in range(config.num_hidden_layers)])
        self.post_init()

    @model_forward
    def forward(
        self,
        input_ids: Tensor,
        past_key_values: Any = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> BaseModelOutput:
        assert isinstance(output_attentions, bool) and isinstance(output_hidden_states, bool)
        x, states, seen = self.embed_tokens(input_ids), [], []
        for layer in self.layers:
            states.append(x)
            x, weights = layer(x, past_key_values=past_key_values, output_attentions=output_attentions)
            seen.append(weights)
        return BaseModelOutput(
            last_hidden_state=x,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(seen) if output_attentions else None,
        )


class ToyForCausalLM(ToyPreTrainedModel):
    tied_weights: ClassVar = {"lm_head.weight": "toy.embed_tokens.weight"}

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.toy = ToyModel(config)
        self.lm_head = nn.Linear(4, config.vocab_size, bias=config.head_bias)
        self.post_init()

    @model_forward
    def forward(self, input_ids: Tensor, output_attentions: bool = False) -> CausalLMOutput:
        return CausalLMOutput(logits=self.lm_head(self.toy(input_ids, output_attentions=output_attentions)[0]))


class CappedModel(ToyModel):
    attention_needs = AttentionNeeds(soft_cap=True)


IDS = torch.tensor([[1, 2, 3]])


def test_attention_is_chosen_when_a_model_is_built() -> None:
    model = ToyForCausalLM(ToyConfig())
    assert model.attention_choice.name == "sdpa" and not model.attention_choice.explicit
    assert {m.backend.name for m in model.modules() if isinstance(m, AttentionModule)} == {"sdpa"}
    assert CappedModel(ToyConfig()).attention_choice.name == "eager"
    chosen = ToyModel(ToyConfig(attn_implementation="eager"))
    assert chosen.attention_choice.explicit and chosen.config._attn_implementation == "eager"
    with pytest.raises(ValueError, match="Attention 'sdpa' cannot do what CappedModel needs: soft_cap"):
        CappedModel(ToyConfig(attn_implementation="sdpa"))
    config = ToyConfig()  # a default choice for one model binds no other model of the same config
    ToyModel(config)
    assert CappedModel(config).attention_choice.name == "eager"


def test_switching_attention_is_all_or_nothing() -> None:
    model = ToyForCausalLM(ToyConfig())
    before = model(IDS).logits
    model.set_attn_implementation("eager")
    assert {m.backend.name for m in model.modules() if isinstance(m, AttentionModule)} == {"eager"}
    torch.testing.assert_close(model(IDS).logits, before)
    capped = CappedModel(ToyConfig())
    with pytest.raises(ValueError, match="soft_cap"):
        capped.set_attn_implementation("sdpa")
    assert capped.layers[0].attention.backend.name == "eager" and capped.config._attn_implementation == "eager"


def test_weights_are_refused_by_a_chosen_backend_alone() -> None:
    assert len(ToyModel(ToyConfig())(IDS, output_attentions=True).attentions) == 2
    with pytest.raises(ValueError, match="cannot return weights"):
        ToyModel(ToyConfig(attn_implementation="sdpa"))(IDS, output_attentions=True)


def test_flags_come_from_the_call_then_from_the_config() -> None:
    model = ToyModel(ToyConfig(output_hidden_states=True))
    assert model(IDS).hidden_states is not None
    assert model(IDS, output_hidden_states=False).hidden_states is None
    assert model(IDS, None, False, True).attentions is None
    assert isinstance(model(IDS, return_dict=False), tuple)
    model.config.return_dict = False
    assert isinstance(model(IDS), tuple) and not isinstance(model(IDS, return_dict=True), tuple)


def test_ties_follow_the_config_and_survive_resizing() -> None:
    tied = ToyForCausalLM(ToyConfig())
    assert tied.lm_head.weight is tied.toy.embed_tokens.weight
    loose = ToyForCausalLM(ToyConfig(tie_word_embeddings=False, head_bias=True))
    assert loose.lm_head.weight is not loose.toy.embed_tokens.weight
    for model in (tied, loose):
        before = model(IDS).logits
        resized = model.resize_token_embeddings(13, pad_to_multiple_of=8)
        assert resized is model.get_input_embeddings() and resized.num_embeddings == 16
        assert model.config.vocab_size == 16 and model.lm_head.out_features == 16
        logits = model(IDS).logits
        torch.testing.assert_close(logits[..., :11], before)
        torch.testing.assert_close(resized.weight[11:], resized.weight[:11].mean(0).expand(5, 4))
        model.resize_token_embeddings(5)
        torch.testing.assert_close(model(IDS).logits, before[..., :5])
    assert tied.lm_head.weight is tied.toy.embed_tokens.weight
    assert loose.lm_head.weight is not loose.toy.embed_tokens.weight
    with pytest.raises(ValueError, match="at least one token; 0 was asked for"):
        tied.resize_token_embeddings(0)
    with pytest.raises(ValueError, match="pad_to_multiple_of must be a positive integer, not 0"):
        tied.resize_token_embeddings(5, pad_to_multiple_of=0)


def test_only_missing_parameters_start_at_random() -> None:
    model = ToyForCausalLM(ToyConfig(tie_word_embeddings=False))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    model.initialize_missing({"lm_head.weight", "toy.layers.0.dense.bias"})
    assert not (model.lm_head.weight == 7).any() and not model.toy.layers[0].dense.bias.any()
    assert (model.toy.layers[0].dense.weight == 7).all() and (model.toy.embed_tokens.weight == 7).all()


def test_gradient_checkpointing_computes_twice_and_gives_the_same() -> None:
    model = ToyForCausalLM(ToyConfig()).train()
    model(IDS).logits.sum().backward()
    plain = model.toy.layers[0].dense.weight.grad.clone()
    model.zero_grad()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    for layer in model.toy.layers:
        layer.calls.clear()
    model(IDS).logits.sum().backward()
    torch.testing.assert_close(model.toy.layers[0].dense.weight.grad, plain)
    assert len(model.toy.layers[0].calls) == 2
    model.toy.layers[0](torch.randn(1, 2, 4, requires_grad=True), past_key_values="a cache")
    assert model.toy.layers[0].calls[-1] is None  # it cannot be filled twice
    model.eval()
    model.toy.layers[0](torch.randn(1, 2, 4), past_key_values="a cache")
    assert model.toy.layers[0].calls[-1] == "a cache"
    model.gradient_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    with pytest.raises(ValueError, match="does not support gradient checkpointing"):
        ToyModel(ToyConfig(num_hidden_layers=0)).gradient_checkpointing_enable()


def test_gradients_into_frozen_embeddings() -> None:
    model = ToyForCausalLM(ToyConfig())
    model.requires_grad_(False)
    model.enable_input_require_grads()
    assert model(IDS).logits.requires_grad
    model.disable_input_require_grads()
    assert not model(IDS).logits.requires_grad


def test_small_utilities() -> None:
    model = ToyForCausalLM(ToyConfig())
    layers = 2 * (4 * 4 + 4)
    assert model.num_parameters() == 11 * 4 + layers
    assert model.num_parameters(exclude_embeddings=True) == layers
    assert model.get_memory_footprint() == 4 * (11 * 4 + layers)
    assert model.floating_point_ops({"input_ids": IDS}) == 6 * 3 * layers
    assert model.dtype == torch.float32 and model.device.type == "cpu"
    assert not model.can_generate() and model.base_model is model.toy
    mask = model.invert_attention_mask(torch.tensor([[1, 0]]))
    assert mask.shape == (1, 1, 1, 2) and mask[0, 0, 0, 0] == 0 and mask[0, 0, 0, 1] == torch.finfo(torch.float32).min
    assert model.get_head_mask(None, 2) == [None, None]
    assert model.get_head_mask(torch.ones(3), 2).shape == (2, 1, 3, 1, 1)
    assert model.get_head_mask(torch.ones(2, 3), 2).shape == (2, 1, 3, 1, 1)
    with pytest.raises(ValueError, match=r"head_mask must be \(heads,\) or \(layers, heads\)"):
        model.get_head_mask(torch.ones(1, 2, 3), 2)
    model.config.is_decoder = True
    extended = model.get_extended_attention_mask(torch.tensor([[1, 1, 0]]), (1, 3))
    assert (extended == 0).int().tolist() == [[[[1, 0, 0], [1, 1, 0], [1, 1, 0]]]]


def test_a_model_is_built_from_a_config() -> None:
    with pytest.raises(ValueError, match=r"ToyModel\(config\) takes a PretrainedConfig, not dict.*from_pretrained"):
        ToyModel({"vocab_size": 3})
