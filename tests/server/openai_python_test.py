"""The official Python client, unchanged: every answer in both forms, and every error class."""
import json

import openai
import pytest

from executable import MODEL, explain, run
from serving import answer, unheard_of, user, wait_for


def text_of(completion):
    return completion.choices[0].message.content


def stream_of(client, text="Name three colours.", **options):
    with answer(client, text, stream=True, stream_options={"include_usage": True},
                **options) as stream:
        return list(stream)


def streamed_text(chunks):
    return "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)


def test_a_chat_has_the_tokens_of_the_command_line(client):
    ran = run("run", "-m", MODEL, "-p", "Name three colours.", "-n", "16", "--temperature", "0.8",
              "--top-k", "40", "--seed", "7", "--context", "2048", "--json")
    assert ran.returncode == 0, explain(ran)
    expected = json.loads(ran.stdout)
    options = {"temperature": 0.8, "seed": 7, "extra_body": {"top_k": 40}}
    whole = answer(client, **options)
    assert text_of(whole) == expected["text"]
    assert whole.choices[0].finish_reason == expected["finish_reason"] == "length"
    assert whole.usage.prompt_tokens == expected["usage"]["prompt_tokens"]
    assert whole.usage.completion_tokens == 16
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 16
    chunks = stream_of(client, **options)
    assert streamed_text(chunks) == expected["text"]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-2].choices[0].finish_reason == "length"
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 16
    assert len({chunk.id for chunk in chunks}) == 1


def test_choices_differ_and_a_seed_brings_them_back(client):
    def texts(**options):
        completion = answer(client, temperature=1, seed=11, **options)
        assert [choice.index for choice in completion.choices] == list(range(options["n"]))
        return [choice.message.content for choice in completion.choices]
    two = texts(n=2)
    assert two[0] != two[1]
    assert two == texts(n=2)
    assert two[:1] == texts(n=1)
    streamed = ["", ""]
    for chunk in stream_of(client, temperature=1, seed=11, n=2):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == two


def test_a_seed_that_is_drawn_is_told(client):
    first = answer(client, temperature=1)
    assert text_of(answer(client, temperature=1, seed=first.seed)) == text_of(first)


