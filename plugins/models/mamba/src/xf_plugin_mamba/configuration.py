"""MambaConfig (arXiv:2312.00752)."""

from __future__ import annotations

import math

from xf.interfaces.config import PretrainedConfig


class MambaConfig(PretrainedConfig):
    """The defaults are those of Mamba 130M.

    expand: inner width in multiples of hidden_size. time_step_rank: "auto" is hidden_size / 16, rounded up.
    time_step_*: random start of the time steps. use_mambapy: named by files, of no effect on results.
    """

    model_type = "mamba"

    vocab_size: int = 50280
    hidden_size: int = 768
    state_size: int = 16
    num_hidden_layers: int = 32
    layer_norm_epsilon: float = 1e-5
    pad_token_id: int | None = 0
    bos_token_id: int | None = 0
    eos_token_id: int | list[int] | None = 0
    expand: int = 2
    conv_kernel: int = 4
    use_bias: bool = False
    use_conv_bias: bool = True
    hidden_act: str = "silu"
    initializer_range: float = 0.1
    residual_in_fp32: bool = True
    time_step_rank: int | str = "auto"
    time_step_scale: float = 1.0
    time_step_min: float = 0.001
    time_step_max: float = 0.1
    time_step_init_scheme: str = "random"
    time_step_floor: float = 1e-4
    rescale_prenorm_residual: bool = False
    use_cache: bool = True
    use_mambapy: bool = False

    def __post_init__(self) -> None:
        self.intermediate_size = int(self.expand * self.hidden_size)
        if self.time_step_rank == "auto":
            self.time_step_rank = math.ceil(self.hidden_size / 16)
        if not isinstance(self.time_step_rank, int) or self.time_step_rank < 1:
            raise ValueError(f"time_step_rank must be a positive integer or 'auto', not {self.time_step_rank!r}.")
        if self.time_step_init_scheme not in ("random", "constant"):
            raise ValueError(f"time_step_init_scheme is {self.time_step_init_scheme!r}; it can be random or constant.")
