"""Any encoder with any causal decoder that can attend to it (arXiv:1907.12461), found by name through the registry.

A family subclasses `CompositeSeq2Seq` and writes the forward of its kind of encoder.

Shapes: B batch, T tokens, S states of the encoder, C width, V vocabulary.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from xf import AutoConfig, AutoModel, AutoModelForCausalLM, logging
from xf.checkpoint.build import build_empty
from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
from xf.outputs import Seq2SeqLMOutput

from .losses import token_loss
from .seq2seq_inputs import shift_tokens_right

logger = logging.get_logger(__name__)


class CompositeSeq2SeqConfig(PretrainedConfig):
    """`encoder` and `decoder`: configs, or dicts with a model_type.

    Raises: ValueError where one of them is missing.
    """

    sub_configs: ClassVar = {"encoder": AutoConfig, "decoder": AutoConfig}
    has_no_defaults_at_init: ClassVar = True

    encoder: Any = None
    decoder: Any = None
    is_encoder_decoder: bool = True

    def __post_init__(self) -> None:
        missing = [name for name in ("encoder", "decoder") if getattr(self, name) is None]
        if missing:
            raise ValueError(
                f"{type(self).__name__} needs the configs of an encoder and a decoder; {' and '.join(missing)} missing."
            )

    @classmethod
    def from_encoder_decoder_configs(
        cls, encoder_config: Any, decoder_config: Any, **kwargs: Any
    ) -> CompositeSeq2SeqConfig:
        """A config of both; the decoder's is made to be a decoder's with cross-attention."""
        if not (decoder_config.is_decoder and decoder_config.add_cross_attention):
            logger.info("The decoder's config gets is_decoder=True and add_cross_attention=True.")
        decoder_config.is_decoder = decoder_config.add_cross_attention = True
        return cls(encoder=encoder_config.to_dict(), decoder=decoder_config.to_dict(), **kwargs)


def cross_attention_names(config: Any) -> list[str]:
    """Names of the parameters that a causal model of `config` has for cross-attention alone."""
    without = copy.deepcopy(config)
    without.add_cross_attention = False
    model_class = AutoModelForCausalLM._class_for(config)
    names = [
        set(build_empty(model_class, one, (), {}, torch.float32).state_dict())
        for one in (copy.deepcopy(config), without)
    ]
    return sorted(names[0] - names[1])


class CompositeSeq2Seq(PreTrainedModel):
    """Holds `encoder` and `decoder`, and `enc_to_dec_proj` where their widths differ."""

    base_model_prefix = ""
    encoder_auto_class: ClassVar[Any] = AutoModel

    def __init__(
        self, config: Any = None, encoder: PreTrainedModel | None = None, decoder: PreTrainedModel | None = None
    ) -> None:
        if config is None and (encoder is None or decoder is None):
            raise ValueError(f"{type(self).__name__} needs a config, or an encoder and a decoder.")
        if config is None:
            assert encoder is not None and decoder is not None
            config = self.config_class.from_encoder_decoder_configs(encoder.config, decoder.config)  # type: ignore[attr-defined]
        super().__init__(config)
        self._check_widths()
        self.encoder: Any = encoder or self.encoder_auto_class.from_config(config.encoder)
        self.decoder: Any = decoder or AutoModelForCausalLM.from_config(config.decoder)
        self.encoder.config, self.decoder.config = config.encoder, config.decoder = (
            self.encoder.config,
            self.decoder.config,
        )
        self._check_parts()
        if self._widths_differ():
            self.enc_to_dec_proj = nn.Linear(config.encoder.hidden_size, config.decoder.hidden_size)
        if config.tie_encoder_decoder:
            self.always_tied_weights = self._common_weights()  # type: ignore[misc]
        self.decoder_accepts = frozenset(inspect.signature(self.decoder.forward).parameters)
        self.post_init()

    def _check_widths(self) -> None:
        expected = self.config.decoder.cross_attention_hidden_size
        if expected is not None and expected != self.config.encoder.hidden_size:
            raise ValueError(
                f"The decoder attends to states of width {expected} (cross_attention_hidden_size), but the encoder's "
                f"are {self.config.encoder.hidden_size} wide."
            )

    def _check_parts(self) -> None:
        if self.encoder.get_output_embeddings() is not None:
            raise ValueError(
                f"The encoder, {type(self.encoder).__name__}, has a language head: give the model without."
            )
        if "encoder_hidden_states" not in inspect.signature(self.decoder.forward).parameters:
            raise ValueError(f"The decoder, {type(self.decoder).__name__}, cannot attend to an encoder's states.")

    def _widths_differ(self) -> bool:
        config = self.config
        return (
            config.encoder.hidden_size != config.decoder.hidden_size
            and config.decoder.cross_attention_hidden_size is None
        )

    def _common_weights(self) -> dict[str, str]:
        """{encoder's name: name in the decoder's body} of the parameters that both have."""
        prefix = f"decoder.{self.decoder.base_model_prefix}."
        body = dict(self.decoder.base_model.named_parameters(remove_duplicate=False))
        own = self.encoder.named_parameters(remove_duplicate=False)
        common = {f"encoder.{n}": prefix + n for n, p in own if n in body and body[n].shape == p.shape}
        if not common:
            raise ValueError("tie_encoder_decoder=True, but encoder and decoder have no parameters of the same name.")
        return common

    def _init_weights(self, module: nn.Module) -> None:
        if module is getattr(self, "enc_to_dec_proj", None):
            self.decoder._init_weights(module)

    # ---- parts ----------------------------------------------------------------------------------------------------

    def get_encoder(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def get_decoder(self) -> nn.Module:
        """The decoder, with its head."""
        return self.decoder

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's input embedding."""
        return self.encoder.get_input_embeddings()

    def get_output_embeddings(self) -> nn.Module | None:
        """The decoder's output layer."""
        return self.decoder.get_output_embeddings()

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Replace the decoder's output layer."""
        self.decoder.set_output_embeddings(new_embeddings)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Not here: each part has a vocabulary of its own.

        Raises: NotImplementedError always.
        """
        raise NotImplementedError("Resize one part: model.encoder or model.decoder.resize_token_embeddings(...).")

    @classmethod
    def from_encoder_decoder_pretrained(
        cls,
        encoder_pretrained_model_name_or_path: str | None = None,
        decoder_pretrained_model_name_or_path: str | None = None,
        *model_args: Any,
        **kwargs: Any,
    ) -> Any:
        """An encoder and a decoder from checkpoints of their own; the decoder's cross-attention begins at random.

        Args:
            encoder_pretrained_model_name_or_path: or encoder_model, a model.
            decoder_pretrained_model_name_or_path: or decoder_model, a causal model.
            **kwargs: encoder_... and decoder_... are for loading one part, the others are fields of the config.

        Raises: ValueError where one part is not said.
        """
        parts, whole = {}, {n: kwargs.pop(n) for n in ("decoder_start_token_id",) if n in kwargs}
        for part in ("encoder", "decoder"):
            own = {name: kwargs.pop(name) for name in list(kwargs) if name.startswith(f"{part}_")}
            parts[part] = {name.removeprefix(f"{part}_"): value for name, value in own.items()}
        encoder = parts["encoder"].pop("model", None)
        decoder = parts["decoder"].pop("model", None)
        where = (encoder_pretrained_model_name_or_path, decoder_pretrained_model_name_or_path)
        for name, model, place in (("encoder", encoder, where[0]), ("decoder", decoder, where[1])):
            if model is None and place is None:
                raise ValueError(f"Give {name}_pretrained_model_name_or_path, or {name}_model.")
        if encoder is None:
            encoder = cls.load_encoder(where[0], *model_args, **parts["encoder"])
        if decoder is None:
            decoder = cls._load_decoder(where[1], **parts["decoder"])
        config = cls.config_class.from_encoder_decoder_configs(encoder.config, decoder.config, **kwargs, **whole)  # type: ignore[attr-defined]
        return cls(encoder=encoder, decoder=decoder, config=config).eval()

    @classmethod
    def load_encoder(cls, where: Any, *model_args: Any, **kwargs: Any) -> Any:
        """The encoder of a checkpoint, with a config that is no decoder's."""
        config = kwargs.pop("config", None)
        if config is None:
            config, kwargs = AutoConfig.from_pretrained(where, **kwargs, return_unused_kwargs=True)
        config.is_decoder = config.add_cross_attention = False
        return cls.encoder_auto_class.from_pretrained(where, *model_args, config=config, **kwargs)

    @classmethod
    def _load_decoder(cls, where: Any, **kwargs: Any) -> Any:
        config = kwargs.pop("config", None)
        if config is None:
            config, kwargs = AutoConfig.from_pretrained(where, **kwargs, return_unused_kwargs=True)
        config.is_decoder = config.add_cross_attention = True
        return AutoModelForCausalLM.from_pretrained(
            where, config=config, allow_missing=cross_attention_names(config), **kwargs
        )

    # ---- forward --------------------------------------------------------------------------------------------------

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """Decoder inputs (B, T) for labels (B, T)."""
        return shift_tokens_right(labels, self.config.pad_token_id, self.config.decoder_start_token_id)

    def decode(
        self,
        encoded: Any,
        encoder_attention_mask: Tensor | None,
        labels: Tensor | None,
        num_items_in_batch: int | Tensor | None,
        inputs: dict[str, Any],
    ) -> Seq2SeqLMOutput:
        """Run the decoder on `inputs` (its keyword arguments) and the encoder's states; labels (B, T) give the loss.

        Without decoder inputs they are made from the labels, and padding among them is not attended to.
        """
        if labels is not None and inputs["input_ids"] is None and inputs["inputs_embeds"] is None:
            ids_BT = inputs["input_ids"] = self.prepare_decoder_input_ids_from_labels(labels)
            if inputs["attention_mask"] is None:
                inputs["attention_mask"] = ids_BT.ne(self.config.pad_token_id).long()
        states_BSC = encoded[0]
        if self._widths_differ():
            states_BSC = self.enc_to_dec_proj(states_BSC)
        decoded = self.decoder(
            encoder_hidden_states=states_BSC,
            encoder_attention_mask=encoder_attention_mask,
            return_dict=True,
            **{name: value for name, value in inputs.items() if value is not None or name in self.decoder_accepts},
        )
        logits_BTV = decoded.logits
        return Seq2SeqLMOutput(
            loss=None if labels is None else token_loss(logits_BTV, labels, num_items_in_batch),
            logits=logits_BTV,
            past_key_values=decoded.get("past_key_values"),
            decoder_hidden_states=decoded.get("hidden_states"),
            decoder_attentions=decoded.get("attentions"),
            cross_attentions=decoded.get("cross_attentions"),
            encoder_last_hidden_state=encoded[0],
            encoder_hidden_states=encoded.get("hidden_states"),
            encoder_attentions=encoded.get("attentions"),
        )
