"""One server for all tests of this folder: the real engine takes seconds to start."""

import openai
import pytest
from madang import Server

CHAT = "qwen2.5-coder-0.5b-instruct"
EMBED = "multilingual-e5-small"


@pytest.fixture(scope="package")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("madang"))
    try:
        server.first_start_s = server.wait_ready()
        yield server
        server.stop()
    finally:
        server.kill()


@pytest.fixture(scope="package")
def client(server):
    # No retries: an error that a second try hides is still an error.
    with openai.OpenAI(base_url=server.base_url, api_key=server.tenant_key, max_retries=0, timeout=180) as client:
        yield client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and server is not None:
        report.sections.append(("madang up", server.log()))
    return report
