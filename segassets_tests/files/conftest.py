from segassets_tests.store.fixtures import root, s3, s3_server  # noqa: F401
