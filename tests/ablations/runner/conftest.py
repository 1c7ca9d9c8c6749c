"""A new fork server for each module of the runner's tests."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def use_new_fork_server(restart_fork_server: None) -> None:
    """Begin each module with a new fork server, whose modules, environment and death are tested here."""
