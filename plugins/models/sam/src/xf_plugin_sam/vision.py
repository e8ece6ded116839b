"""The image encoder of SAM: a ViT with windowed attention and relative position biases, after ViTDet.

Sources: arXiv:2304.02643, section 3 and appendix A; window attention and biases: Li et al. 2022, arXiv:2203.16527.

Shapes: B images; H, W patches per column and row of the image, or of a window; C width; E output channels; N windows of
all images; T = H * W patches; A heads; D width of a head; R = 2 * size - 1 relative offsets; Y, X pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xf.interfaces.attention import AttentionModule
from xf.interfaces.model_utils import GradientCheckpointingLayer
from xf.outputs import ModelOutput
from xf_blocks.activations import ACT2FN
from xf_plugin_sam.base import SamPreTrainedModel
from xf_plugin_sam.configuration import SamVisionConfig


@dataclass
class SamVisionEncoderOutput(ModelOutput):
    """`last_hidden_state` (B, E, H, W): the image embedding; `hidden_states`: one (B, H, W, C) per layer's input, then
    the embedding; `attentions`: weights per layer (N * A, T, T); `image_embeds` is not used by SAM."""

    image_embeds: Tensor | None = None
    last_hidden_state: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class SamLayerNorm(nn.LayerNorm):
    """Layer norm over the channels of (B, C, H, W)."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return super().forward(x_BCHW.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SamMLPBlock(nn.Module):
    """Two linear layers around an activation."""

    def __init__(self, hidden_size: int, mlp_dim: int, hidden_act: str) -> None:
        super().__init__()
        self.lin1 = nn.Linear(hidden_size, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, hidden_size)
        self.act = ACT2FN[hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.lin2(self.act(self.lin1(x)))
        return out


class SamPatchEmbeddings(nn.Module):
    """Cuts the image into patches: pixels (B, 3, Y, X) to (B, H, W, C). ValueError for another size or channels."""

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__()
        self.image_size, self.num_channels = config.image_size, config.num_channels
        self.projection = nn.Conv2d(
            config.num_channels, config.hidden_size, kernel_size=config.patch_size, stride=config.patch_size
        )

    def forward(self, pixels_B3YX: Tensor) -> Tensor:
        if pixels_B3YX.ndim != 4 or pixels_B3YX.shape[1] != self.num_channels:
            raise ValueError(
                f"pixel_values must be (batch, {self.num_channels}, height, width), got {tuple(pixels_B3YX.shape)}."
            )
        if pixels_B3YX.shape[2:] != (self.image_size, self.image_size):
            raise ValueError(
                f"The model takes images of {self.image_size} x {self.image_size} pixels, got "
                f"{pixels_B3YX.shape[2]} x {pixels_B3YX.shape[3]}. Prepare them with SamProcessor."
            )
        return self.projection(pixels_B3YX.to(self.projection.weight.dtype)).permute(0, 2, 3, 1)


def relative_positions(rel_pos_RD: Tensor, q_size: int, k_size: int) -> Tensor:
    """The rows of the table for every (query, key) pair along one axis: (q_size, k_size, D).

    A table trained for another size is stretched linearly.
    """
    wanted = 2 * max(q_size, k_size) - 1
    if rel_pos_RD.shape[0] != wanted:
        stretched = F.interpolate(rel_pos_RD.T[None].float(), size=wanted, mode="linear")
        rel_pos_RD = stretched[0].T.to(rel_pos_RD.dtype)
    q_at = torch.arange(q_size, device=rel_pos_RD.device)[:, None] * max(k_size / q_size, 1.0)
    k_at = torch.arange(k_size, device=rel_pos_RD.device)[None, :] * max(q_size / k_size, 1.0)
    offset = q_at - k_at + (k_size - 1) * max(q_size / k_size, 1.0)
    return rel_pos_RD[offset.long()]


class SamVisionAttention(AttentionModule):
    """Self-attention over the patches of a window, or of the whole image where `window_size` is 0.

    The relative position bias is decomposed: one table along the height, one along the width (arXiv:2112.01526, 3.1).
    """

    def __init__(self, config: SamVisionConfig, window_size: int) -> None:
        super().__init__(config)
        grid = config.image_size // config.patch_size
        size = window_size or grid
        self.num_heads = config.num_attention_heads
        head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = head_dim**-0.5
        self.attention_dropout = config.attention_dropout
        self.qkv = nn.Linear(config.hidden_size, config.hidden_size * 3, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)
        self.use_rel_pos = config.use_rel_pos
        if self.use_rel_pos:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, head_dim))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, head_dim))

    def reset_parameters(self) -> None:
        """Start without any preference for positions."""
        if self.use_rel_pos:
            nn.init.zeros_(self.rel_pos_h)
            nn.init.zeros_(self.rel_pos_w)

    def position_bias(self, q_NATD: Tensor, height: int, width: int) -> Tensor:
        """The additive bias (N, A, T, T) of every query for the row and the column of every key."""
        rel_h_HHD = relative_positions(self.rel_pos_h, height, height)
        rel_w_WWD = relative_positions(self.rel_pos_w, width, width)
        q_NAHWD = q_NATD.unflatten(2, (height, width))
        bias_h_NAHWH1 = torch.einsum("nahwd,hkd->nahwk", q_NAHWD, rel_h_HHD)[..., :, None]
        bias_w_NAHW1W = torch.einsum("nahwd,wkd->nahwk", q_NAHWD, rel_w_WWD)[..., None, :]
        return (bias_h_NAHWH1 + bias_w_NAHW1W).flatten(4, 5).flatten(2, 3)

    def forward(self, x_NHWC: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        n, height, width, _ = x_NHWC.shape
        qkv_3NATD = self.qkv(x_NHWC).reshape(n, height * width, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        q_NATD, k_NATD, v_NATD = qkv_3NATD.unbind(0)
        bias_NATT = self.position_bias(q_NATD, height, width) if self.use_rel_pos else None
        out_NTAD, weights_NATT = self.attend(q_NATD, k_NATD, v_NATD, bias_NATT, output_attentions=output_attentions)
        out_NHWC = self.proj(out_NTAD.reshape(n, height, width, -1))
        return out_NHWC, weights_NATT.flatten(0, 1) if output_attentions and weights_NATT is not None else None


def split_windows(x_BHWC: Tensor, size: int) -> Tensor:
    """Square windows (N, size, size, C), row by row; zeros fill up the right and bottom edges."""
    b, height, width, c = x_BHWC.shape
    x_BHWC = F.pad(x_BHWC, (0, 0, 0, -width % size, 0, -height % size))
    grid = x_BHWC.reshape(b, x_BHWC.shape[1] // size, size, x_BHWC.shape[2] // size, size, c)
    return grid.transpose(2, 3).reshape(-1, size, size, c)


def join_windows(windows_NHWC: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `split_windows`; what was filled up is cut off."""
    size, c = windows_NHWC.shape[1], windows_NHWC.shape[-1]
    rows, columns = -(-height // size), -(-width // size)
    grid = windows_NHWC.reshape(-1, rows, columns, size, size, c).transpose(2, 3)
    return grid.reshape(-1, rows * size, columns * size, c)[:, :height, :width]


class SamVisionLayer(GradientCheckpointingLayer):
    """One encoder layer: (windowed) attention and MLP, each after a norm and with a residual."""

    def __init__(self, config: SamVisionConfig, window_size: int) -> None:
        super().__init__()
        assert config.mlp_dim is not None, "set by the config"
        self.window_size = window_size
        self.layer_norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = SamVisionAttention(config, window_size)
        self.layer_norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = SamMLPBlock(config.hidden_size, config.mlp_dim, config.hidden_act)

    def forward(self, x_BHWC: Tensor, output_attentions: bool = False) -> tuple[Tensor, Tensor | None]:
        _, height, width, _ = x_BHWC.shape
        y_NHWC = self.layer_norm1(x_BHWC)
        if self.window_size:
            y_NHWC = split_windows(y_NHWC, self.window_size)
        y_NHWC, weights = self.attn(y_NHWC, output_attentions)
        if self.window_size:
            y_NHWC = join_windows(y_NHWC, height, width)
        x_BHWC = x_BHWC + y_NHWC
        return x_BHWC + self.mlp(self.layer_norm2(x_BHWC)), weights


class SamVisionNeck(nn.Module):
    """Two convolutions that bring (B, H, W, C) to the embedding (B, E, H, W)."""

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__()
        channels = config.output_channels
        self.conv1 = nn.Conv2d(config.hidden_size, channels, kernel_size=1, bias=False)
        self.layer_norm1 = SamLayerNorm(channels, eps=1e-6)  # as published, whatever layer_norm_eps says
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.layer_norm2 = SamLayerNorm(channels, eps=1e-6)

    def forward(self, x_BHWC: Tensor) -> Tensor:
        x_BEHW = self.layer_norm1(self.conv1(x_BHWC.permute(0, 3, 1, 2)))
        out: Tensor = self.layer_norm2(self.conv2(x_BEHW))
        return out


class SamVisionEncoder(SamPreTrainedModel):
    """Pixels (B, 3, Y, X) to the image embedding (B, E, H, W). A model, so that its own config starts its weights."""

    config_class = SamVisionConfig

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__(config)
        grid = config.image_size // config.patch_size
        self.patch_embed = SamPatchEmbeddings(config)
        self.pos_embed = None
        if config.use_abs_pos:
            self.pos_embed = nn.Parameter(torch.zeros(1, grid, grid, config.hidden_size))
        self.layers = nn.ModuleList(
            SamVisionLayer(config, 0 if i in config.global_attn_indexes else config.window_size)
            for i in range(config.num_hidden_layers)
        )
        self.neck = SamVisionNeck(config)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if module is self and self.pos_embed is not None:
            nn.init.zeros_(self.pos_embed)

    def get_input_embeddings(self) -> nn.Module:
        return self.patch_embed

    def forward(
        self, pixel_values: Tensor, output_attentions: bool = False, output_hidden_states: bool = False
    ) -> SamVisionEncoderOutput:
        x_BHWC = self.patch_embed(pixel_values)
        if self.pos_embed is not None:
            x_BHWC = x_BHWC + self.pos_embed
        states, attentions = [], []
        for layer in self.layers:
            states.append(x_BHWC)
            x_BHWC, weights = layer(x_BHWC, output_attentions)
            attentions.append(weights)
        embedding_BEHW = self.neck(x_BHWC)
        return SamVisionEncoderOutput(
            last_hidden_state=embedding_BEHW,
            hidden_states=(*states, embedding_BEHW) if output_hidden_states else None,
            attentions=tuple(attentions) if output_attentions else None,
        )
