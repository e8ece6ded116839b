"""8-bit inference on CPUs: `from_pretrained(..., quantization_config=Int8Config())`."""
