import pytest


@pytest.fixture(scope="module", autouse=True)
def use_new_fork_server(a_fork_server_of_its_own: None) -> None:
    """Begin each module with a new fork server, whose modules, environment and death are tested here."""
