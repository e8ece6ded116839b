"""SpecAugment (arXiv:1904.08779): random spans of time or frequency that are set to zero in training."""

from __future__ import annotations

import torch
from torch import Tensor

from xf_audio.spec_augment import random_spans
from xf_plugin_whisper.configuration import WhisperConfig


def spec_augment(config: WhisperConfig, input_features_BFS: Tensor, attention_mask_BS: Tensor | None) -> Tensor:
    """Input features with random spans zeroed, as the `mask_time_*` and `mask_feature_*` settings of `config` say."""
    batch, bins, frames = input_features_BFS.shape
    device = input_features_BFS.device
    input_features_BFS = input_features_BFS.clone()
    if config.mask_time_prob > 0:
        time_BS = random_spans(
            (batch, frames),
            config.mask_time_prob,
            config.mask_time_length,
            attention_mask_BS,
            config.mask_time_min_masks,
        )
        input_features_BFS.masked_fill_(torch.from_numpy(time_BS).to(device)[:, None, :], 0)
    if config.mask_feature_prob > 0:
        bins_BF = random_spans(
            (batch, bins),
            config.mask_feature_prob,
            config.mask_feature_length,
            min_spans=config.mask_feature_min_masks,
        )
        input_features_BFS.masked_fill_(torch.from_numpy(bins_BF).to(device)[:, :, None], 0)
    return input_features_BFS
