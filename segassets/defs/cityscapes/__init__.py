"""Cityscapes: trainId maps, panoptic PNGs and JSON, instance JSON and photographs, as training code reads them."""
