"""MaGGIe human matting: archives first."""
