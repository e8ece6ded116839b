"""Text generation for xf: `GenerationMixin`, its settings, processors, stopping rules, streamers and decoding
strategies.

Nothing is imported here: every name is an entry point, so `from xf import GenerationConfig` loads one module.
"""