def test_stop(client):
    full = text_of(answer(client))
    stop = full[5:9]
    cut = answer(client, stop=[stop, "never written"])
    assert text_of(cut) == full[:full.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    assert streamed_text(stream_of(client, stop=stop)) == text_of(cut)


@pytest.mark.parametrize("speculation", [{"mode": "off"}, {"mode": "fixed", "draft_tokens": 3}])
def test_logprobs(client, speculation):
    def entries(**options):
        return answer(client, logprobs=True, top_logprobs=3,
                      extra_body={"speculation": speculation}, **options)
    completion = entries()
    listed = completion.choices[0].logprobs.content
    assert len(listed) == 16
    assert b"".join(bytes(entry.bytes) for entry in listed).decode() == text_of(completion)
    for entry in listed:
        tops = [top.logprob for top in entry.top_logprobs]
        assert len(tops) == 3 and tops == sorted(tops, reverse=True)
        assert entry.logprob == tops[0] <= 0, "the likeliest is taken at temperature 0"
    plain = answer(client, logprobs=True, top_logprobs=3, extra_body={
        "speculation": {"mode": "off"}}).choices[0].logprobs.content
    assert listed == plain
    if speculation["mode"] == "fixed":
        assert completion.speculation["drafted"] > 0


def test_predicted_outputs(client):
    text = "Repeat this: alpha beta gamma delta epsilon zeta"
    plain = answer(client, text, max_tokens=32, extra_body={"speculation": {"mode": "off"}})
    options = {"prediction": {"type": "content", "content": text_of(plain)},
               "extra_body": {"speculation": {"mode": "fixed", "draft_tokens": 4,
                                              "sources": ["prediction"]}}}
    predicted = answer(client, text, max_tokens=32, **options)
    assert text_of(predicted) == text_of(plain)
    details = predicted.usage.completion_tokens_details
    assert details.accepted_prediction_tokens > 0
    assert details.rejected_prediction_tokens == 0
    wrong = {**options, "prediction": {"type": "content", "content": "Seven wild boars." * 9}}
    assert text_of(answer(client, text, max_tokens=32, **wrong)) == text_of(plain)


def test_tools(client):
    """This model's template knows none, which is said; those that it may not call do not matter."""
    tools = [{"type": "function", "function": {
        "name": "weather", "parameters": {"type": "object", "properties": {
            "city": {"type": "string"}}, "required": ["city"]}}}]
    with pytest.raises(openai.BadRequestError, match="no place for tools"):
        answer(client, tools=tools)
    untold = answer(client, tools=tools, tool_choice="none")
    assert text_of(untold) == text_of(answer(client))
    with pytest.raises(openai.BadRequestError) as refused:
        answer(client, tools=[{"type": "function", "function": {"name": 5}}])
    assert refused.value.param == "tools[0].function.name"


def test_completions(client):
    completion = client.completions.create(model=MODEL, prompt=["Red, green and", "One, two,"],
                                           max_tokens=6, temperature=0, logprobs=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    assert completion.usage.completion_tokens == 12
    logprobs = completion.choices[1].logprobs
    assert "".join(logprobs.tokens) == completion.choices[1].text
    chunks = client.completions.create(model=MODEL, prompt="Red, green and", max_tokens=6,
                                       temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == completion.choices[0].text
    default = client.completions.create(model=MODEL, prompt="One, two,")
    assert default.usage.completion_tokens <= 16
    with pytest.raises(openai.BadRequestError) as refused:
        client.completions.create(model=MODEL, prompt="x", echo=True)
    assert refused.value.param == "echo"


def test_responses(client):
    options = {"model": MODEL, "input": "Name three colours.", "max_output_tokens": 16,
               "temperature": 0}
    whole = client.responses.create(**options)
    assert whole.output_text == text_of(answer(client))
    assert whole.status == "incomplete"
    assert whole.incomplete_details.reason == "max_output_tokens"
    assert whole.usage.output_tokens == 16
    events = list(client.responses.create(stream=True, **options))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text
    assert events[-1].type == "response.incomplete"
    assert events[-1].response.output_text == whole.output_text


def test_models(client):
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL


@pytest.mark.parametrize("options, param", [
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -1}, "temperature"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
     "messages[0].content[0].type"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "messages[0].role"),
    ({"n": 17}, "n"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"extra_body": {"speculation": {"mode": "always"}}}, "speculation.mode"),
])
def test_wrong_values_name_their_field(client, options, param):
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**{"model": MODEL, "messages": user("x"), **options})
    assert refused.value.param == param
    assert refused.value.type == "invalid_request_error"


def test_error_classes(server, client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-9", messages=user("x"))
    assert refused.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.AuthenticationError) as refused:
        server.client("ftk_wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(openai.BadRequestError):
        answer(client, "word " * 3000)
    with pytest.raises(openai.APIStatusError) as refused:
        client.embeddings.create(model=MODEL, input="x")
    assert 400 <= refused.value.status_code < 500


def test_a_rate_limit_says_when_to_come_back(server):
    key = server.store.add("hasty", "--requests-per-minute", "1")
    client = server.client(key, timeout=120)
    wait_for(lambda: server.get("/v1/models", key)[0] == 200, "the new tenant is known")
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=user("x"), max_tokens=1)
    assert raw.headers["x-ratelimit-limit-requests"] == "1"
    assert raw.headers["x-ratelimit-remaining-requests"] == "0"
    with pytest.raises(openai.RateLimitError) as refused:
        answer(client)
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 61
    assert refused.value.code == "rate_limit_exceeded"


def test_request_ids_and_ignored_fields(client):
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=user("x"), max_tokens=1, extra_headers={"x-request-id": "mine-1"},
        extra_body={"colour": "red", "store": True})
    assert raw.headers["x-request-id"] == "mine-1"
    assert sorted(raw.headers["x-foretoken-ignored-fields"].split(", ")) == ["colour", "store"]


def cancelled(server):
    return [row for row in server.store.rows() if row["outcome"] == "cancelled"]


def test_a_client_that_leaves_cancels_its_request(server, client):
    before = len(cancelled(server))
    with pytest.raises(openai.APITimeoutError):
        answer(client.with_options(timeout=0.5), unheard_of(), max_tokens=1800,
               extra_body={"ignore_eos": True})
    wait_for(lambda: len(cancelled(server)) == before + 1, "the timed out request is cancelled")
    stream = answer(client, unheard_of(), max_tokens=1800, stream=True,
                    extra_body={"ignore_eos": True})
    next(stream)
    stream.close()
    wait_for(lambda: len(cancelled(server)) == before + 2, "the closed stream is cancelled")
    assert all(row["completion_tokens"] < 1800 for row in cancelled(server))
