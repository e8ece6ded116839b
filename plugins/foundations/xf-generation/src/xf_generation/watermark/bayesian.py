"""BayesianDetectorModel: the probability that a text is marked, from its g-values (doi:10.1038/s41586-024-08025-4,
supplementary section on Bayesian detection).

Trained on g-values of marked and unmarked texts; two models of their likelihood are compared by Bayes' rule.
Shapes: B texts, N n-grams, D watermarking depth (keys).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xf.interfaces.config import PretrainedConfig
from xf.interfaces.model import PreTrainedModel
from xf.outputs import ModelOutput

from .synthid import SynthIDTextWatermarkLogitsProcessor

_LEAST_PROBABILITY = 1e-5  # of the prior and in the loss: a logarithm stays finite
_LEAST_LIKELIHOOD = 1e-30
_START, _SPREAD = -2.5, 0.001  # of the weights, in the authors' published code


class BayesianDetectorConfig(PretrainedConfig):
    """watermarking_depth: number of keys. base_rate: the part of texts that is marked, before looking at one.

    model_name, watermarking_config: what the detector was trained for, see `set_detector_information`.
    """

    watermarking_depth: int | None = None
    base_rate: float = 0.5
    model_name: str | None = None
    watermarking_config: Any = None

    def set_detector_information(self, model_name: str, watermarking_config: Any) -> None:
        """Note which model's marks, and which settings of them, the detector knows."""
        self.model_name = model_name
        to_dict = getattr(watermarking_config, "to_dict", None)
        self.watermarking_config = watermarking_config if to_dict is None else to_dict()


@dataclass(repr=False)
class BayesianWatermarkDetectorModelOutput(ModelOutput):
    """loss: a number. posterior_probabilities: (B,) the probability that each text is marked."""

    loss: Tensor | None = None
    posterior_probabilities: Tensor | None = None


class BayesianDetectorWatermarkedLikelihood(nn.Module):
    """P(g-value | marked): of two different tokens in a match the one with g = 1 wins; two equal ones draw.

    Whether a match of layer i has two different tokens is a logistic regression on the g-values of earlier layers.
    """

    def __init__(self, watermarking_depth: int) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.empty(1, 1, watermarking_depth))
        self.delta = nn.Parameter(torch.empty(1, 1, watermarking_depth, watermarking_depth))

    def forward(self, g_values: Tensor) -> Tensor:
        """(B, N, D) the likelihood of each of g_values (B, N, D), which are 0 or 1."""
        earlier_DD = self.delta[0, 0].tril(diagonal=-1)
        two_BND = (g_values @ earlier_DD.T + self.beta).sigmoid()
        return 0.5 * ((g_values + 0.5) * two_BND + (1 - two_BND))


class BayesianDetectorModel(PreTrainedModel):
    """The posterior probability that a text with these g-values is marked; with labels also the loss to train on.

    Raises: ValueError for a config without watermarking_depth.
    """

    config_class = BayesianDetectorConfig
    base_model_prefix = "model"
    main_input_name = "g_values"

    def __init__(self, config: BayesianDetectorConfig) -> None:
        super().__init__(config)
        if not config.watermarking_depth or config.watermarking_depth < 1:
            raise ValueError(
                f"watermarking_depth is {config.watermarking_depth}; it must be the number of keys of the watermark."
            )
        self.watermarking_depth, self.base_rate = config.watermarking_depth, config.base_rate
        self.likelihood_model_watermarked = BayesianDetectorWatermarkedLikelihood(config.watermarking_depth)
        self.prior = nn.Parameter(torch.tensor([config.base_rate]))
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, BayesianDetectorWatermarkedLikelihood):
            module.beta.copy_(_START + _SPREAD * torch.randn(module.beta.shape))
            module.delta.copy_(_SPREAD * torch.randn(module.delta.shape))
        elif isinstance(module, BayesianDetectorModel):
            module.prior.fill_(module.base_rate)

    def forward(
        self,
        g_values: Tensor,
        mask: Tensor,
        labels: Tensor | None = None,
        loss_batch_weight: float = 1,
        return_dict: bool = False,
    ) -> Any:
        """g_values (B, N, D), 0 or 1; mask (B, N), 1 where they count; labels (B,) 1 for marked texts.

        The loss is the mean binary cross entropy plus loss_batch_weight times the squared weights between layers: give
        one over the number of batches. Returns a BayesianWatermarkDetectorModelOutput, or (probabilities, loss if there
        are labels).
        """
        likelihoods = self.likelihood_model_watermarked(g_values.to(self.prior.dtype))
        log_odds = likelihoods.clamp(min=_LEAST_LIKELIHOOD).log() - torch.full_like(likelihoods, 0.5).log()
        prior = self.prior.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
        evidence_B = (log_odds * mask.unsqueeze(-1)).sum(dim=(1, 2))
        posterior_B = (evidence_B + prior.log() - (1 - prior).log()).sigmoid()
        loss = None
        if labels is not None:
            bounded_B = posterior_B.clamp(_LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
            loss = nn.functional.binary_cross_entropy(bounded_B, labels.to(bounded_B.dtype))
            loss = loss + loss_batch_weight * self.likelihood_model_watermarked.delta.square().sum()
        if not return_dict:
            return (posterior_B,) if loss is None else (posterior_B, loss)
        return BayesianWatermarkDetectorModelOutput(loss=loss, posterior_probabilities=posterior_B)


class SynthIDTextWatermarkDetector:
    """Finds marks of `SynthIDTextWatermarkLogitsProcessor`.

    detector_module: a trained `BayesianDetectorModel`. logits_processor: with the settings of generation. tokenizer:
    of the model; its eos_token_id ends a text.
    """

    def __init__(
        self,
        detector_module: BayesianDetectorModel,
        logits_processor: SynthIDTextWatermarkLogitsProcessor,
        tokenizer: Any,
    ) -> None:
        self.detector_module, self.logits_processor, self.tokenizer = detector_module, logits_processor, tokenizer

    def __call__(self, tokenized_outputs: Tensor) -> Any:
        """What `detector_module` says of answers (B, T), without their prompts.

        n-grams after the end token and those whose context came before do not count.
        Raises: ValueError for answers shorter than one n-gram.
        """
        processor = self.logits_processor
        fresh_BN = processor.compute_context_repetition_mask(tokenized_outputs)
        written_BT = processor.compute_eos_token_mask(tokenized_outputs, self.tokenizer.eos_token_id)
        mask_BN = fresh_BN & written_BT[:, processor.ngram_len - 1 :]
        return self.detector_module(processor.compute_g_values(tokenized_outputs), mask_BN)
