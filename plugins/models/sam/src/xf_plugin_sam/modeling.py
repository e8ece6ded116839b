"""SAM: the models. Source: Kirillov et al. 2023, "Segment Anything", arXiv:2304.02643.

Shapes: B images; P prompts per image; N points of a prompt; M masks per prompt; Y, X pixels of the model's input;
C width; H, W patches per column and row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf.interfaces.model import model_forward
from xf.outputs import ModelOutput
from xf_plugin_sam.base import SamPreTrainedModel
from xf_plugin_sam.configuration import SamConfig, SamVisionConfig
from xf_plugin_sam.mask_decoder import SamMaskDecoder
from xf_plugin_sam.prompts import SamPositionalEmbedding, SamPromptEncoder
from xf_plugin_sam.vision import SamVisionEncoder, SamVisionEncoderOutput

__all__ = ["SamImageSegmentationOutput", "SamModel", "SamPreTrainedModel", "SamVisionEncoderOutput", "SamVisionModel"]


@dataclass
class SamImageSegmentationOutput(ModelOutput):
    """What `SamModel` returns.

    - `iou_scores` (B, P, M): the IoU that each mask is expected to have with the truth;
    - `pred_masks` (B, P, M, 4H, 4W): mask logits at a quarter of the input's resolution;
    - `vision_hidden_states`, `vision_attentions`: see `SamVisionEncoderOutput`;
    - `mask_decoder_attentions`: per decoder layer what the patches took from the tokens, (B * P, 1, H * W, C).
    """

    iou_scores: Tensor | None = None
    pred_masks: Tensor | None = None
    vision_hidden_states: tuple[Tensor, ...] | None = None
    vision_attentions: tuple[Tensor, ...] | None = None
    mask_decoder_attentions: tuple[Tensor, ...] | None = None


class SamVisionModel(SamPreTrainedModel):
    """The image encoder alone."""

    config_class = SamVisionConfig

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__(config)
        self.vision_encoder = SamVisionEncoder(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.vision_encoder.patch_embed

    @model_forward
    def forward(
        self,
        pixel_values: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> SamVisionEncoderOutput:
        """Encode `pixel_values` (B, 3, Y, X); the embedding (B, C, H, W) is `last_hidden_state`."""
        if pixel_values is None:
            raise ValueError("pixel_values is missing.")
        out: SamVisionEncoderOutput = self.vision_encoder(pixel_values, output_attentions, output_hidden_states)
        return out


class SamModel(SamPreTrainedModel):
    """Masks of an image for points, boxes or a mask as prompts."""

    # one module in two places; published files hold its table once or twice
    always_tied_weights: ClassVar[dict[str, str]] = {
        "prompt_encoder.shared_embedding.positional_embedding": "shared_image_embedding.positional_embedding"
    }

    def __init__(self, config: SamConfig) -> None:
        super().__init__(config)
        self.shared_image_embedding = SamPositionalEmbedding(config.vision_config)
        self.vision_encoder = SamVisionEncoder(config.vision_config)
        self.prompt_encoder = SamPromptEncoder(config.prompt_encoder_config, self.shared_image_embedding)
        self.mask_decoder = SamMaskDecoder(config.mask_decoder_config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.vision_encoder.patch_embed

    def get_image_wide_positional_embeddings(self) -> Tensor:
        """The positional embedding (1, C, H, W) of the image's patches."""
        return self.shared_image_embedding.grid(self.config.prompt_encoder_config.image_embedding_size)

    @torch.no_grad()
    def get_image_embeddings(
        self,
        pixel_values: Tensor,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The image embeddings (B, C, H, W), to be computed once per image and given to `forward` with many prompts."""
        embedding: Tensor = self.vision_encoder(pixel_values).last_hidden_state
        return embedding

    @torch.no_grad()
    def get_prompt_embeddings(
        self,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
    ) -> tuple[Tensor | None, Tensor]:
        """Sparse (B, P, N', C) and dense (B, C, H, W) prompt embeddings; see `forward` for the arguments."""
        out: tuple[Tensor | None, Tensor] = self.prompt_encoder(input_points, input_labels, input_boxes, input_masks)
        return out

    @model_forward
    def forward(
        self,
        pixel_values: Tensor | None = None,
        input_points: Tensor | None = None,
        input_labels: Tensor | None = None,
        input_boxes: Tensor | None = None,
        input_masks: Tensor | None = None,
        image_embeddings: Tensor | None = None,
        multimask_output: bool = True,
        attention_similarity: Tensor | None = None,
        target_embedding: Tensor | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        **kwargs: Any,
    ) -> SamImageSegmentationOutput:
        """Segment what the prompts point at.

        - `pixel_values` (B, 3, Y, X), or `image_embeddings` (B, C, H, W) from `get_image_embeddings`;
        - `input_points` (B, P, N, 2): x, y in pixels of the model's input; `input_labels` (B, P, N): 1 object (the
          default), 0 background, -1 no point, -10 padding;
        - `input_boxes` (B, P, 4): left, top, right, bottom; `input_masks` (B, 1, 4H, 4W): logits of an earlier mask;
        - `multimask_output`: three candidates per prompt (for ambiguous ones), or a single mask;
        - `attention_similarity` and `target_embedding`: guidance by an example (PerSAM, arXiv:2305.03048).

        ValueError if shapes or batch sizes do not fit, or if not exactly one of the two image inputs is given.
        """
        _check_inputs(pixel_values, image_embeddings, input_points, input_boxes)
        if input_points is not None and input_labels is None:
            input_labels = torch.ones_like(input_points[..., 0], dtype=torch.int)
        vision = SamVisionEncoderOutput(last_hidden_state=image_embeddings)
        if pixel_values is not None:
            vision = self.vision_encoder(pixel_values, output_attentions, output_hidden_states)
        embedding_BCHW = vision.last_hidden_state
        assert embedding_BCHW is not None, "one of the two image inputs was given"
        for name, prompt in (("input_points", input_points), ("input_boxes", input_boxes)):
            if prompt is not None and prompt.shape[0] != embedding_BCHW.shape[0]:
                raise ValueError(
                    f"{name} are for {prompt.shape[0]} images, but there are {embedding_BCHW.shape[0]}. Several "
                    "prompts of one image belong on the second axis: (images, prompts, ...)."
                )
        sparse_BPNC, dense_BCHW = self.prompt_encoder(input_points, input_labels, input_boxes, input_masks)
        masks_BPMYX, iou_BPM, taken = self.mask_decoder(
            embedding_BCHW,
            self.get_image_wide_positional_embeddings(),
            sparse_BPNC,
            dense_BCHW,
            multimask_output,
            attention_similarity,
            target_embedding,
        )
        return SamImageSegmentationOutput(
            iou_scores=iou_BPM,
            pred_masks=masks_BPMYX,
            vision_hidden_states=vision.hidden_states,
            vision_attentions=vision.attentions,
            mask_decoder_attentions=taken if output_attentions else None,
        )


def _check_inputs(
    pixels: Tensor | None, embeddings: Tensor | None, points: Tensor | None, boxes: Tensor | None
) -> None:
    if (pixels is None) == (embeddings is None):
        raise ValueError("Give exactly one of pixel_values and image_embeddings.")
    if points is not None and (points.ndim != 4 or points.shape[-1] != 2):
        raise ValueError(f"input_points must be (images, prompts, points of a prompt, 2), got {tuple(points.shape)}.")
    if boxes is not None and (boxes.ndim != 3 or boxes.shape[-1] != 4):
        raise ValueError(f"input_boxes must be (images, prompts, 4), got {tuple(boxes.shape)}.")
    if points is not None and boxes is not None and points.shape[1] != boxes.shape[1]:
        raise ValueError(
            f"There are {points.shape[1]} prompts of points but {boxes.shape[1]} boxes: each prompt needs one box."
        )
