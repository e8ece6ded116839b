"""TAPAS (arXiv:2004.02349): BERT that reads tables, with seven type ids for each token.

Shapes: B batch, T tokens, C width, V vocabulary.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.model import PreTrainedModel
from xf_blocks.activations import get_activation
from xf_blocks.text_encoder import TextEmbeddings
from xf_blocks.text_heads import TextForSequenceClassification
from xf_blocks.text_lm import TextForMaskedLM
from xf_blocks.text_model import TextModel

from .cells import positions_in_cells
from .configuration import TapasConfig
from .tables import COLUMN, ROW


class TapasPreTrainedModel(PreTrainedModel):
    """What all TAPAS models declare."""

    config_class = TapasConfig
    base_model_prefix = "tapas"
    ignore_unexpected: ClassVar[tuple[str, ...]] = (
        "*embeddings.position_ids",
    )  # 0, 1, 2 ... that early checkpoints hold


class TapasEmbeddings(TextEmbeddings):
    """Words + positions + an embedding for each of the type ids, then LayerNorm and dropout."""

    def __init__(self, config: TapasConfig) -> None:
        nn.Module.__init__(self)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        for i, size in enumerate(config.type_vocab_sizes):
            self.add_module(f"token_type_embeddings_{i}", nn.Embedding(size, config.hidden_size))
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.type_sizes = list(config.type_vocab_sizes)
        self.counts_in_cells = config.reset_position_index_per_cell

    def forward(
        self,
        input_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_key_values_length: int = 0,
    ) -> Tensor:
        """input_ids (B, T) or inputs_embeds (B, T, C); token_type_ids (B, T, 7), 0 by default."""
        x_BTC = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if token_type_ids is None:
            shape = (*x_BTC.shape[:2], len(self.type_sizes))
            token_type_ids = torch.zeros(shape, dtype=torch.long, device=x_BTC.device)
        if position_ids is None:
            position_ids = self.position_ids(token_type_ids)
        x_BTC = x_BTC + self.position_embeddings(position_ids)
        for i in range(len(self.type_sizes)):
            x_BTC = x_BTC + getattr(self, f"token_type_embeddings_{i}")(token_type_ids[:, :, i])
        return self.dropout(self.LayerNorm(x_BTC))

    def position_ids(self, token_type_ids: Tensor) -> Tensor:
        """(B or 1, T): from 0 in every cell; beyond the last position there is, the last.

        Raises: ValueError where positions do not begin anew in cells and the text is too long.
        """
        limit, long = self.position_embeddings.num_embeddings, token_type_ids.shape[1]
        positions_T = torch.arange(long, device=token_type_ids.device)
        if not self.counts_in_cells:
            if long > limit:
                raise ValueError(f"The text is {long} tokens long, but the model has {limit} positions: truncate it.")
            return positions_T[None]
        column_BT, row_BT = token_type_ids[:, :, COLUMN], token_type_ids[:, :, ROW]
        rows, columns = self.type_sizes[ROW], self.type_sizes[COLUMN]
        return positions_in_cells(column_BT, row_BT, rows, columns, positions_T).clamp(max=limit - 1)


class TapasModel(TextModel, TapasPreTrainedModel):
    """The encoder, with a pooler unless add_pooling_layer=False."""

    embeddings_class = TapasEmbeddings
    allow_missing: ClassVar = ("pooler.*",)  # models trained on masked tokens alone have none


class TapasPredictionHeadTransform(nn.Module):
    """LayerNorm(act(dense(x)))."""

    def __init__(self, config: TapasConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.transform_act_fn = get_activation(config.hidden_act)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.LayerNorm(self.transform_act_fn(self.dense(x_BTC)))


class TapasLMPredictionHead(nn.Module):
    """Vocabulary scores; the decoder's bias is also called `bias`."""

    def __init__(self, config: TapasConfig) -> None:
        super().__init__()
        self.transform = TapasPredictionHeadTransform(config)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)
        self.bias = self.decoder.bias

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.decoder(self.transform(x_BTC))


class TapasOnlyMLMHead(nn.Module):
    """The checkpoint's `cls`."""

    def __init__(self, config: TapasConfig) -> None:
        super().__init__()
        self.predictions = TapasLMPredictionHead(config)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, V)."""
        return self.predictions(x_BTC)


class TapasForMaskedLM(TextForMaskedLM, TapasPreTrainedModel):
    """TAPAS with vocabulary scores for every token."""

    body_class = TapasModel
    ignore_unexpected: ClassVar = (*TapasPreTrainedModel.ignore_unexpected, "tapas.pooler.*")
    tied_weights: ClassVar = {"cls.predictions.decoder.weight": "tapas.embeddings.word_embeddings.weight"}
    always_tied_weights: ClassVar = {"cls.predictions.decoder.bias": "cls.predictions.bias"}

    def build_head(self, config: TapasConfig) -> None:
        self.cls = TapasOnlyMLMHead(config)

    def lm_logits(self, x_BTC: Tensor) -> Tensor:
        return self.cls(x_BTC)

    def get_output_embeddings(self) -> nn.Module:
        return self.cls.predictions.decoder

    def set_output_embeddings(self, new_embeddings: Any) -> None:
        self.cls.predictions.decoder = new_embeddings
        self.cls.predictions.bias = new_embeddings.bias

    def _resize_extra(self, size: int, mean_resizing: bool) -> None:
        self.cls.predictions.bias = self.cls.predictions.decoder.bias


class TapasForSequenceClassification(TextForSequenceClassification, TapasPreTrainedModel):
    """TAPAS that classifies a text about a table: is it true of it (arXiv:2010.00571)?"""

    body_class = TapasModel
