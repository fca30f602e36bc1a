"""The raw folder of MaskTerial's datasets."""

from segassets.components.maskterial_raw import folder

raw = folder("maskterial")
