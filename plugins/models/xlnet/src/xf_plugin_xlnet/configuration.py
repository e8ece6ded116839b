"""XLNetConfig (arXiv:1906.08237)."""

from __future__ import annotations

from typing import ClassVar

from xf.interfaces.config import PretrainedConfig


class XLNetConfig(PretrainedConfig):
    """The defaults are those of XLNet large, cased.

    attn_type: "bi" or "uni" (causal). untie_r: kept for the files: biases belong to layers. mem_len, reuse_len: how
    many states (all if 0 or None), and of how many tokens, are kept as mems. use_mems_eval, use_mems_train: whether a
    forward returns mems. bi_data: the second half of a batch runs backwards. clamp_len: distances beyond it are one
    (-1: none are). same_length: every token sees as many before it. start_n_top, end_n_top: beams of the head for
    question answering. summary_*: see `xf_blocks.sequence_summary`.
    Raises: ValueError for heads that do not divide the width, or another attn_type.
    """

    model_type = "xlnet"
    attribute_map: ClassVar[dict[str, str]] = {
        "n_token": "vocab_size",
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    }

    vocab_size: int = 32000
    d_model: int = 1024
    n_layer: int = 24
    n_head: int = 16
    d_inner: int = 4096
    ff_activation: str = "gelu"
    untie_r: bool = True
    attn_type: str = "bi"
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    dropout: float = 0.1
    mem_len: int | None = 512
    reuse_len: int | None = None
    use_mems_eval: bool = True
    use_mems_train: bool = False
    bi_data: bool = False
    clamp_len: int = -1
    same_length: bool = False
    summary_type: str = "last"
    summary_use_proj: bool = True
    summary_activation: str | None = "tanh"
    summary_last_dropout: float | None = 0.1
    start_n_top: int = 5
    end_n_top: int = 5
    pad_token_id: int | None = 5
    bos_token_id: int | None = 1
    eos_token_id: int | None = 2
    d_head: int | None = None

    def __post_init__(self) -> None:
        if self.d_model % self.n_head or self.d_head not in (None, self.d_model // self.n_head):
            raise ValueError(
                f"d_model ({self.d_model}) must be n_head ({self.n_head}) times d_head ({self.d_head or 'any'})."
            )
        if self.attn_type not in ("bi", "uni"):
            raise ValueError(f'attn_type is {self.attn_type!r}; it can be "bi" or "uni".')
        self.d_head = self.d_model // self.n_head
