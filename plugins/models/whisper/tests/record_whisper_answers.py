"""Record goldens/answers.json and goldens/features.npz: run in the environment of the reference, from this folder.

Tokenizer, standardization, features, spans of SpecAugment and generate, for the cases of whisper_cases.py.
"""

import json
import tempfile

import numpy as np
import torch
import transformers
import whisper_cases
import whisper_tiny
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer

transformers.logging.set_verbosity_error()
torch.set_num_threads(1)


def plain(value):
    if isinstance(value, torch.Tensor):
        return value.tolist()
    if isinstance(value, dict) or hasattr(value, "keys"):
        kept = ("sequences", "segments", "start", "end", "tokens", "idxs", "token_timestamps")
        return {key: plain(item) for key, item in value.items() if key in kept}
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def tokenizer_answers(folder):
    tokenizer = transformers.WhisperTokenizerFast.from_pretrained(folder)
    joined = []
    for outputs, arguments in whisper_cases.recordings():
        tensors = [
            {key: value if key == "stride" else torch.tensor([value]) for key, value in output.items()}
            for output in outputs
        ]
        joined.append(tokenizer._decode_asr(tensors, **arguments))
    slow = transformers.WhisperTokenizer.from_pretrained(folder, language="german", task="translate")
    return {
        "decoded": [tokenizer.decode(ids, **arguments) for ids, arguments in whisper_cases.decodings()],
        "joined": joined,
        "labels": slow("hello world")["input_ids"],
        "prompt": tokenizer.get_prompt_ids("hello world").tolist(),
        "decoder_prompt": tokenizer.get_decoder_prompt_ids(task="transcribe", language="spanish"),
    }


def generation_answers(folder):
    from transformers import GenerationConfig, WhisperConfig, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration(WhisperConfig(**whisper_tiny.model_settings())).eval()
    whisper_tiny.fill(model)
    model.tie_weights()
    model.generation_config = GenerationConfig(**whisper_tiny.generation_settings())
    answers = {"detected": model.detect_language(whisper_tiny.features(3, 3000)).tolist()}
    for name, shape, arguments in whisper_cases.generations():
        arguments = whisper_tiny.as_tensors(arguments, shape)
        answers[name] = plain(model.generate(whisper_tiny.features(*shape), **arguments))
    return answers


def main():
    with tempfile.TemporaryDirectory() as folder:
        whisper_tiny.write_tokenizer(folder)
        answers = tokenizer_answers(folder)
        answers["generated"] = generation_answers(folder)
    texts = whisper_cases.texts()
    answers["english"] = [EnglishTextNormalizer(whisper_tiny.SPELLING)(text) for text in texts]
    answers["basic"] = [BasicTextNormalizer(remove_diacritics=True)(text) for text in texts]
    with open("goldens/answers.json", "w", encoding="utf-8") as file:
        json.dump(answers, file, ensure_ascii=False)
    arrays = {}
    for number, (settings, waveforms, arguments) in enumerate(whisper_cases.sounds()):
        extractor = transformers.WhisperFeatureExtractor(**settings)
        batch = extractor(waveforms, sampling_rate=16000, return_tensors="np", **arguments)
        arrays |= {f"{number}/{name}": value[..., :120] for name, value in batch.items()}
    np.savez_compressed("goldens/features.npz", **arrays)


main()
