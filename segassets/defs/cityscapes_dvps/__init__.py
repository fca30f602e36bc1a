"""Cityscapes-DVPS: depth-aware video panoptic segmentation, from Cityscapes-VPS and the depth files of ViP-DeepLab."""
