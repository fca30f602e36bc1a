from segassets_tests.dagster.platform import fresh, made, made_once  # noqa: F401
