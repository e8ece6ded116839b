"""Checks of COCO detection and panoptic targets, https://cocodataset.org/#format-data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xf_vision.image_types import AnnotationFormat


def _holds_list_of_dicts(annotation: dict[str, Any], key: str) -> bool:
    entries = annotation[key]
    return isinstance(entries, (list, tuple)) and (len(entries) == 0 or isinstance(entries[0], dict))


def is_valid_annotation_coco_detection(annotation: dict[str, Any]) -> bool:
    """A dict with `image_id` and `annotations`, a list of dicts (looked at: the first)."""
    return (
        isinstance(annotation, dict)
        and {"image_id", "annotations"} <= annotation.keys()
        and _holds_list_of_dicts(annotation, "annotations")
    )


def is_valid_annotation_coco_panoptic(annotation: dict[str, Any]) -> bool:
    """A dict with `image_id`, `file_name` and `segments_info`, a list of dicts (looked at: the first)."""
    return (
        isinstance(annotation, dict)
        and {"image_id", "segments_info", "file_name"} <= annotation.keys()
        and _holds_list_of_dicts(annotation, "segments_info")
    )


def valid_coco_detection_annotations(annotations: Iterable[dict[str, Any]]) -> bool:
    return all(is_valid_annotation_coco_detection(annotation) for annotation in annotations)


def valid_coco_panoptic_annotations(annotations: Iterable[dict[str, Any]]) -> bool:
    return all(is_valid_annotation_coco_panoptic(annotation) for annotation in annotations)


def validate_annotations(
    annotation_format: AnnotationFormat,
    supported_annotation_formats: tuple[AnnotationFormat, ...],
    annotations: list[dict[str, Any]],
) -> None:
    """ValueError if the format is not among the supported ones or an annotation does not have its keys."""
    if annotation_format not in supported_annotation_formats:
        known = ", ".join(str(getattr(f, "value", f)) for f in supported_annotation_formats)
        raise ValueError(f"Unsupported annotation format {annotation_format!r}; this processor knows {known}.")
    if annotation_format is AnnotationFormat.COCO_DETECTION and not valid_coco_detection_annotations(annotations):
        raise ValueError(
            "Invalid COCO detection annotations: each must be a dict with the keys `image_id` and `annotations`, the "
            "latter a list of annotations in the COCO format."
        )
    if annotation_format is AnnotationFormat.COCO_PANOPTIC and not valid_coco_panoptic_annotations(annotations):
        raise ValueError(
            "Invalid COCO panoptic annotations: each must be a dict with the keys `image_id`, `file_name` and "
            "`segments_info`, the latter a list of annotations in the COCO format."
        )
