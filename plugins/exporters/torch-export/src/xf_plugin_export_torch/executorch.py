"""The names of `xf.integrations.executorch` (spec: main_classes/executorch.md)."""

from .decoder import TorchExportableModuleForDecoderOnlyLM, convert_and_export_with_cache
from .modules import TorchExportableModuleWithHybridCache, TorchExportableModuleWithStaticCache

__all__ = [
    "TorchExportableModuleForDecoderOnlyLM",
    "TorchExportableModuleWithHybridCache",
    "TorchExportableModuleWithStaticCache",
    "convert_and_export_with_cache",
]
