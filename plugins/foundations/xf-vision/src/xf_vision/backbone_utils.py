"""Backbones: models whose output is the feature maps of chosen stages, and the part of their configs that chooses.

The stages are named by the config (`stage_names`, e.g. stem, stage1, ...). `out_features` (names) and `out_indices`
(places in `stage_names`, negative ones count from the end) say the same and are kept in step; without either it is the
last stage.
"""

from __future__ import annotations

import copy
import enum
import inspect
from collections.abc import Iterable
from typing import Any


class BackboneType(enum.Enum):
    """Who provides the layers: the timm library, or xf itself."""

    TIMM = "timm"
    TRANSFORMERS = "transformers"


def verify_out_features_out_indices(
    out_features: Iterable[str] | None, out_indices: Iterable[int] | None, stage_names: Iterable[str] | None
) -> None:
    """ValueError unless both are None or duplicate-free lists in the order of the stages that say the same."""
    if stage_names is None:
        raise ValueError("`stage_names` must be set before stages are chosen.")
    stages = list(stage_names)
    if out_features is not None:
        if not isinstance(out_features, list):
            raise ValueError(f"`out_features` must be a list, got {type(out_features).__name__}.")
        unknown = [name for name in out_features if name not in stages]
        if unknown:
            raise ValueError(f"`out_features` must name stages of {stages}; unknown: {unknown}.")
        if len(set(out_features)) != len(out_features):
            raise ValueError(f"`out_features` must not name a stage twice, got {out_features}.")
        if out_features != [name for name in stages if name in out_features]:
            raise ValueError(f"`out_features` must be in the order of the stages {stages}, got {out_features}.")
    if out_indices is not None:
        _verify_indices(out_indices, stages)
    if out_features is not None and out_indices is not None:
        if len(out_features) != len(list(out_indices)):
            raise ValueError(f"`out_features` {out_features} and `out_indices` {out_indices} differ in length.")
        if out_features != [stages[index] for index in out_indices]:
            raise ValueError(f"`out_features` {out_features} and `out_indices` {out_indices} name different stages.")


def _verify_indices(out_indices: Any, stages: list[str]) -> None:
    if not isinstance(out_indices, list):
        raise ValueError(f"`out_indices` must be a list, got {type(out_indices).__name__}.")
    outside = [index for index in out_indices if not -len(stages) <= index < len(stages)]
    if outside:
        raise ValueError(f"`out_indices` must be places in the {len(stages)} stages {stages}; outside: {outside}.")
    positive = [index % len(stages) for index in out_indices]
    if len(set(positive)) != len(positive):
        raise ValueError(f"`out_indices` must not choose a stage twice, got {out_indices}.")
    if positive != sorted(positive):
        raise ValueError(f"`out_indices` must be in the order of the stages, got {out_indices}.")


def _align_output_features_output_indices(
    out_features: list[str] | None, out_indices: list[int] | tuple[int, ...] | None, stage_names: list[str]
) -> tuple[list[str], list[int]]:
    """Fill in what is None from the other; the last stage if both are."""
    if out_indices is None and out_features is None:
        return [stage_names[-1]], [len(stage_names) - 1]
    if out_indices is None:
        assert out_features is not None
        return out_features, [stage_names.index(name) for name in out_features]
    if out_features is None:
        return [stage_names[index] for index in out_indices], list(out_indices)
    return out_features, list(out_indices)


def get_aligned_output_features_output_indices(
    out_features: list[str] | None, out_indices: list[int] | tuple[int, ...] | None, stage_names: list[str]
) -> tuple[list[str], list[int]]:
    """(out_features, out_indices) that say the same, after a check; see the module's docstring."""
    indices = list(out_indices) if out_indices is not None else None
    verify_out_features_out_indices(out_features, indices, stage_names)
    aligned = _align_output_features_output_indices(out_features, indices, stage_names)
    verify_out_features_out_indices(*aligned, stage_names)
    return aligned


class _ChoosesStages:
    """`out_features` and `out_indices` as a pair of properties over `stage_names`."""

    stage_names: list[str]

    def _align(self, out_features: Any, out_indices: Any) -> None:
        self._out_features, self._out_indices = get_aligned_output_features_output_indices(
            out_features, out_indices, self.stage_names
        )

    @property
    def out_features(self) -> Any:
        """Names of the stages whose feature maps are returned."""
        return self.__dict__.get("_out_features")

    @out_features.setter
    def out_features(self, out_features: list[str] | None) -> None:
        if self.__dict__.get("stage_names") is None:  # while a config is being built
            self._out_features = out_features
        else:
            self._align(out_features, None)

    @property
    def out_indices(self) -> Any:
        """Places of these stages in `stage_names`."""
        return self.__dict__.get("_out_indices")

    @out_indices.setter
    def out_indices(self, out_indices: list[int] | tuple[int, ...] | None) -> None:
        if self.__dict__.get("stage_names") is None:
            self._out_indices = out_indices
        else:
            self._align(None, out_indices)


