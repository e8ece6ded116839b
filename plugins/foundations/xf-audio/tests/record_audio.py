"""Record goldens/audio.npz: run in the environment of the reference, from this folder."""

import numpy as np
from audio_cases import cases
from transformers import audio_utils

recorded = {}
for name, function, arguments, keywords, seed in cases():
    if seed is not None:
        np.random.seed(seed)
    result = getattr(audio_utils, function)(*arguments, **keywords)
    for index, array in enumerate(result if isinstance(result, list) else [result]):
        recorded[f"{name}/{index}"] = array.astype(np.float32) if array.size > 200 else array
np.savez_compressed("goldens/audio.npz", **recorded)
