from segassets_tests.commands.conftest import call  # noqa: F401
from segassets_tests.dagster.platform import fresh, made, made_once  # noqa: F401
