"""The documented decoding modes."""

from __future__ import annotations

from enum import Enum


class GenerationMode(str, Enum):
    """What `GenerationConfig.get_generation_mode` answers; the value is the name in the registry `xf.v1.decoding`."""

    CONTRASTIVE_SEARCH = "contrastive_search"
    GREEDY_SEARCH = "greedy_search"
    SAMPLE = "sample"
    ASSISTED_GENERATION = "assisted_generation"
    DOLA_GENERATION = "dola_generation"
    BEAM_SEARCH = "beam_search"
    BEAM_SAMPLE = "beam_sample"
    CONSTRAINED_BEAM_SEARCH = "constrained_beam_search"
    GROUP_BEAM_SEARCH = "group_beam_search"
