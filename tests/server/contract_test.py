"""What the server's OpenAPI document says holds for what schemathesis makes of it."""
import os
import pathlib
import subprocess
import sys

from serving import Server

# A request that the document allows may still be refused, for what no schema can say: best_of must
# be n, a token must be one of the model's.
CONFIG = """
[checks]
positive_data_acceptance.enabled = false
"""
SCHEMATHESIS = pathlib.Path(sys.executable).with_name("schemathesis")


def test_schemathesis(tmp_path):
    server = Server(tmp_path / "server")
    # Short answers: it sends hundreds of requests, most of which do not say how long.
    key = server.store.add("acme", "--max-completion-tokens", "2")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    with server:
        ran = subprocess.run(
            [str(SCHEMATHESIS), "run", f"{server.url}/openapi.json",
             "--header", f"Authorization: Bearer {key}", "--phases", "examples,coverage,fuzzing",
             "--max-examples", "10", "--seed", "1", "--generation-database", "none",
             "--no-shrink", "--continue-on-failure", "--request-timeout", "60", "--no-color"],
            cwd=tmp_path, env=os.environ, timeout=300, check=False, capture_output=True, text=True)
        assert server.process.poll() is None, server.log.read_text()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "8/8" in ran.stdout, ran.stdout
