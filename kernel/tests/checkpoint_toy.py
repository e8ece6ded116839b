"""A tiny family of models for the tests of loading and saving; the same as in record_checkpoint.py."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel


def exact_values(tensor: torch.Tensor, seed: int) -> torch.Tensor:
    """Values that every machine computes alike, in any dtype: multiples of 1/64 between -0.8 and 0.8."""
    numbers = (torch.arange(tensor.numel()) * 7 + seed * 13) % 101 - 50
    return (numbers / 64).reshape(tensor.shape).to(tensor.dtype)


def fill(model: nn.Module) -> Any:
    """Give every parameter its exact values, in name order."""
    with torch.no_grad():
        for seed, (_, parameter) in enumerate(sorted(model.named_parameters())):
            parameter.copy_(exact_values(parameter, seed))
    return model


class ToyConfig(PretrainedConfig):
    model_type = "toy"
    vocab_size: int = 50
    hidden_size: int = 16
    num_hidden_layers: int = 2
    initializer_range: float = 0.02


class ToyLayer(nn.Module):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size)


class ToyPreTrainedModel(PreTrainedModel):
    config_class = ToyConfig
    base_model_prefix = "toy"
    ignore_unexpected = ("*.old_buffer",)


class ToyModel(ToyPreTrainedModel):
    allow_missing = ("pooler.*",)

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.embed = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(ToyLayer(config) for _ in range(config.num_hidden_layers))
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.norm = nn.BatchNorm1d(4)
        frequencies = 1.0 / (10000 ** (torch.arange(0, config.hidden_size, 2).float() / config.hidden_size))
        self.register_buffer("inv_freq", frequencies, persistent=False)
        self.register_buffer("position_ids", torch.arange(20)[None])
        self.pooler = nn.Linear(config.hidden_size, config.hidden_size)
        self.post_init()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        hidden_BTC = self.embed(input_ids) * self.scale
        for layer in self.layers:
            hidden_BTC = layer.LayerNorm(hidden_BTC + layer.dense(hidden_BTC))
        return hidden_BTC


class ToyForCausalLM(ToyPreTrainedModel):
    tied_weights = {"head.weight": "toy.embed.weight"}

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.toy = ToyModel(config)
        self.head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.toy(input_ids))


class ToyForSequenceClassification(ToyPreTrainedModel):
    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        self.toy = ToyModel(config)
        self.classifier = nn.Sequential(nn.Linear(config.hidden_size, 4), nn.Linear(4, config.num_labels))
        self.post_init()
