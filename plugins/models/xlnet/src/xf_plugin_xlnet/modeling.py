"""XLNet (arXiv:1906.08237): the body. Its heads are in heads.py.

Shapes: B batch, T tokens, K tokens and mems before them, M places to predict, H heads, L layers, C width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.model import model_forward
from xf_blocks.encoder_attention import OwnAttention
from xf_blocks.encoder_inputs import check_text

from .attention import Scene, XLNetLayer, XLNetRelativeAttention, hidden_pairs, sinusoids
from .configuration import XLNetConfig
from .outputs import XLNetModelOutput


class XLNetPreTrainedModel(OwnAttention):
    """What all XLNet models declare."""

    config_class = XLNetConfig
    base_model_prefix = "transformer"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, (XLNetRelativeAttention, XLNetModel)):
            for parameter in module.parameters(recurse=False):
                parameter.normal_(0.0, self.config.initializer_range)
        else:
            super()._init_weights(module)


class XLNetModel(XLNetPreTrainedModel):
    """The model without a head."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__(config)
        self.word_embedding = nn.Embedding(config.vocab_size, config.d_model)
        self.mask_emb = nn.Parameter(torch.zeros(1, 1, config.d_model))
        self.layer = nn.ModuleList([XLNetLayer(config) for _ in range(config.n_layer)])
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.word_embedding

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.word_embedding = value

    @model_forward
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        mems: Any = None,
        perm_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        input_mask: Tensor | None = None,
        head_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        use_mems: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
    ) -> XLNetModelOutput:
        """input_ids (B, T) or inputs_embeds (B, T, C); attention_mask (B, T), 0 at padding, or input_mask, its reverse.

        mems: those of an earlier forward. perm_mask (B, T, T): 1 where token i may not see token j. target_mapping
        (B, M, T): 1 where place m to predict is token t. token_type_ids (B, T): the segment of each token. use_mems:
        whether to return mems, config.use_mems_eval (_train) if None. head_mask (H,) or (L, H): 1 to keep a head.
        Raises: ValueError unless exactly one of input_ids and inputs_embeds is given, and for both of the two masks.
        """
        check_text(self, input_ids, inputs_embeds, attention_mask if input_mask is None else input_mask)
        if attention_mask is not None and input_mask is not None:
            raise ValueError("attention_mask and input_mask say the same, one reversed: give one of them.")
        if attention_mask is not None:
            input_mask = 1.0 - attention_mask.to(torch.float32)
        words_BTC = self.word_embedding(input_ids) if inputs_embeds is None else inputs_embeds
        h_BTC, g_BMC = self.dropout(words_BTC), None
        if target_mapping is not None:
            g_BMC = self.dropout(self.mask_emb.expand(*target_mapping.shape[:2], -1))
        past = [None if m is None else m.transpose(0, 1) for m in ([None] * len(self.layer) if mems is None else mems)]
        scene = self.scene(h_BTC, past[0], perm_mask, target_mapping, token_type_ids, input_mask, output_attentions)
        heads = None if head_mask is None else self.get_head_mask(head_mask, self.config.n_layer)
        if use_mems is None:
            use_mems = self.config.use_mems_train if self.training else self.config.use_mems_eval
        new_mems: list[Tensor] = []
        states: list[Tensor] = []
        weights: list[Any] = []
        for index, layer in enumerate(self.layer):
            if use_mems:
                new_mems.append(self.remember(h_BTC, past[index]))
            states += [h_BTC] if g_BMC is None else [h_BTC, g_BMC]
            mask = None if heads is None else heads[index]
            h_BTC, g_BMC, layer_weights = layer(h_BTC, g_BMC, scene, past[index], mask)
            weights.append(layer_weights)
        states += [h_BTC] if g_BMC is None else [h_BTC, g_BMC]
        return XLNetModelOutput(
            last_hidden_state=self.dropout(h_BTC if g_BMC is None else g_BMC),
            mems=tuple(new_mems) if use_mems else None,
            hidden_states=tuple(states) if output_hidden_states else None,
            attentions=tuple(weights) if output_attentions else None,
        )

    def scene(
        self,
        h_BTC: Tensor,
        mems_BTC: Tensor | None,
        perm_mask: Tensor | None,
        target_mapping: Tensor | None,
        token_type_ids: Tensor | None,
        input_mask: Tensor | None,
        output_attentions: bool,
    ) -> Scene:
        """What all layers share."""
        batch, length, _ = h_BTC.shape
        mem_len = 0 if mems_BTC is None else mems_BTC.shape[1]
        hidden_g = hidden_pairs(self.config, length, mem_len, input_mask, perm_mask)
        hidden = other = None
        if hidden_g is not None:  # content knows itself
            hidden_g = hidden_g.to(h_BTC.device)
            itself = torch.eye(length, dtype=torch.bool, device=h_BTC.device)
            hidden = hidden_g & ~torch.nn.functional.pad(itself, (mem_len, 0))
        if token_type_ids is not None:  # mems are of segment 0
            keys_BK = torch.nn.functional.pad(token_type_ids, (mem_len, 0))
            other = token_type_ids[:, :, None] != keys_BK[:, None]
        return Scene(
            sinusoids(self.config, length, length + mem_len, batch, h_BTC),
            other,
            hidden,
            hidden_g,
            None if target_mapping is None else target_mapping.to(h_BTC.dtype),
            output_attentions,
        )

    def remember(self, h_BTC: Tensor, mems_BTC: Tensor | None) -> Tensor:
        """The last config.mem_len states of the mems and of the first config.reuse_len tokens, (K, B, C)."""
        if self.config.reuse_len:
            h_BTC = h_BTC[:, : self.config.reuse_len]
        if mems_BTC is not None:
            h_BTC = torch.cat((mems_BTC, h_BTC), 1)
        return h_BTC[:, -(self.config.mem_len or 0) :].detach().transpose(0, 1)
