"""Times of tokens from cross attention, by dynamic time warping.

Some heads look at the moment of sound that a token spells. Their weights, normalized over the tokens and smoothed over
time, are a map of how well each token fits each moment; the cheapest monotonic path through it says when each token
begins. (The method of the published Whisper code; dynamic time warping: Sakoe & Chiba 1978.)

Shapes: B batch, L tokens, T encoder positions (20 ms each), A alignment heads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xf_audio.arrays import Array


def median_filter(values: Tensor, width: int) -> Tensor:
    """Median over `width` neighbours along the last dimension, mirrored at the ends; too short inputs stay as they are.

    Raises:
        ValueError: a width that is not positive and odd.
    """
    if width <= 0 or width % 2 == 0:
        raise ValueError(f"The width of a median filter must be an odd number, not {width}.")
    half = width // 2
    if values.shape[-1] <= half:
        return values
    shape = values.shape
    padded = F.pad(values.reshape(1, -1, shape[-1]), (half, half), mode="reflect").reshape(*shape[:-1], -1)
    return padded.unfold(-1, width, 1).sort(dim=-1).values[..., half]


def dynamic_time_warping(cost_LT: Array) -> tuple[Array, Array]:
    """The cheapest path from the first token and moment to the last: (token indices, moments), both never falling.

    Cells are filled one antidiagonal at a time, each at once.
    """
    tokens, moments = cost_LT.shape
    total = np.full((tokens + 1, moments + 1), np.inf)
    step = np.full((tokens + 1, moments + 1), -1, dtype=np.int8)  # 0: both, 1: next token, 2: next moment
    total[0, 0] = 0.0
    for diagonal in range(2, tokens + moments + 1):
        i = np.arange(max(1, diagonal - moments), min(tokens, diagonal - 1) + 1)
        j = diagonal - i
        both, token, moment = total[i - 1, j - 1], total[i - 1, j], total[i, j - 1]
        use_both = (both < token) & (both < moment)
        use_token = ~use_both & (token < both) & (token < moment)
        step[i, j] = np.where(use_both, 0, np.where(use_token, 1, 2))
        total[i, j] = cost_LT[i - 1, j - 1] + np.where(use_both, both, np.where(use_token, token, moment))
    step[0, :], step[:, 0] = 2, 1
    i, j = tokens, moments
    path = []
    while i > 0 or j > 0:
        path.append((i - 1, j - 1))
        taken = step[i, j]
        i -= taken != 2
        j -= taken != 1
    found = np.array(path[::-1], dtype=np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _times_of_map(weights_ALT: Tensor, width: int, precision: float) -> Tensor:
    """Begin of each token in seconds, (L,), from the weights of one sequence."""
    std, mean = torch.std_mean(weights_ALT, dim=-2, keepdim=True, unbiased=False)
    smooth_ALT = median_filter((weights_ALT - mean) / std, width)
    cost = -smooth_ALT.mean(dim=0).double().cpu().numpy()
    text, moments = dynamic_time_warping(cost)
    begins = np.pad(np.diff(text), (1, 0), constant_values=1).astype(bool)
    return torch.tensor(moments[begins] * precision, dtype=torch.float32)


def _weights_of_heads(outputs: Any, alignment_heads: list[list[int]]) -> Tensor:
    """(B, A, L, T): the cross attention of the alignment heads over all decoding steps, along the beams if any."""
    steps = outputs.cross_attentions
    layers = {layer for layer, _ in alignment_heads}
    by_layer = {layer: torch.cat([step[layer] for step in steps], dim=2) for layer in layers}
    weights_BALT = torch.stack([by_layer[layer][:, head] for layer, head in alignment_heads], dim=1)
    beams_BL = getattr(outputs, "beam_indices", None)
    if beams_BL is None:
        return weights_BALT
    length = int((beams_BL != -1).sum(-1).max())
    beams_BL = beams_BL[:, :length].clamp(min=0).to(weights_BALT.device)
    prompt = steps[0][0].shape[2] - 1  # positions before the first generated token: any beam holds the same
    rows_BL = torch.cat([beams_BL[:, :1].expand(-1, prompt), beams_BL], dim=1)
    columns = [weights_BALT[rows_BL[:, i], :, i] for i in range(rows_BL.shape[1])]
    return torch.stack(columns, dim=2)


def token_times(
    outputs: Any,
    prompt_length: int,
    alignment_heads: list[list[int]],
    width: int,
    frames_B: list[int] | None,
    precision: float = 0.02,
) -> Tensor:
    """Begin of each token in seconds, (B, sequence length); 0 for the prompt, which is no speech.

    The last token was never an input of the decoder, so it gets the time of the one before.

    Args:
        outputs: of `generate`, with cross attentions.
        prompt_length: tokens before the transcript.
        alignment_heads: (layer, head) pairs that align.
        width: of the median filter, in encoder positions.
        frames_B: frames of sound of each row; what lies behind is not looked at.
        precision: seconds to an encoder position.
    """
    weights_BALT = _weights_of_heads(outputs, alignment_heads).float()[:, :, prompt_length:]
    batch, _, length, _ = weights_BALT.shape
    times_BL = torch.zeros(batch, prompt_length + length + 1)
    if length == 0:
        return times_BL
    for row in range(batch):
        weights_ALT = weights_BALT[row]
        if frames_B is not None:
            weights_ALT = weights_ALT[..., : max(int(frames_B[row]) // 2, 1)]
        times_BL[row, prompt_length:-1] = _times_of_map(weights_ALT, width, precision)
        times_BL[row, -1] = times_BL[row, -2]
    return times_BL
