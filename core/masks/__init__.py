"""Masks as run lengths, from polygons, COCO run lengths and label maps."""
