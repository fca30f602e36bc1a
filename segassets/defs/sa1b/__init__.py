"""SA-1B and ASAM: from the tars that Meta publishes to the files that tuning and ControlNet training read.

What belongs here: which artifacts there are, from what, in which folders. The rules themselves are in
`segassets.formats.sa1b*`; their sources in the specification of the dataset.
"""
