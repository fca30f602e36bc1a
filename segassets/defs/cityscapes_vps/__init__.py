"""Cityscapes-VPS: label maps, panoptic maps and their ground truth, from the release and Cityscapes itself."""
