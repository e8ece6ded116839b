"""What all models of SAM share."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.attention import AttentionNeeds
from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
from xf_plugin_sam.configuration import SamConfig


class SamPreTrainedModel(PreTrainedModel):
    """Base of SAM's models."""

    config_class: ClassVar[type[PretrainedConfig]] = SamConfig
    base_model_prefix = "sam"
    main_input_name = "pixel_values"
    attention_needs: ClassVar[AttentionNeeds] = AttentionNeeds(additive_bias=True, dropout=True)
