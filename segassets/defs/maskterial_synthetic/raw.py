"""The raw folder of MaskTerial's synthetic datasets."""

from segassets.components.maskterial_raw import folder

raw = folder("maskterial_synthetic")
