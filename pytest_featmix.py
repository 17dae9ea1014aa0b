"""The plugin of pytest: one test for each law of what ``@featmix_laws`` is given.

It stands beside the package because pytest imports plugins at its start; featmix and torch wait until a test asks for laws.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Say how much is tried, on the command line: it goes over what decorators say."""
    group = parser.getgroup("featmix", "laws of normalizers and strategies (featmix)")
    group.addoption("--featmix-examples", type=int, metavar="N", help="inputs to try for each law and dtype")
    group.addoption("--featmix-thorough", action="store_true", help="200 inputs for each law and dtype, where N is not given")
    group.addoption("--featmix-laws", metavar="NAMES", help="only these laws, with commas between")
    group.addoption("--featmix-dtype", action="append", metavar="DTYPE", help="only this dtype; may be given again")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    said = "featmix(*subjects, **settings): one test for each law that featmix knows; see featmix.testing.featmix_laws"
    config.addinivalue_line("markers", said)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each law of the subjects that a test is marked with."""
    marks = [mark for mark in metafunc.definition.iter_markers("featmix") if mark.args]
    if not marks:
        return
    from featmix.errors import FeatmixError
    from featmix.testing.plugin import runs_of

    if "check" not in metafunc.fixturenames:
        fix = "def test_laws(check): check()"
        raise pytest.Collector.CollectError(f"{metafunc.definition.name} is to take the argument check: {fix}")
    try:
        runs = [run for mark in marks for run in runs_of(mark.args, mark.kwargs, metafunc.config.option)]
    except FeatmixError as error:
        raise pytest.Collector.CollectError(str(error)) from error
    metafunc.parametrize("check", runs, ids=[run.name for run in runs])
