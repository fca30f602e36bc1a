"""Dataset cards: what is published of a dataset, for people (a page) and for machines (Croissant JSON-LD)."""
