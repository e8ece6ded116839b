"""What BERT does beyond plain answers: pruning, resizing, caches, checkpoints of other layouts, clear errors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import xf
from xf_testing.tiny import fill_weights, tiny_floats, tiny_ids

torch.set_num_threads(1)
SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 20,
}
IDS = tiny_ids((2, 7), 60)


def build(name: str, **config: object) -> xf.PreTrainedModel:
    return fill_weights(getattr(xf, name)(xf.BertConfig(**SIZES, **config))).eval()


def test_a_pruned_head_is_a_head_that_is_masked(tmp_path: Path) -> None:
    model = build("BertModel", attn_implementation="eager")
    heads = torch.ones(2, 4)
    heads[0, 1] = heads[1, 0] = heads[1, 3] = 0
    masked = model(IDS, head_mask=heads).last_hidden_state
    model.prune_heads({0: [1], 1: [0]})
    model.prune_heads({1: [0, 3]})  # head 0 is gone already
    assert model.encoder.layer[1].attention.self.query.weight.shape == (8, 16)
    torch.testing.assert_close(model(IDS).last_hidden_state, masked)
    model.save_pretrained(tmp_path)
    again = xf.BertModel.from_pretrained(tmp_path)
    torch.testing.assert_close(again(IDS).last_hidden_state, masked)


def test_resizing_keeps_head_and_embeddings_tied(tmp_path: Path) -> None:
    model = build("BertForMaskedLM")
    before = model(IDS).logits
    model.resize_token_embeddings(70)
    logits = model(IDS).logits
    assert logits.shape[-1] == 70
    torch.testing.assert_close(logits[..., :60], before)
    head = model.cls.predictions
    assert head.decoder.weight is model.bert.embeddings.word_embeddings.weight
    assert head.decoder.bias is head.bias
    model.save_pretrained(tmp_path)
    torch.testing.assert_close(xf.BertForMaskedLM.from_pretrained(tmp_path)(IDS).logits, logits)


@pytest.mark.parametrize("cross", [False, True])
@pytest.mark.parametrize("positions", ["absolute", "relative_key", "relative_key_query"])
def test_decoding_step_by_step_is_decoding_at_once(cross: bool, positions: str) -> None:
    model = build("BertLMHeadModel", is_decoder=True, add_cross_attention=cross, position_embedding_type=positions)
    extra = {"encoder_hidden_states": tiny_floats((2, 5, 16))} if cross else {}
    whole = model(IDS, use_cache=False, **extra).logits
    cache, parts = None, []
    for begin, end in ((0, 3), (3, 4), (4, 7)):
        output = model(IDS[:, begin:end], past_key_values=cache, **extra)
        cache = output.past_key_values
        parts.append(output.logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    assert len(cache[0]) == (4 if cross else 2)
    legacy = model(IDS[:, :3], **extra).past_key_values.to_legacy_cache()
    torch.testing.assert_close(model(IDS[:, 3:4], past_key_values=legacy, **extra).logits, parts[1])


def test_names_of_old_checkpoints_load(tmp_path: Path) -> None:
    model = build("BertModel")
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(file).items()
    }
    tensors["embeddings.position_ids"] = torch.arange(20)[None]
    save_file(tensors, file, metadata={"format": "pt"})
    again, info = xf.BertModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    torch.testing.assert_close(again(IDS).last_hidden_state, model(IDS).last_hidden_state)


def test_a_head_loads_from_the_body_alone(tmp_path: Path) -> None:
    model = build("BertModel")
    model.save_pretrained(tmp_path)
    head = xf.BertForSequenceClassification.from_pretrained(tmp_path)
    torch.testing.assert_close(head.bert(IDS).pooler_output, model(IDS).pooler_output)


def test_gradient_checkpointing_changes_nothing() -> None:
    gradients = []
    for checkpointing in (False, True):
        model = build("BertForMaskedLM", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(IDS, labels=IDS).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient)


def test_clear_errors() -> None:
    model = build("BertModel")
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model()
    with pytest.raises(ValueError, match="21 tokens long, but the model has 20 positions"):
        model(tiny_ids((1, 21), 60))
    with pytest.raises(ValueError, match="attention_mask is for 3 positions"):
        model(IDS, attention_mask=torch.ones(2, 3))
    with pytest.raises(ValueError, match="add_cross_attention=True needs is_decoder=True"):
        build("BertModel", add_cross_attention=True)
    with pytest.raises(ValueError, match="need a model with cross-attention"):
        build("BertLMHeadModel", is_decoder=True)(IDS, encoder_hidden_states=tiny_floats((2, 5, 16)))
    with pytest.raises(ValueError, match="position_embedding_type is 'rotary'"):
        build("BertModel", position_embedding_type="rotary")
    with pytest.raises(ValueError, match="must be a multiple of num_attention_heads"):
        xf.BertModel(xf.BertConfig(**{**SIZES, "num_attention_heads": 3}))
