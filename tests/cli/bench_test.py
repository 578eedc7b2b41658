"""`foretoken bench decode` on the small model: the same tokens with and without speculation."""
import json

import pytest

from executable import MODEL, explain, needs_model, run

pytestmark = needs_model

PROMPTS = ["Count from one to twenty.", "Write a Python function that adds two numbers."]


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    path = tmp_path_factory.mktemp("bench") / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": prompt}) + "\n" for prompt in PROMPTS))
    return str(path)


@pytest.mark.parametrize("sampling", [("--temperature", "0"),
                                      ("--temperature", "0.8", "--seed", "7")])
@pytest.mark.parametrize("sources", [("--sources", "suffix"),
                                     ("--sources", "draft", "-d", MODEL),
                                     ("--sources", "suffix,draft", "-d", MODEL)])
def test_speculation_gives_the_same_tokens(prompts, sources, sampling):
    result = run("bench", "decode", "-m", MODEL, "--prompts", prompts, "-n", "48",
                 "--speculation", "4", "--json", *sources, *sampling)
    assert result.returncode == 0, explain(result)
    report = json.loads(result.stdout)
    check = report["check"]
    assert check["compared"] == len(PROMPTS)
    assert check["unexcused"] == 0
    assert check["equal"] + check["excused"] == len(PROMPTS)
    assert report["plain"]["tokens_per_second"] > 0
    assert report["speculative"]["tokens_per_second"] > 0
    assert report["ratio"]["min"] <= report["ratio"]["median"] <= report["ratio"]["max"]
    speculation = report["speculation"]
    assert speculation["drafted"] == sum(p["drafted"] for p in speculation["by_position"])
    if sources[1] == "draft":
        # The draft model is the target: nearly everything is accepted.
        assert speculation["accepted"] > 0.9 * speculation["drafted"] > 0


def test_the_table_has_the_figures(prompts):
    result = run("bench", "decode", "-m", MODEL, "--prompts", prompts, "--limit", "1", "-n", "16",
                 "--repeat", "2")
    assert result.returncode == 0, explain(result)
    for word in (b"same tokens", b"1 of 1", b"tokens/s, median", b"ratio, median", b"tau",
                 b"verify", b"rest"):
        assert word in result.stdout, explain(result)


def test_another_rule_is_not_compared(prompts):
    result = run("bench", "decode", "-m", MODEL, "-d", MODEL, "--prompts", prompts, "--limit", "1",
                 "-n", "16", "--rule", "max-acceptance", "--temperature", "1", "--json")
    assert result.returncode == 0, explain(result)
    check = json.loads(result.stdout)["check"]
    assert check["compared"] == 0
    assert "max-acceptance" in check["skipped"]


def test_a_draft_that_cannot_run_is_an_error(prompts, tmp_path):
    path = tmp_path / "draft.gguf"
    path.write_bytes(b"not a model")
    result = run("bench", "decode", "-m", MODEL, "-d", str(path), "--prompts", prompts)
    assert result.returncode == 1, explain(result)
    assert b"draft.gguf" in result.stderr, explain(result)
