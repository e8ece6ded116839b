"""GGUF files for xf: `AutoModelForCausalLM.from_pretrained(folder, gguf_file="model.gguf")`."""
