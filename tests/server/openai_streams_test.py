"""Many answers at once are the ones that each request has alone, speculative or not."""
import asyncio

import pytest

from executable import MODEL
from serving import user

REQUESTS = [
    {"messages": user(f"Tell a story about the number {number}."), "max_tokens": 24,
     "temperature": number % 4 / 4, "seed": number}
    for number in range(16)]


async def streamed(client, request, speculation):
    text = ""
    finish = usage = None
    stream = await client.chat.completions.create(
        model=MODEL, stream=True, stream_options={"include_usage": True},
        extra_body={"speculation": speculation}, **request)
    async for chunk in stream:
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
        usage = chunk.usage or usage
    return text, finish, usage.completion_tokens


@pytest.fixture(name="alone", scope="module")
def fixture_alone(server):
    """Each request's answer, alone and without speculation."""
    with server.client(server.acme) as client:
        answers = [client.chat.completions.create(
            model=MODEL, extra_body={"speculation": {"mode": "off"}}, **request)
            for request in REQUESTS]
    return [(answer.choices[0].message.content, answer.choices[0].finish_reason,
             answer.usage.completion_tokens) for answer in answers]


@pytest.mark.parametrize("speculation", [
    {"mode": "off"}, {"mode": "auto"}, {"mode": "fixed", "draft_tokens": 4}],
    ids=lambda speculation: speculation["mode"])
def test_streams_side_by_side(server, alone, speculation):
    async def together():
        async with server.async_client(server.acme) as client:
            return await asyncio.gather(
                *(streamed(client, request, speculation) for request in REQUESTS))
    assert len({text for text, _, _ in alone}) > 8
    assert asyncio.run(together()) == alone