class BackboneConfigMixin(_ChoosesStages):
    """The part of a config that chooses stages; stands before `PretrainedConfig` among the bases.

    A declared config lists `out_features` and `out_indices` as fields and sets `stage_names` in `__post_init__`::

        class ToyConfig(BackboneConfigMixin, PretrainedConfig):
            model_type = "toy"
            depths: list[int] = [2, 2]
            out_features: list[str] | None = None
            out_indices: list[int] | None = None

            def __post_init__(self) -> None:
                self.stage_names = ["stem", *(f"stage{i + 1}" for i in range(len(self.depths)))]

    A config with its own `__init__` sets `stage_names` and then the aligned `_out_features` and `_out_indices`.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # Declared fields are class attributes, which would hide the properties; the config base has noted them already.
        for name in ("out_features", "out_indices"):
            if name in cls.__dict__ and not isinstance(cls.__dict__[name], property):
                delattr(cls, name)
        fields = getattr(cls, "_fields", None)
        if fields is not None and "out_features" in fields:
            cls._fields = {**fields, "stage_names": None}  # type: ignore[attr-defined]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.__dict__.get("stage_names") is not None:
            self._align(self.out_features, self.out_indices)

    def to_dict(self) -> dict[str, Any]:
        """The config, with the chosen stages under their public names."""
        output: dict[str, Any] = super().to_dict()  # type: ignore[misc]
        output.pop("_out_features", None)
        output.pop("_out_indices", None)
        return {**output, "out_features": self.out_features, "out_indices": self.out_indices}


class BackboneMixin(_ChoosesStages):
    """The part of a backbone model that knows its stages; stands beside `PreTrainedModel` among the bases.

    `__init__` calls `self._init_backbone(config)` and sets `num_features`, the channels of every stage in order.
    `forward` returns a `BackboneOutput` whose `feature_maps` are those of `out_features`.
    """

    backbone_type: BackboneType | None = None
    num_features: Any = None

    def _init_backbone(self, config: Any) -> None:
        """Take the stages from the config, or from the timm model in `self._backbone`."""
        self.config = config
        self.use_timm_backbone = getattr(config, "use_timm_backbone", False)
        self.backbone_type = BackboneType.TIMM if self.use_timm_backbone else BackboneType.TRANSFORMERS
        if self.use_timm_backbone:
            self._init_timm_backbone(config)
        else:
            self._init_transformers_backbone(config)

    def _init_transformers_backbone(self, config: Any) -> None:
        stage_names = getattr(config, "stage_names", None)
        if stage_names is None:
            raise ValueError(f"{type(config).__name__} has no `stage_names`; a backbone's config needs them.")
        self.stage_names = list(stage_names)
        self._align(getattr(config, "out_features", None), getattr(config, "out_indices", None))
        self.num_features = None

    def _init_timm_backbone(self, config: Any) -> None:
        backbone = getattr(self, "_backbone", None)
        if backbone is None:
            raise ValueError("`self._backbone` must hold the timm model before _init_backbone is called.")
        info = backbone.feature_info
        self.stage_names = [stage["module"] for stage in info.info]
        self.num_features = [stage["num_chs"] for stage in info.info]
        if config.out_features is not None:  # timm built the model for indices; names must agree with them
            verify_out_features_out_indices(config.out_features, None, self.stage_names)
        out_indices = list(info.out_indices)
        out_features = info.module_name()
        self._align(out_features, out_indices)

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """Channels of every stage by name."""
        return {stage: self.num_features[i] for i, stage in enumerate(self.stage_names)}

    @property
    def channels(self) -> list[int]:
        """Channels of the chosen stages."""
        return [self.out_feature_channels[name] for name in self.out_features]

    def forward_with_filtered_kwargs(self, *args: Any, **kwargs: Any) -> Any:
        """`forward` without the keyword arguments that it does not know."""
        known = {**inspect.signature(self.forward).parameters, "return_dict": None}
        return self(*args, **{name: value for name, value in kwargs.items() if name in known})  # type: ignore[operator]

    def forward(
        self,
        pixel_values: Any,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Feature maps of `pixel_values` (B, C, H, W)."""
        raise NotImplementedError(f"{type(self).__name__} must implement forward().")

    def to_dict(self) -> dict[str, Any]:
        """The chosen stages, as a config states them."""
        return {"out_features": self.out_features, "out_indices": self.out_indices}


def verify_backbone_config_arguments(
    use_timm_backbone: bool,
    use_pretrained_backbone: bool,
    backbone: str | None,
    backbone_config: Any,
    backbone_kwargs: dict[str, Any] | None,
) -> None:
    """ValueError if a model's config says twice, in ways that exclude each other, which backbone it has."""
    if backbone_config is not None and backbone is not None:
        raise ValueError("Give either `backbone` or `backbone_config`, not both.")
    if backbone_config is not None and use_timm_backbone:
        raise ValueError("Give either `backbone_config` or `use_timm_backbone`, not both.")
    if backbone_config is not None and backbone_kwargs:
        raise ValueError("`backbone_kwargs` are for a `backbone` by name; put them into `backbone_config`.")


def load_backbone(config: Any) -> Any:
    """The backbone that a model's config asks for.

    `config.backbone_config` builds it with random weights; `config.backbone`, a checkpoint or timm name, loads it if
    `config.use_pretrained_backbone`, else builds it. A config with neither is taken as the backbone's own.
    """
    from xf import AutoBackbone, AutoConfig

    backbone_config = getattr(config, "backbone_config", None)
    use_timm = getattr(config, "use_timm_backbone", None)
    pretrained = getattr(config, "use_pretrained_backbone", None)
    name = getattr(config, "backbone", None)
    options = dict(getattr(config, "backbone_kwargs", None) or {})
    if options and backbone_config is not None:
        raise ValueError("`backbone_kwargs` are for a `backbone` by name; put them into `backbone_config`.")
    if pretrained and name is None:
        raise ValueError("`use_pretrained_backbone` needs the name of a `backbone`.")
    if backbone_config is not None:
        return AutoBackbone.from_config(backbone_config)
    if name is None:
        return AutoBackbone.from_config(config)
    if use_timm:
        return AutoBackbone.from_pretrained(name, use_timm_backbone=True, use_pretrained_backbone=pretrained, **options)
    if pretrained:
        return AutoBackbone.from_pretrained(name, **options)
    return AutoBackbone.from_config(copy.deepcopy(AutoConfig.from_pretrained(name, **options)))
