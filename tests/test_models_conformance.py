"""The first models pass the checks that every model must pass; what they cannot do is said by flags."""

import torch

from xf_testing import ModelConformance, tiny_floats


class TestBert(ModelConformance):
    name = "bert"


class TestLlama(ModelConformance):
    name = "llama"


class TestWhisper(ModelConformance):
    name = "whisper"
    has_padding = False  # features have a fixed length
    settings = {"max_source_positions": 16, "suppress_tokens": None, "begin_suppress_tokens": None}


class TestSam(ModelConformance):
    name = "sam"
    can_train = False  # its losses belong to the training recipe
    has_token_embeddings = False

    def tiny_config(self, head="base"):
        return self.config_class()(
            vision_config={
                "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 24, "patch_size": 2,
                "output_channels": 16, "num_pos_feats": 8, "window_size": 3, "global_attn_indexes": [1], "mlp_dim": 64,
            },
            prompt_encoder_config={"hidden_size": 16, "image_size": 24, "patch_size": 2, "mask_input_channels": 4},
            mask_decoder_config={
                "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_dim": 32,
                "iou_head_hidden_dim": 16,
            },
        )  # fmt: skip

    def hidden_state_count(self, model):
        return model.config.vision_config.num_hidden_layers + 1

    def make_inputs(self, model, head, batch=2):
        points = (1.0 + torch.arange(batch)).reshape(batch, 1, 1, 1) * torch.ones(1, 1, 1, 2)
        return {"pixel_values": tiny_floats((batch, 3, 24, 24)), "input_points": points}
