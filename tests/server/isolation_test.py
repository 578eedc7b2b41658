"""Nothing of a tenant shows to another, and nothing at all to who has no key."""
import itertools
import random

import openai
import pytest

from executable import MODEL
from serving import answer, unheard_of, wait_for

OPEN_PATHS = ("/health/live", "/health/ready", "/openapi.json")


@pytest.fixture(name="other", scope="module")
def fixture_other(server):
    key = server.store.add("other")
    wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the new tenant is known")
    with server.client(key) as client:
        yield client


def cached(completion):
    return completion.usage.prompt_tokens_details.cached_tokens


def test_cached_prompts_are_the_tenants_own(client, other):
    """The prefix probe of arXiv 2411.18191, by what the server says instead of by time."""
    for _ in range(4):
        prompt = unheard_of()
        assert cached(answer(client, prompt, max_tokens=1)) < 40, "nothing but the template's start"
        assert cached(answer(client, prompt, max_tokens=1)) > 64
        # The template's start is the same in what the other has sent itself.
        assert cached(answer(other, prompt, max_tokens=1)) < 40
        assert cached(answer(other, prompt, max_tokens=1)) > 64


def test_drafts_come_from_the_tenants_own_texts(client, other):
    prompt = unheard_of()
    options = {"max_tokens": 48, "extra_body": {"ignore_eos": True, "speculation": {
        "mode": "fixed", "draft_tokens": 4, "sources": ["suffix"]}}}
    first = answer(client, prompt, **options)
    again = answer(client, prompt, **options)
    others = answer(other, prompt, **options)
    assert first.choices[0].message.content == again.choices[0].message.content
    assert others.choices[0].message.content == first.choices[0].message.content
    assert others.speculation == first.speculation
    assert again.speculation["accepted"] >= first.speculation["accepted"]


def test_a_model_that_is_not_a_tenants_is_unknown_to_it(server):
    key = server.store.add("elsewhere", "--models", "another-model")
    wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the new tenant is known")
    with server.client(key) as client:
        assert list(client.models.list()) == []
        with pytest.raises(openai.NotFoundError) as hidden:
            client.models.retrieve(MODEL)
        with pytest.raises(openai.NotFoundError) as missing:
            client.models.retrieve("no-such-model")
        assert str(hidden.value).replace(MODEL, "no-such-model") == str(missing.value)
        with pytest.raises(openai.NotFoundError):
            answer(client)


def test_ids_do_not_tell_how_much_others_do(client, other):
    ids = [answer(client, max_tokens=1).id, answer(other, max_tokens=1).id,
           answer(client, max_tokens=1).id]
    assert len(set(ids)) == 3
    assert all(len(name.removeprefix("chatcmpl-")) == 32 for name in ids), "128 random bits"


def test_without_a_key_nothing_answers(server):
    """Every path, method and way to say a key: 401 and one and the same body."""
    choice = random.Random(1)
    paths = ["/", "/v1/models", f"/v1/models/{MODEL}", "/v1/chat/completions", "/v1/completions",
             "/v1/responses", "/v1/embeddings", "/tokenize", "/detokenize", "/v1/stream",
             "/metrics", "/admin/tenants", "//v1/models", "/v1//models", "/V1/MODELS", "/v1/../v1",
             "/health/live/../../v1/models", "/openapi.json/x", "/%76%31/models",
             "/v1/models?key=x"]
    paths += ["/" + "".join(choice.choices("abv1/.%-2f", k=8)).replace("%", "%41")
              for _ in range(40)]
    keys = [None, "", "x", server.acme[:-1], server.acme + "x", server.acme.upper(),
            server.acme[:12], "ftk_" + "a" * 49, server.acme + "," + server.acme]
    methods = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW"]
    for path, (method, key) in itertools.product(
            paths, choice.sample(list(itertools.product(methods, keys)), 12)):
        status, headers, body = server.get(path, key, method)
        assert status == 401, (method, path, key, status, body)
        assert "access-control-allow-origin" not in headers
    for path in OPEN_PATHS:
        assert server.get(path)[0] in (200, 401, 404)
