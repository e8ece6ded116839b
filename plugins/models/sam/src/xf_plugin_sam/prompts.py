"""The prompt encoder of SAM: points, boxes and masks as embeddings (arXiv:2304.02643, appendix A, "Prompt encoder").

Shapes: B images; P prompts per image; N points of a prompt; C width; H, W patches per column and row; M mask channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xf_blocks.activations import ACT2FN
from xf_plugin_sam.configuration import SamPromptEncoderConfig, SamVisionConfig
from xf_plugin_sam.vision import SamLayerNorm

NOT_A_POINT = -1  # label of the filler that stands for "no box"
PADDING_POINT = -10  # label of points that only fill up a batch; they embed as zeros


class SamPositionalEmbedding(nn.Module):
    """Random Fourier features of positions (arXiv:2006.10739): sines and cosines of a fixed random projection."""

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__()
        self.scale = config.hidden_size // 2
        self.register_buffer("positional_embedding", self.scale * torch.randn(2, config.num_pos_feats))
        self.positional_embedding: Tensor

    def reset_parameters(self) -> None:
        nn.init.normal_(self.positional_embedding, std=self.scale)

    def forward(self, coordinates: Tensor, image_size: tuple[int, int] | None = None) -> Tensor:
        """(..., 2) positions (x, y) in 0..1, or in pixels of an image of (height, width), to (..., C)."""
        if image_size is not None:
            height, width = image_size
            coordinates = coordinates / torch.tensor([width, height], device=coordinates.device)
        table = self.positional_embedding
        phase = 2 * math.pi * ((2 * coordinates.to(table.dtype) - 1) @ table)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def grid(self, size: int) -> Tensor:
        """The embedding (1, C, size, size) of the centres of a square grid of patches."""
        table = self.positional_embedding
        centres = (torch.arange(size, device=table.device, dtype=table.dtype) + 0.5) / size
        y_HW, x_HW = torch.meshgrid(centres, centres, indexing="ij")
        embedding_HWC: Tensor = self(torch.stack([x_HW, y_HW], dim=-1))
        return embedding_HWC.permute(2, 0, 1)[None]


class SamMaskEmbedding(nn.Module):
    """A low-resolution mask (B, 1, 4H, 4W) as a dense embedding (B, C, H, W)."""

    def __init__(self, config: SamPromptEncoderConfig) -> None:
        super().__init__()
        quarter, channels = config.mask_input_channels // 4, config.mask_input_channels
        self.activation = ACT2FN[config.hidden_act]
        self.conv1 = nn.Conv2d(1, quarter, kernel_size=2, stride=2)
        self.conv2 = nn.Conv2d(quarter, channels, kernel_size=2, stride=2)
        self.conv3 = nn.Conv2d(channels, config.hidden_size, kernel_size=1)
        self.layer_norm1 = SamLayerNorm(quarter, eps=config.layer_norm_eps)
        self.layer_norm2 = SamLayerNorm(channels, eps=config.layer_norm_eps)

    def forward(self, masks_B1YX: Tensor) -> Tensor:
        x_BMYX = self.activation(self.layer_norm1(self.conv1(masks_B1YX)))
        x_BMHW = self.activation(self.layer_norm2(self.conv2(x_BMYX)))
        out: Tensor = self.conv3(x_BMHW)
        return out


class SamPromptEncoder(nn.Module):
    """Prompts to sparse embeddings (points and box corners) and a dense one (the mask)."""

    def __init__(self, config: SamPromptEncoderConfig, shared_embedding: SamPositionalEmbedding) -> None:
        super().__init__()
        self.shared_embedding = shared_embedding
        self.mask_embed = SamMaskEmbedding(config)
        self.no_mask_embed = nn.Embedding(1, config.hidden_size)
        self.embedding_size, self.image_size = config.image_embedding_size, config.image_size
        # background point, foreground point, upper left corner, lower right corner
        self.point_embed = nn.ModuleList(
            nn.Embedding(1, config.hidden_size) for _ in range(config.num_point_embeddings)
        )
        self.not_a_point_embed = nn.Embedding(1, config.hidden_size)

    def _embed_positions(self, positions: Tensor) -> Tensor:
        """Pixel positions (..., 2), moved to the centres of their pixels, to (..., C)."""
        out: Tensor = self.shared_embedding(positions + 0.5, (self.image_size, self.image_size))
        return out

    def _embed_points(self, points_BPN2: Tensor, labels_BPN: Tensor, with_filler: bool) -> Tensor:
        if with_filler:  # without a box its two corners are missing: one filler point says so
            points_BPN2 = torch.cat([points_BPN2, torch.zeros_like(points_BPN2[:, :, :1])], dim=2)
            labels_BPN = torch.cat([labels_BPN, torch.full_like(labels_BPN[:, :, :1], NOT_A_POINT)], dim=2)
        embedding_BPNC = self._embed_positions(points_BPN2)
        label_BPN1 = labels_BPN[..., None]
        embedding_BPNC = torch.where(label_BPN1 == NOT_A_POINT, self.not_a_point_embed.weight, embedding_BPNC)
        embedding_BPNC = torch.where(label_BPN1 == PADDING_POINT, 0.0, embedding_BPNC)
        for label in (0, 1):
            added = embedding_BPNC + self.point_embed[label].weight
            embedding_BPNC = torch.where(label_BPN1 == label, added, embedding_BPNC)
        return embedding_BPNC

    def _embed_boxes(self, boxes_BP4: Tensor) -> Tensor:
        corners_BP2C = self._embed_positions(boxes_BP4.unflatten(-1, (2, 2)))
        return corners_BP2C + torch.cat([self.point_embed[2].weight, self.point_embed[3].weight])

    def forward(
        self,
        input_points: Tensor | None,
        input_labels: Tensor | None,
        input_boxes: Tensor | None,
        input_masks: Tensor | None,
    ) -> tuple[Tensor | None, Tensor]:
        """Sparse (B, P, N', C), None without points and boxes, and dense (B, C, H, W).

        `input_points` (B, P, N, 2) with `input_labels` (B, P, N), `input_boxes` (B, P, 4) in pixels of the model's
        input; `input_masks` (B, 1, 4H, 4W) logits.
        """
        sparse: list[Tensor] = []
        batch = 1
        if input_points is not None:
            if input_labels is None:
                raise ValueError("input_points need input_labels (1 object, 0 background), one per point.")
            batch = input_points.shape[0]
            sparse.append(self._embed_points(input_points, input_labels, with_filler=input_boxes is None))
        if input_boxes is not None:
            batch = input_boxes.shape[0]
            sparse.append(self._embed_boxes(input_boxes))
        if input_masks is not None:
            size = 4 * self.embedding_size
            if input_masks.ndim != 4 or input_masks.shape[-2:] != (size, size):
                raise ValueError(f"input_masks must be (batch, 1, {size}, {size}), got {tuple(input_masks.shape)}.")
            dense_BCHW = self.mask_embed(input_masks)
        else:
            size = self.embedding_size
            dense_BCHW = self.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(batch, -1, size, size)
        return torch.cat(sparse, dim=2) if sparse else None, dense_BCHW
