"""Where the kernel's own public names are, so that `import xf` imports none of them."""

from __future__ import annotations

_BY_MODULE = {
    "xf.auto": """
        AutoBackbone AutoConfig AutoFeatureExtractor AutoImageProcessor AutoModel AutoModelForAudioClassification
        AutoModelForAudioFrameClassification AutoModelForAudioTokenization AutoModelForAudioXVector AutoModelForCTC
        AutoModelForCausalLM
        AutoModelForDepthEstimation AutoModelForDocumentQuestionAnswering AutoModelForImageClassification
        AutoModelForImageSegmentation AutoModelForImageTextToText AutoModelForImageToImage
        AutoModelForInstanceSegmentation AutoModelForKeypointDetection AutoModelForKeypointMatching
        AutoModelForMaskGeneration AutoModelForMaskedImageModeling AutoModelForMaskedLM AutoModelForMultipleChoice
        AutoModelForNextSentencePrediction AutoModelForObjectDetection AutoModelForPreTraining
        AutoModelForQuestionAnswering AutoModelForSemanticSegmentation AutoModelForSeq2SeqLM
        AutoModelForSequenceClassification AutoModelForSpeechSeq2Seq AutoModelForTableQuestionAnswering
        AutoModelForTextEncoding AutoModelForTextToSpectrogram AutoModelForTextToWaveform
        AutoModelForTimeSeriesPrediction AutoModelForTokenClassification AutoModelForUniversalSegmentation
        AutoModelForVideoClassification AutoModelForVision2Seq AutoModelForVisualQuestionAnswering
        AutoModelForZeroShotImageClassification AutoModelForZeroShotObjectDetection AutoModelWithLMHead
        AutoProcessor AutoTokenizer AutoVideoProcessor
    """,
    "xf.interfaces.attention": "AttentionInterface AttentionMaskInterface AttentionBackend AttentionCapabilities",
    "xf.interfaces.cache": """
        Cache CacheLayerMixin CacheProcessor DynamicCache DynamicLayer EncoderDecoderCache
    """,
    "xf.interfaces.config": "PretrainedConfig",
    "xf.interfaces.model": "PreTrainedModel",
    "xf.interfaces.model_utils": "GradientCheckpointingLayer",
    "xf.hub": "PushToHubMixin",
    "xf.outputs": "ModelOutput",
    "xf.utils": "TensorType",
}

NAMES: dict[str, str] = {name: module for module, names in _BY_MODULE.items() for name in names.split()}

# Documented module paths of the kernel's own modules. What a plugin provides is in its `module` entry points.
ALIASES: dict[str, str] = {
    "cache_utils": "xf.interfaces.cache",
    "configuration_utils": "xf.interfaces.config",
    "masking_utils": "xf.interfaces.mask",
    "modeling_layers": "xf.interfaces.model_utils",
    "modeling_outputs": "xf.outputs",
    "models.auto.auto_factory": "xf.auto",
    "models.auto.configuration_auto": "xf.auto",
    "models.auto.feature_extraction_auto": "xf.auto",
    "models.auto.image_processing_auto": "xf.auto",
    "models.auto.modeling_auto": "xf.auto",
    "models.auto.processing_auto": "xf.auto",
    "models.auto.tokenization_auto": "xf.auto",
    "quantizers.base": "xf.interfaces.quantizer",
    "utils.logging": "xf.logging",
}

# Documented folders: their names are those of these modules, then those of `xf` itself.
FOLDERS: dict[str, str] = {
    "data": "",
    "data.processors": "",
    "generation": "",
    "integrations": "",
    "modeling_utils": "xf.interfaces.model xf.checkpoint.sharded",
    "models": "",
    "models.auto": "xf.auto",
    "quantizers": "xf.interfaces.quantizer",
}
