"""The attention of XLNet (arXiv:1906.08237): relative positions (arXiv:1901.02860), in two streams.

The content stream h knows each token; the query stream g, of the places to predict, knows where they are only.

Shapes: B batch, T tokens, K tokens and those of the mems before them, M places to predict, P relative positions,
H heads, D head width, C width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.model import GradientCheckpointingLayer
from xf_blocks.activations import get_activation
from xf_blocks.pytorch_utils import apply_chunking_to_forward

from .configuration import XLNetConfig

Weights = Tensor | tuple[Tensor, Tensor] | None


@dataclass
class Scene:
    """What all layers share.

    sinusoids_BPC: of the distances from K down (B or 1). other_BTK: whether query and key are of different segments.
    hidden_BTK: pairs that content may not see; hidden_g_BTK: nor places to predict. target_BMT: where these are.
    """

    sinusoids_BPC: Tensor
    other_BTK: Tensor | None
    hidden_BTK: Tensor | None
    hidden_g_BTK: Tensor | None
    target_BMT: Tensor | None
    output_attentions: bool


class XLNetRelativeAttention(nn.Module):
    """LayerNorm(x + dropout(attention)) of both streams; weights carry the checkpoint's layout (C, H, D)."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        assert config.d_head is not None, "set by the config"
        shape = (config.d_model, config.n_head, config.d_head)
        for name in ("q", "k", "v", "o", "r"):
            setattr(self, name, nn.Parameter(torch.empty(shape)))
        for name in ("r_r_bias", "r_s_bias", "r_w_bias"):
            setattr(self, name, nn.Parameter(torch.empty(shape[1:])))
        self.seg_embed = nn.Parameter(torch.empty(2, *shape[1:]))
        self.layer_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.dropout)
        self.scaling = config.d_head**-0.5

    @staticmethod
    def heads(x_BTC: Tensor, weight_CHD: Tensor) -> Tensor:
        """(B, T, C) -> (B, H, T, D)."""
        return torch.einsum("btc,chd->bhtd", x_BTC, weight_CHD)

    def core(
        self,
        q_BHTD: Tensor,
        k_BHKD: Tensor,
        v_BHKD: Tensor,
        r_BHPD: Tensor,
        scene: Scene,
        hidden_BTK: Tensor | None,
        head_mask: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """(B, H, T, D) and the weights (B, H, T, K): scores of content, of distances and of segments."""
        queries, keys = q_BHTD.shape[2], k_BHKD.shape[2]
        scores = (q_BHTD + self.r_w_bias[:, None]) @ k_BHKD.transpose(-1, -2)
        by_distance = (q_BHTD + self.r_r_bias[:, None]) @ r_BHPD.transpose(-1, -2)
        place_T1 = torch.arange(queries, device=scores.device)[:, None]
        index_TK = (queries - place_T1 + torch.arange(keys, device=scores.device)).clamp(max=by_distance.shape[-1] - 1)
        scores = scores + by_distance.gather(-1, index_TK.expand(*scores.shape[:2], -1, -1))
        if scene.other_BTK is not None:
            by_segment = torch.einsum("bhtd,shd->bhts", q_BHTD + self.r_s_bias[:, None], self.seg_embed)
            scores = scores + torch.where(scene.other_BTK[:, None], by_segment[..., 1:], by_segment[..., :1])
        scores = scores * self.scaling
        if hidden_BTK is not None:  # large, but not infinite: who may see nothing sees all alike
            far = 65500.0 if scores.dtype == torch.float16 else 1e30
            scores = scores - far * hidden_BTK[:, None].to(scores.dtype)
        weights = self.dropout(scores.softmax(-1))
        if head_mask is not None:
            weights = weights * head_mask
        return weights @ v_BHKD, weights

    def finish(self, out_BHTD: Tensor, x_BTC: Tensor) -> Tensor:
        """The heads joined, added to what they started from."""
        return self.layer_norm(self.dropout(torch.einsum("bhtd,chd->btc", out_BHTD, self.o)) + x_BTC)

    def forward(
        self, h_BTC: Tensor, g_BMC: Tensor | None, scene: Scene, mems_BTC: Tensor | None, head_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Weights]:
        """The two streams, and where asked the weights: of content, or of (content, places to predict)."""
        seen_BKC = h_BTC if mems_BTC is None else torch.cat((mems_BTC, h_BTC), 1)
        k_BHKD, v_BHKD = self.heads(seen_BKC, self.k), self.heads(seen_BKC, self.v)
        r_BHPD = self.heads(scene.sinusoids_BPC, self.r)
        context = (k_BHKD, v_BHKD, r_BHPD, scene)
        out_BHTD, weights = self.core(self.heads(h_BTC, self.q), *context, scene.hidden_BTK, head_mask)
        new_h_BTC = self.finish(out_BHTD, h_BTC)
        if g_BMC is None:
            return new_h_BTC, None, weights if scene.output_attentions else None
        assert scene.target_BMT is not None, "there is a query stream only with target_mapping"
        q_BHTD = torch.einsum("bhmd,bmt->bhtd", self.heads(g_BMC, self.q), scene.target_BMT)
        out_BHTD, weights_g = self.core(q_BHTD, *context, scene.hidden_g_BTK, head_mask)
        new_g_BMC = self.finish(torch.einsum("bhtd,bmt->bhmd", out_BHTD, scene.target_BMT), g_BMC)
        return new_h_BTC, new_g_BMC, (weights, weights_g) if scene.output_attentions else None


class XLNetFeedForward(nn.Module):
    """LayerNorm(x + dropout(layer_2(dropout(act(layer_1(x))))))."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(config.d_model, eps=config.layer_norm_eps)
        self.layer_1 = nn.Linear(config.d_model, config.d_inner)
        self.layer_2 = nn.Linear(config.d_inner, config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.activation_function = get_activation(config.ff_activation)

    def forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        inner = self.dropout(self.activation_function(self.layer_1(x_BTC)))
        return self.layer_norm(self.dropout(self.layer_2(inner)) + x_BTC)


class XLNetLayer(GradientCheckpointingLayer):
    """Attention and feed-forward, the same for both streams."""

    def __init__(self, config: XLNetConfig) -> None:
        super().__init__()
        self.chunk_size = config.chunk_size_feed_forward
        self.rel_attn = XLNetRelativeAttention(config)
        self.ff = XLNetFeedForward(config)

    def feed_forward(self, x_BTC: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        return self.ff(x_BTC)

    def forward(
        self, h_BTC: Tensor, g_BMC: Tensor | None, scene: Scene, mems_BTC: Tensor | None, head_mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Weights]:
        """As the attention's forward."""
        h_BTC, g_BMC, weights = self.rel_attn(h_BTC, g_BMC, scene, mems_BTC, head_mask)
        if g_BMC is not None:
            g_BMC = apply_chunking_to_forward(self.feed_forward, self.chunk_size, 1, g_BMC)
        return apply_chunking_to_forward(self.feed_forward, self.chunk_size, 1, h_BTC), g_BMC, weights


def sinusoids(config: XLNetConfig, queries: int, keys: int, batch: int, like: Tensor) -> Tensor:
    """(B or 1, P, C): sin and cos of the distances keys, keys - 1, ... (arXiv:1901.02860, section 3.3).

    Down to -queries + 1 where tokens see what follows, to 0 else. With config.bi_data the second half of the batch has
    the distances negated.
    Raises: ValueError for a batch that has no halves.
    """
    first, last = keys, -queries if config.attn_type == "bi" else -1
    distances = [torch.arange(first, last, -1.0, device=like.device)]
    if config.bi_data:
        if batch % 2:
            raise ValueError(f"bi_data=True needs two halves of a batch, forwards and backwards; it has {batch} rows.")
        distances.append(-distances[0])
    distance_BP = torch.stack(distances)
    if config.clamp_len > 0:
        distance_BP = distance_BP.clamp(-config.clamp_len, config.clamp_len)
    channels = torch.arange(0, config.d_model, 2.0, device=like.device)
    angles = distance_BP[..., None] / 10000 ** (channels / config.d_model)
    found_BPC = torch.cat((angles.sin(), angles.cos()), -1).to(like.dtype)
    return found_BPC.repeat_interleave(batch // 2, 0) if config.bi_data else found_BPC


def hidden_pairs(
    config: XLNetConfig, queries: int, mem_len: int, padding_BT: Tensor | None, perm_mask_BTT: Tensor | None
) -> Tensor | None:
    """(B or 1, T, K) bool: which keys a query may not see, by order, padding and permutation; None if it sees all."""
    hidden: Tensor | None = None
    given = next((mask for mask in (padding_BT, perm_mask_BTT) if mask is not None), None)
    if config.attn_type == "uni":
        device = None if given is None else given.device
        ones = torch.ones(queries, queries + mem_len, dtype=torch.bool, device=device)
        hidden = ones.triu(mem_len + 1)
        if config.same_length:
            before = ones.clone()
            before[:, queries:] = False
            hidden = hidden | before.tril(-1)
        hidden = hidden[None]
    for mask in (None if padding_BT is None else padding_BT[:, None], perm_mask_BTT):
        if mask is not None:
            among = F.pad(mask > 0, (mem_len, 0))
            hidden = among if hidden is None else hidden | among
    return hidden
