"""One server for the tests of a file, with the tenant acme."""
import pytest

from executable import needs_model
from serving import Server


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(needs_model)


@pytest.fixture(name="server", scope="module")
def fixture_server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    server.acme = server.store.add("acme")
    with server:
        yield server


@pytest.fixture(name="client")
def fixture_client(server):
    with server.client(server.acme) as client:
        yield client
