"""Configs of SAM (Kirillov et al. 2023, "Segment Anything", arXiv:2304.02643); defaults are those of SAM ViT-B."""

from __future__ import annotations

from typing import Any, ClassVar

from xf.interfaces.config import PretrainedConfig


class SamPromptEncoderConfig(PretrainedConfig):
    """The encoder of points, boxes and masks. `image_embedding_size`, in patches per edge, follows from the others."""

    base_config_key = "prompt_encoder_config"

    hidden_size: int = 256
    image_size: int = 1024
    patch_size: int = 16
    mask_input_channels: int = 16
    num_point_embeddings: int = 4
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        self.image_embedding_size = self.image_size // self.patch_size


class SamMaskDecoderConfig(PretrainedConfig):
    """The two-way transformer that turns prompt tokens and image embeddings into masks and their predicted IoU."""

    base_config_key = "mask_decoder_config"

    hidden_size: int = 256
    hidden_act: str = "relu"
    mlp_dim: int = 2048
    num_hidden_layers: int = 2
    num_attention_heads: int = 8
    attention_downsample_rate: int = 2
    num_multimask_outputs: int = 3
    iou_head_depth: int = 3
    iou_head_hidden_dim: int = 256
    layer_norm_eps: float = 1e-6


class SamVisionConfig(PretrainedConfig):
    """The image encoder: a ViT with windowed attention, but for the layers in `global_attn_indexes`.

    `mlp_dim` defaults to `hidden_size * mlp_ratio`. `num_pos_feats` is half the width of the prompt encoder.
    """

    model_type = "sam_vision_model"
    base_config_key = "vision_config"

    hidden_size: int = 768
    output_channels: int = 256
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    num_channels: int = 3
    image_size: int = 1024
    patch_size: int = 16
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    attention_dropout: float = 0.0
    initializer_range: float = 1e-10
    qkv_bias: bool = True
    mlp_ratio: float = 4.0
    use_abs_pos: bool = True
    use_rel_pos: bool = True
    window_size: int = 14
    global_attn_indexes: list[int] = [2, 5, 8, 11]
    num_pos_feats: int = 128
    mlp_dim: int | None = None

    def __post_init__(self) -> None:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}."
            )
        if self.mlp_dim is None:
            self.mlp_dim = int(self.hidden_size * self.mlp_ratio)


class SamConfig(PretrainedConfig):
    """SAM: image encoder, prompt encoder and mask decoder. Each part is a config, a dict, or None for the defaults."""

    model_type = "sam"
    sub_configs: ClassVar[dict[str, Any]] = {
        "vision_config": SamVisionConfig,
        "prompt_encoder_config": SamPromptEncoderConfig,
        "mask_decoder_config": SamMaskDecoderConfig,
    }

    vision_config: SamVisionConfig | dict[str, Any] | None = None
    prompt_encoder_config: SamPromptEncoderConfig | dict[str, Any] | None = None
    mask_decoder_config: SamMaskDecoderConfig | dict[str, Any] | None = None
    initializer_range: float = 0.02
