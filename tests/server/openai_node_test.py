"""The official client for Node, unchanged; openai_client.js has what is expected of it."""
import os
import pathlib
import shutil
import subprocess

import pytest

from executable import MODEL

MODULES = os.environ.get("FORETOKEN_NODE_CLIENTS", "")
SCRIPT = pathlib.Path(__file__).with_name("openai_client.js")


@pytest.mark.skipif(shutil.which("node") is None or not os.path.isdir(f"{MODULES}/openai"),
                    reason="needs node and npm, then scripts/bootstrap")
def test_openai_for_node(server):
    ran = subprocess.run(
        ["node", str(SCRIPT), f"{server.url}/v1", server.acme, MODEL], timeout=120, check=False,
        env={**os.environ, "NODE_PATH": MODULES}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout == "chat\nstream\ncancel\nmodels\nerrors\n"
