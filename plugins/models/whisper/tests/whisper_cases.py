"""Cases for the tokenizer, the text standardization, the features and generate, the same for recorder and test."""

import random

import numpy as np
import whisper_tiny as tiny

WORDS = (
    "the cat hello [laughter] <noise> ( (aside) ) () hmm um won't can't he's been i'd gone don't it's mr dr. colour "
    "naïve Œuvre straße 日本語 $5 $2.50 20 1 1st 100 1,000 5% 3.14 192.168.1.1 x5 5x 20s . a.b ' and minus plus point "
    "one two three six nine ten eleven nineteen twenty fifty ninety hundred thousand million first second third "
    "fifth twelfth twentieth sixes twenties hundreds zero oh double triple dollars cents pounds percent per cent half"
).split()


def texts(count=250):
    rng = random.Random(0)
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 9))) for _ in range(count)]


def _piece(rng, length):
    return [rng.choice([rng.randrange(256), rng.randrange(256, tiny.TEXTS), 220]) for _ in range(length)]


def transcript(rng, heard, prompt=True):
    """Ids as the model gives them: a prompt and start tokens, text between timestamps, some of these out of order."""
    ids = []
    if prompt and rng.random() < 0.3:
        ids += [tiny.special("<|startofprev|>"), *_piece(rng, rng.randrange(4))]
    if rng.random() < 0.7:
        ids += [tiny.special("<|startoftranscript|>"), tiny.special(f"<|{rng.choice(tiny.LANGUAGES)}|>")]
    time = 0
    for _ in range(rng.randrange(5)):
        time = min(1500, time + rng.randrange(300)) if rng.random() < 0.85 else rng.randrange(400)
        ids += [tiny.FIRST_TIMESTAMP + time] if rng.random() < 0.9 else []
        start = rng.randrange(50)
        ids += heard[start : start + rng.randrange(12)] if rng.random() < 0.7 else _piece(rng, rng.randrange(6))
        time = min(1500, time + rng.randrange(300))
        ids += [tiny.FIRST_TIMESTAMP + time] if rng.random() < 0.8 else []
    return ids + ([tiny.special("<|endoftext|>")] if rng.random() < 0.5 else [])


def decodings(count=150):
    """(ids, arguments of decode)."""
    rng = random.Random(1)
    heard = _piece(rng, 60)
    for _ in range(count):
        names = ("skip_special_tokens", "output_offsets", "decode_with_timestamps", "normalize", "basic_normalize")
        yield transcript(rng, heard), {name: rng.random() < 0.4 for name in names}


def recordings(count=150):
    """(outputs for the chunks of a recording, arguments of _decode_asr); ids and times are lists."""
    rng = random.Random(2)
    heard = _piece(rng, 60)
    for _ in range(count):
        timestamps = rng.choice([False, True, "word"])
        number = rng.randint(1, 4)
        outputs = []
        for index in range(number):
            # times of words after a prompt are told apart from the reference by a test of their own
            ids = transcript(rng, heard, prompt=timestamps != "word") or [220]
            output = {"tokens": ids}
            if number > 1:
                output["stride"] = (30.0, 0.0 if index == 0 else 5.0, 0.0 if index == number - 1 else 5.0)
            if timestamps == "word":
                output["token_timestamps"] = sorted(round(rng.uniform(0, 30), 2) for _ in ids)
            outputs.append(output)
        language = rng.random() < 0.5
        yield outputs, {"return_timestamps": timestamps, "return_language": language, "time_precision": 0.02}


def sounds():
    """(settings of the extractor, waveforms, arguments of the call)."""
    generator = np.random.default_rng(0)
    noise = [generator.standard_normal(length).astype(np.float32) * 0.1 for length in (1600, 2480, 48000)]
    yield {}, noise[:1], {"padding": "longest"}
    yield {"chunk_length": 1}, noise, {}
    yield {"feature_size": 128, "chunk_length": 1}, noise, {"truncation": False, "padding": "longest"}
    yield {"chunk_length": 1}, noise, {"return_attention_mask": True, "do_normalize": True}
    yield {"chunk_length": 1}, noise[:2], {"return_token_timestamps": True, "max_length": 3200}


def generations():
    """(name, input: (rows, frames), arguments of generate with lists for tensors)."""
    return list(_generations())


def _generations():
    prompt = [tiny.special("<|startofprev|>"), 72, 101, 220]
    thresholds = {"temperature": 0.0, "logprob_threshold": -3.0, "no_speech_threshold": 0.6}
    short, long = (2, 3000), (2, 4400)
    timed = {"return_timestamps": True, "max_new_tokens": 6}
    yield "plain", short, {"max_new_tokens": 6}
    yield "languages", short, {"max_new_tokens": 6, "language": ["de", "english"], "task": "translate"}
    untimed = {"suppress_tokens": list(range(tiny.FIRST_TIMESTAMP, tiny.VOCAB_SIZE))}
    yield "dict", short, {"max_length": 12, "language": "<|es|>", "return_dict_in_generate": True, **untimed}
    yield "timestamps", short, {**timed, "return_segments": True}
    yield "beams", short, {**timed, "num_beams": 2, "repetition_penalty": 1.3}
    yield "prompt", short, {**timed, "prompt_ids": prompt, "language": "ja"}
    yield "long", long, {**timed, "return_segments": True, "attention_mask": [4400, 3700]}
    yield "conditioned", long, {**timed, "condition_on_prev_tokens": True, "attention_mask": [3100, 4400]}
    everywhere = {"prompt_condition_type": "all-segments", "condition_on_prev_tokens": True, "prompt_ids": prompt}
    yield "prompt_everywhere", long, {**timed, **everywhere, "attention_mask": [4400, 4000]}
    yield "thresholds", short, {**timed, **thresholds, "compression_ratio_threshold": 1.0}
    yield "silence", short, {**timed, **thresholds, "logprob_threshold": 0.0, "no_speech_threshold": 0.0}
    yield "words", short, {"max_new_tokens": 10, "return_token_timestamps": True, "return_segments": True}
