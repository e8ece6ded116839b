"""Record goldens/asr_ctc.json: run in the environment of the reference, from this folder.

The pipeline of the reference on a tiny CTC model; the ids that the model gave for every chunk are recorded with the
results, so that a stand-in for the model can repeat them.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

VOCABULARY = {token: index for index, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", "A", "B", "C", "D"])}
CALLS = [
    {},
    {"return_timestamps": "char"},
    {"return_timestamps": "word"},
    {"chunk_length_s": 0.5},
    {"chunk_length_s": 0.5, "return_timestamps": "word"},
    {"chunk_length_s": 0.6, "stride_length_s": [0.2, 0.1], "return_timestamps": "char"},
    {"chunk_length_s": 0.4, "stride_length_s": 0.1},
]


def main():
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    config = Wav2Vec2Config(
        vocab_size=len(VOCABULARY), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, conv_dim=(8, 8), conv_stride=(20, 16),
        conv_kernel=(20, 16), num_feat_extract_layers=2, pad_token_id=0, initializer_range=2.0,
    )  # fmt: skip
    model = Wav2Vec2ForCTC(config).eval()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "vocab.json").write_text(json.dumps(VOCABULARY))
        tokenizer = Wav2Vec2CTCTokenizer(f"{folder}/vocab.json")
    pipe = transformers.pipeline(
        "automatic-speech-recognition", model=model, tokenizer=tokenizer,
        feature_extractor=Wav2Vec2FeatureExtractor(sampling_rate=16000), framework="pt",
    )  # fmt: skip
    heard = []
    model.register_forward_hook(lambda module, inputs, output: heard.append(output.logits.argmax(-1)[0].tolist()))
    sound = np.random.default_rng(0).standard_normal(20000).astype(np.float32)
    cases = []
    for call in CALLS:
        heard.clear()
        cases.append({"call": call, "result": pipe(sound, **call), "heard": [list(ids) for ids in heard]})
    heard.clear()
    strided = {"raw": sound[:8000], "sampling_rate": 16000, "stride": [3200, 1600]}
    cases.append({"call": {}, "stride": strided["stride"], "result": pipe(strided), "heard": list(heard)})
    with open("goldens/asr_ctc.json", "w", encoding="utf-8") as file:
        json.dump({"ratio": config.inputs_to_logits_ratio, "vocabulary": VOCABULARY, "cases": cases}, file)


main()
