"""The inference half of the text guides, on tiny random checkpoints: the pipeline, and the same by hand.

Source: spec tasks/sequence_classification.md, token_classification.md, question_answering.md, language_modeling.md,
masked_language_modeling.md, translation.md, summarization.md, multiple_choice.md.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from xf import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForMultipleChoice,
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

Checkpoint = Callable[..., str]


def test_sequence_classification(checkpoint: Checkpoint) -> None:
    text = (
        "This was a masterpiece. Not completely faithful to the books, but enthralling from beginning to end. Might be "
        "my favorite of the three."
    )
    labels = {"id2label": {0: "NEGATIVE", 1: "POSITIVE"}, "label2id": {"NEGATIVE": 0, "POSITIVE": 1}}
    folder = checkpoint("bert", "BertForSequenceClassification", [text], num_labels=2, **labels)
    classifier = pipeline("sentiment-analysis", model=folder)
    (result,) = classifier(text)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted_class_id = logits.argmax().item()
    assert model.config.id2label[predicted_class_id] == result["label"] in ("NEGATIVE", "POSITIVE")
    assert result["score"] == pytest.approx(logits.softmax(-1).max().item(), abs=1e-6) and result["score"] > 0.5


def test_token_classification(checkpoint: Checkpoint) -> None:
    text = "The Golden State Warriors are an American professional basketball team based in San Francisco."
    names = ["O", "B-group", "I-group", "B-location", "I-location"]
    labels = {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}
    folder = checkpoint("bert", "BertForTokenClassification", [text], num_labels=5, **labels)
    classifier = pipeline("ner", model=folder)
    found = classifier(text)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt")
    model = AutoModelForTokenClassification.from_pretrained(folder)
    with torch.no_grad():
        logits = model(**inputs).logits
    predictions = torch.argmax(logits, dim=2)
    predicted_token_class = [model.config.id2label[t.item()] for t in predictions[0]]
    tokens = inputs.tokens()
    inner = range(1, len(tokens) - 1)  # without [CLS] and [SEP]
    expected = [(i, tokens[i], predicted_token_class[i]) for i in inner if predicted_token_class[i] != "O"]
    assert [(e["index"], e["word"], e["entity"]) for e in found] == expected
    assert found and all(text[e["start"] : e["end"]].lower() == e["word"].removeprefix("##") for e in found)


def test_question_answering(checkpoint: Checkpoint) -> None:
    question = "How many programming languages does BLOOM support?"
    context = (
        "BLOOM has 176 billion parameters and can generate text in 46 languages natural languages and 13 programming "
        "languages."
    )
    folder = checkpoint("bert", "BertForQuestionAnswering", [question, context])
    question_answerer = pipeline("question-answering", model=folder, align_to_words=False, max_answer_len=100)
    result = question_answerer(question=question, context=context)
    assert context[result["start"] : result["end"]] == result["answer"] and 0 < result["score"] <= 1

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(question, context, return_tensors="pt")
    model = AutoModelForQuestionAnswering.from_pretrained(folder)
    with torch.no_grad():
        outputs = model(**inputs)
    # the best span of the context, which is what the pipeline looks for; the guide's model is sure of it
    inside = torch.tensor([sequence == 1 for sequence in inputs.sequence_ids(0)])
    start, end = (logits[0].masked_fill(~inside, -1e4).softmax(-1) for logits in outputs.to_tuple()[-2:])
    spans = torch.triu(start[:, None] * end[None])
    answer_start_index, answer_end_index = divmod(int(spans.argmax()), len(end))
    predict_answer_tokens = inputs.input_ids[0, answer_start_index : answer_end_index + 1]
    characters = "".join(result["answer"].lower().split())
    assert "".join(tokenizer.decode(predict_answer_tokens).split()) == characters


def test_language_modeling(checkpoint: Checkpoint) -> None:
    prompt = "Somatic hypermutation allows the immune system to"
    folder = checkpoint("gpt2", "GPT2LMHeadModel", [prompt])
    generator = pipeline("text-generation", model=folder)
    torch.manual_seed(1)
    (result,) = generator(prompt, max_new_tokens=30)
    assert result["generated_text"].startswith(prompt)
    (greedy,) = generator(prompt, max_new_tokens=12, do_sample=False)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(prompt, return_tensors="pt").input_ids
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(2)
    outputs = model.generate(inputs, max_new_tokens=40, do_sample=True, top_k=50, top_p=0.95)
    assert tokenizer.batch_decode(outputs, skip_special_tokens=True)[0].startswith(prompt)
    outputs = model.generate(inputs, max_new_tokens=12, do_sample=False)
    assert tokenizer.batch_decode(outputs, skip_special_tokens=True) == [greedy["generated_text"]]


def test_masked_language_modeling(checkpoint: Checkpoint) -> None:
    text = "The Milky Way is a [MASK] galaxy."
    folder = checkpoint("bert", "BertForMaskedLM", ["The Milky Way is a spiral massive small galaxy."])
    mask_filler = pipeline("fill-mask", folder)
    results = mask_filler(text, top_k=3)

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt")
    mask_token_index = torch.where(inputs["input_ids"] == tokenizer.mask_token_id)[1]
    model = AutoModelForMaskedLM.from_pretrained(folder)
    logits = model(**inputs).logits
    mask_token_logits = logits[0, mask_token_index, :]
    top_3_tokens = torch.topk(mask_token_logits, 3, dim=1).indices[0].tolist()
    assert [result["token"] for result in results] == top_3_tokens
    assert [result["token_str"] for result in results] == [tokenizer.decode([token]) for token in top_3_tokens]
    assert [r["score"] for r in results] == sorted((r["score"] for r in results), reverse=True)


@pytest.mark.parametrize(
    ("task", "key", "text"),
    [
        (
            "translation_en_to_fr",
            "translation_text",
            "translate English to French: Legumes share resources with nitrogen-fixing bacteria.",
        ),
        (
            "summarization",
            "summary_text",
            "summarize: The Inflation Reduction Act lowers prescription drug costs, health care costs, and energy "
            "costs. It's the most aggressive action on tackling the climate crisis in American history.",
        ),
    ],
)
def test_translation_and_summarization(checkpoint: Checkpoint, task: str, key: str, text: str) -> None:
    folder = checkpoint("t5", "T5ForConditionalGeneration", [text])
    writer = pipeline(task, model=folder)
    (result,) = writer(text, max_new_tokens=10)
    (greedy,) = writer(text, max_new_tokens=20, num_beams=1)
    assert set(result) == {key}

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(text, return_tensors="pt").input_ids
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    torch.manual_seed(0)
    outputs = model.generate(inputs, max_new_tokens=40, do_sample=True, top_k=30, top_p=0.95)
    assert isinstance(tokenizer.decode(outputs[0], skip_special_tokens=True), str) and outputs.shape[1] <= 41
    outputs = model.generate(inputs, max_new_tokens=20, do_sample=False)
    assert tokenizer.decode(outputs[0], skip_special_tokens=True) == greedy[key]


def test_multiple_choice(checkpoint: Checkpoint) -> None:
    prompt = (
        "France has a bread law, Le D\u00e9cret Pain, with strict rules on what is allowed in a traditional baguette."
    )
    candidate1 = "The law does not apply to croissants and brioche."
    candidate2 = "The law applies to baguettes."
    folder = checkpoint("bert", "BertForMultipleChoice", [prompt, candidate1, candidate2])

    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer([[prompt, candidate1], [prompt, candidate2]], return_tensors="pt", padding=True)
    labels = torch.tensor(0).unsqueeze(0)
    model = AutoModelForMultipleChoice.from_pretrained(folder)
    outputs = model(**{k: v.unsqueeze(0) for k, v in inputs.items()}, labels=labels)
    logits = outputs.logits
    predicted_class = logits.argmax().item()
    assert logits.shape == (1, 2) and predicted_class in (0, 1)
    assert outputs.loss.item() == pytest.approx(-logits.log_softmax(-1)[0, 0].item(), abs=1e-6)
    turned = tokenizer([[prompt, candidate2], [prompt, candidate1]], return_tensors="pt", padding=True)
    again = model(**{k: v.unsqueeze(0) for k, v in turned.items()}).logits
    torch.testing.assert_close(again.flip(1), logits, atol=1e-5, rtol=1e-5)
