"""Where raw files come from: listings, archives read in place, and downloads.

Belongs here: getting bytes, whole and verified, from wherever they are. Not here: what the bytes mean (`formats`) and
where results go (`store`).
"""
