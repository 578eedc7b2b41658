"""`foretoken serve` and `foretoken config check`, as far as no model is needed."""
import pathlib
import socket

import pytest

from executable import explain, run

ROOT = pathlib.Path(__file__).resolve().parents[2]


def refused(result, code, *words):
    message = result.stderr.decode()
    assert result.returncode == code, explain(result)
    assert result.stdout == b"", explain(result)
    for word in words:
        assert word in message, message


def test_the_example_is_right():
    result = run("config", "check", str(ROOT / "deploy" / "foretoken.yaml"))
    assert result.returncode == 0, explain(result)


def test_every_mistake_is_named_with_its_line(tmp_path):
    config = tmp_path / "foretoken.yaml"
    config.write_text("listen: everywhere\nmodels:\n  - target: a\n    contxt: 5\nlimits: {body: 1}\n")
    refused(run("config", "check", str(config)), 2, "foretoken.yaml:1: listen: ",
            "foretoken.yaml:4: models[0].contxt: is not known; did you mean 'context'?",
            "foretoken.yaml:5: limits.body: ")
    # serve says the same, and does not start.
    refused(run("serve", "--config", str(config)), 2, "foretoken.yaml:1: listen: ")


def test_a_configuration_that_is_not_there(tmp_path):
    refused(run("config", "check", str(tmp_path / "none.yaml")), 1, "none.yaml")
    refused(run("serve", "--config", str(tmp_path / "none.yaml")), 1, "none.yaml")


@pytest.mark.parametrize("arguments, words", [
    ([], ["-m MODEL", "--config"]),
    (["-m", "x", "--listen", "0.0.0.0:80"], ["without keys", "this machine only"]),
    (["-m", "x", "--listen", "here"], ["ADDRESS:PORT"]),
    (["-m", "x", "--config", "y"], ["excludes"]),
])
def test_wrong_use(arguments, words):
    refused(run("serve", *arguments), 2, *words)


def test_a_model_that_is_not_there():
    refused(run("serve", "-m", "no-such-model", "--listen", "127.0.0.1:0"), 1, "no-such-model")


def test_parts_that_cannot_be_had_are_named(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef\n")
    secret.chmod(0o644)
    model = tmp_path / "model.gguf"
    model.write_bytes(b"GGUF")

    def serve(text):
        config = tmp_path / "foretoken.yaml"
        config.write_text(f"store: {tmp_path}/s.db\nmodels: [{{target: {model}}}]\n{text}")
        return run("serve", "--config", str(config))

    refused(serve(f"listen: 127.0.0.1:0\nadmin: {{listen: '127.0.0.1:0', secret_file: {secret}}}\n"),
            1, "chmod 600")
    refused(serve("listen: 127.0.0.1:0\ntls: {certificate: none.pem, key: none.pem}\n"), 1,
            "none.pem")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(serve(f"listen: 127.0.0.1:{port}\n"), 1, f"listen 127.0.0.1:{port}: ")
