"""Each kernel beside its baseline: `python -m segassets_tests.benchmarks`. Nothing here decides over a build."""
