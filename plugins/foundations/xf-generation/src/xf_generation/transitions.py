"""compute_transition_scores: what each generated token scored, from what `generate` returned.

Shapes: R rows of the steps' scores (batch times beams), B returned sequences, T tokens, G generated, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def transition_scores(
    sequences: Tensor, scores: Sequence[Tensor], beam_indices: Tensor | None, normalize_logits: bool
) -> Tensor:
    """(B, G): entry (b, g) is the score of the g-th generated token of sequence b, 0 behind the end of a beam's text.

    sequences: (B, T). scores: per step (R, V). beam_indices: (B, G) the row of every token, below 0 behind the end.
    Raises: ValueError for sequences, scores and beam_indices that do not belong together.
    """
    if not scores:
        raise ValueError("There are no scores: call generate with return_dict_in_generate=True, output_scores=True.")
    scores_GRV = torch.stack(tuple(scores))
    if normalize_logits:
        scores_GRV = scores_GRV.log_softmax(dim=-1)
    if beam_indices is None:
        rows_BG = torch.arange(scores_GRV.shape[1], device=sequences.device)[:, None].expand(-1, len(scores_GRV))
    else:
        generated = int((beam_indices >= 0).sum(dim=-1).max())
        rows_BG = beam_indices[:, :generated]
    steps = rows_BG.shape[1]
    if len(rows_BG) != len(sequences) or steps > min(len(scores_GRV), sequences.shape[1]):
        raise ValueError(
            f"{len(sequences)} sequences of {sequences.shape[1]} tokens do not go with {len(scores_GRV)} steps of "
            f"{scores_GRV.shape[1]} rows"
            + ("; after beam search give beam_indices too." if beam_indices is None else " and these beam_indices.")
        )
    behind_BG = rows_BG < 0
    tokens_BG = sequences[:, sequences.shape[1] - steps :].masked_fill(behind_BG, 0)
    step_G = torch.arange(steps, device=sequences.device)
    found_BG: Tensor = scores_GRV[step_G, rows_BG.clamp(min=0), tokens_BG]
    return found_BG.masked_fill(behind_BG, 0.0)
