"""The mask decoder of SAM: a two-way transformer of prompt tokens and image patches (arXiv:2304.02643, appendix A).

Shapes: B images; P prompts per image; Z = B * P; N tokens of a prompt; C width; H, W patches per column and row;
K = H * W; A heads; D width of a head; M mask tokens, 1 for a single mask and the others for several.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf_plugin_sam.configuration import SamMaskDecoderConfig
from xf_plugin_sam.vision import SamLayerNorm, SamMLPBlock


class SamAttention(AttentionModule):
    """Attention whose queries, keys and values are projected to a narrower width."""

    def __init__(self, config: SamMaskDecoderConfig, downsample_rate: int) -> None:
        super().__init__(config)
        inner = config.hidden_size // downsample_rate
        if inner % config.num_attention_heads:
            raise ValueError(
                f"The attention width {inner} (hidden_size {config.hidden_size} / {downsample_rate}) is not a multiple "
                f"of num_attention_heads {config.num_attention_heads}."
            )
        self.num_heads = config.num_attention_heads
        self.scaling = (inner // config.num_attention_heads) ** -0.5
        self.q_proj = nn.Linear(config.hidden_size, inner)
        self.k_proj = nn.Linear(config.hidden_size, inner)
        self.v_proj = nn.Linear(config.hidden_size, inner)
        self.out_proj = nn.Linear(inner, config.hidden_size)

    def _heads(self, x_ZNC: Tensor) -> Tensor:
        return x_ZNC.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def forward(self, query_ZNC: Tensor, key_ZKC: Tensor, value_ZKC: Tensor, bias: Tensor | None = None) -> Tensor:
        q_ZAND, k_ZAKD, v_ZAKD = (
            self._heads(self.q_proj(query_ZNC)),
            self._heads(self.k_proj(key_ZKC)),
            self._heads(self.v_proj(value_ZKC)),
        )
        out_ZNAD, _ = self.attend(q_ZAND, k_ZAKD, v_ZAKD, bias)
        out_ZNC: Tensor = self.out_proj(out_ZNAD.flatten(2))
        return out_ZNC


class SamTwoWayAttentionBlock(nn.Module):
    """Tokens attend to themselves, then to the image, and the image to the tokens; each has a residual and a norm."""

    def __init__(self, config: SamMaskDecoderConfig, skip_first_layer_pe: bool) -> None:
        super().__init__()
        width, eps = config.hidden_size, config.layer_norm_eps
        # Always 2: published files were made that way, and `attention_downsample_rate` is for the last attention alone.
        rate = 2
        self.self_attn = SamAttention(config, downsample_rate=1)
        self.layer_norm1 = nn.LayerNorm(width, eps=eps)
        self.cross_attn_token_to_image = SamAttention(config, rate)
        self.layer_norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = SamMLPBlock(width, config.mlp_dim, config.hidden_act)
        self.layer_norm3 = nn.LayerNorm(width, eps=eps)
        self.layer_norm4 = nn.LayerNorm(width, eps=eps)
        self.cross_attn_image_to_token = SamAttention(config, rate)
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(
        self,
        tokens_ZNC: Tensor,
        image_ZKC: Tensor,
        token_pe_ZNC: Tensor,
        image_pe_ZKC: Tensor,
        similarity: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the tokens, the image, and what the image took from the tokens."""
        if self.skip_first_layer_pe:  # the first layer's tokens are their own positions
            tokens_ZNC = self.self_attn(tokens_ZNC, tokens_ZNC, tokens_ZNC)
        else:
            placed = tokens_ZNC + token_pe_ZNC
            tokens_ZNC = tokens_ZNC + self.self_attn(placed, placed, tokens_ZNC)
        tokens_ZNC = self.layer_norm1(tokens_ZNC)

        placed_image = image_ZKC + image_pe_ZKC
        seen = self.cross_attn_token_to_image(tokens_ZNC + token_pe_ZNC, placed_image, image_ZKC, similarity)
        tokens_ZNC = self.layer_norm2(tokens_ZNC + seen)
        tokens_ZNC = self.layer_norm3(tokens_ZNC + self.mlp(tokens_ZNC))

        taken_ZKC = self.cross_attn_image_to_token(placed_image, tokens_ZNC + token_pe_ZNC, tokens_ZNC)
        return tokens_ZNC, self.layer_norm4(image_ZKC + taken_ZKC), taken_ZKC


