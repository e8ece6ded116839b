"""Settings of the method, as config.json keeps them."""

from __future__ import annotations

from typing import Any

from xf.interfaces.quantizer import QuantizationConfig

_CHOICES = {"activation_scheme": ("dynamic", "none"), "kernel": ("auto", "reference")}


class Int8Config(QuantizationConfig):
    """8-bit weights with one scale for each output channel.

    activation_scheme: "dynamic" quantizes activations with one scale for each token, "none" leaves them as they are.
    kernel: "auto" takes torch's fastest one, "reference" plain operations that compute the same.
    modules_to_not_convert: names, or patterns with *, of modules left as they are; None: the output embedding.

    Raises: ValueError for another value, naming the good ones.
    """

    quant_method = "int8"

    def __init__(
        self,
        activation_scheme: str = "dynamic",
        kernel: str = "auto",
        modules_to_not_convert: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.activation_scheme, self.kernel = activation_scheme, kernel
        super().__init__(modules_to_not_convert=modules_to_not_convert, **kwargs)

    def post_init(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(choices)}.")
