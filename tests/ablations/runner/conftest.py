import pytest


@pytest.fixture(scope="module", autouse=True)
def every_module_has(a_fork_server_of_its_own: None) -> None:
    """Its modules, its environment and its death are what is asked about here."""