class SamTwoWayTransformer(nn.Module):
    """The layers of the decoder, and a last look of the tokens at the image."""

    def __init__(self, config: SamMaskDecoderConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            SamTwoWayAttentionBlock(config, skip_first_layer_pe=i == 0) for i in range(config.num_hidden_layers)
        )
        self.final_attn_token_to_image = SamAttention(config, config.attention_downsample_rate)
        self.layer_norm_final_attn = nn.LayerNorm(config.hidden_size)

    def forward(
        self,
        tokens_ZNC: Tensor,
        image_ZKC: Tensor,
        image_pe_ZKC: Tensor,
        similarity: Tensor | None,
        target_ZNC: Tensor | None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        if target_ZNC is not None:  # PerSAM adds it to the first tokens where they serve as positions, too
            tokens_ZNC = tokens_ZNC + target_ZNC
        token_pe_ZNC, taken = tokens_ZNC, []
        for i, layer in enumerate(self.layers):
            if target_ZNC is not None and i > 0:
                tokens_ZNC = tokens_ZNC + target_ZNC
            tokens_ZNC, image_ZKC, taken_ZKC = layer(tokens_ZNC, image_ZKC, token_pe_ZNC, image_pe_ZKC, similarity)
            taken.append(taken_ZKC)
        seen = self.final_attn_token_to_image(tokens_ZNC + token_pe_ZNC, image_ZKC + image_pe_ZKC, image_ZKC)
        return self.layer_norm_final_attn(tokens_ZNC + seen), image_ZKC, tuple(taken)


class SamFeedForward(nn.Module):
    """An MLP of `num_layers` linear layers with ReLU between them."""

    def __init__(self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(input_dim, hidden_dim)
        self.proj_out = nn.Linear(hidden_dim, output_dim)
        self.layers = nn.ModuleList(nn.Linear(hidden_dim, hidden_dim) for _ in range(num_layers - 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.proj_in(x))
        for layer in self.layers:
            x = F.relu(layer(x))
        out: Tensor = self.proj_out(x)
        return out


class SamMaskDecoder(nn.Module):
    """Image and prompt embeddings to mask logits and the IoU that each mask is expected to have."""

    def __init__(self, config: SamMaskDecoderConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.num_mask_tokens = config.num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, width)
        self.transformer = SamTwoWayTransformer(config)
        self.upscale_conv1 = nn.ConvTranspose2d(width, width // 4, kernel_size=2, stride=2)
        self.upscale_conv2 = nn.ConvTranspose2d(width // 4, width // 8, kernel_size=2, stride=2)
        self.upscale_layer_norm = SamLayerNorm(width // 4, eps=1e-6)  # as published
        # three layers: appendix A of the paper, "a small 3-layer MLP"
        self.output_hypernetworks_mlps = nn.ModuleList(
            SamFeedForward(width, width, width // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = SamFeedForward(
            width, config.iou_head_hidden_dim, self.num_mask_tokens, config.iou_head_depth
        )

    def forward(
        self,
        image_BCHW: Tensor,
        image_pe_1CHW: Tensor,
        sparse_BPNC: Tensor | None,
        dense_BCHW: Tensor,
        multimask_output: bool,
        similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Masks (B, P, M, 4H, 4W), IoU (B, P, M), and per layer what the image took from the tokens (Z, 1, K, C).

        `similarity`, broadcast to (Z, A, N, K), is added to the scores of tokens over patches; `target_embedding`,
        broadcast to (B, P, N, C), to the tokens before each layer (PerSAM, arXiv:2305.03048).
        """
        image_BCHW = image_BCHW + dense_BCHW
        batch, channels, height, width = image_BCHW.shape
        prompts = 1 if sparse_BPNC is None else sparse_BPNC.shape[1]
        output_tokens = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        tokens_BPNC = output_tokens.expand(batch, prompts, -1, -1)
        if sparse_BPNC is not None:
            tokens_BPNC = torch.cat([tokens_BPNC, sparse_BPNC], dim=2)
        tokens_BPNC = tokens_BPNC.to(image_BCHW.dtype)
        target_ZNC = None
        if target_embedding is not None:
            target_ZNC = torch.broadcast_to(target_embedding, tokens_BPNC.shape).flatten(0, 1)
        image_ZKC = image_BCHW.flatten(2).transpose(1, 2).repeat_interleave(prompts, dim=0)
        image_pe_1KC = image_pe_1CHW.flatten(2).transpose(1, 2)

        tokens_ZNC, image_ZKC, taken = self.transformer(
            tokens_BPNC.flatten(0, 1), image_ZKC, image_pe_1KC, similarity, target_ZNC
        )
        image_ZCHW = image_ZKC.transpose(1, 2).reshape(-1, channels, height, width)
        upscaled = F.gelu(self.upscale_layer_norm(self.upscale_conv1(image_ZCHW)))
        upscaled = F.gelu(self.upscale_conv2(upscaled))
        mask_weights_ZMC = torch.stack(
            [mlp(tokens_ZNC[:, 1 + i]) for i, mlp in enumerate(self.output_hypernetworks_mlps)], dim=1
        )
        wanted = slice(1, None) if multimask_output else slice(0, 1)
        masks_ZMYX = (mask_weights_ZMC @ upscaled.flatten(2)).unflatten(-1, upscaled.shape[2:])[:, wanted]
        iou_ZM = self.iou_prediction_head(tokens_ZNC[:, 0])[:, wanted]
        shape = (batch, prompts)
        return masks_ZMYX.unflatten(0, shape), iou_ZM.unflatten(0, shape), tuple(t[:, None] for t in taken)
