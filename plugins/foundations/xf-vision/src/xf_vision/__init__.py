"""Images and videos for xf. Import the modules, e.g. `xf_vision.image_transforms`, or the names from `xf`."""
