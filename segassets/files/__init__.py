"""Files in a folder or in a bucket: paths, whole writes, ranges, references to pieces of them. Nothing about artifacts."""
