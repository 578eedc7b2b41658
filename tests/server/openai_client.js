// Usage: node openai_client.js BASE_URL KEY MODEL. Prints what held, a line each; throws where
// something does not hold.
'use strict';
const assert = require('node:assert/strict');
const OpenAI = require('openai');

const [baseURL, apiKey, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0, timeout: 60000 });
const request = {
  model,
  messages: [{ role: 'user', content: 'Name three colours.' }],
  max_tokens: 12,
  temperature: 0.8,
  seed: 5,
};

async function main() {
  const whole = await client.chat.completions.create(request);
  const text = whole.choices[0].message.content;
  assert.equal(whole.usage.completion_tokens, 12);
  assert.equal(whole.choices[0].finish_reason, 'length');
  console.log('chat');

  const stream = await client.chat.completions.create({
    ...request, stream: true, stream_options: { include_usage: true },
  });
  let streamed = '';
  let usage;
  for await (const chunk of stream) {
    streamed += chunk.choices[0]?.delta?.content ?? '';
    usage = chunk.usage ?? usage;
  }
  assert.equal(streamed, text);
  assert.equal(usage.completion_tokens, 12);
  console.log('stream');

  const long = await client.chat.completions.create({
    ...request, max_tokens: 1800, ignore_eos: true, stream: true,
  });
  for await (const chunk of long) {
    assert.equal(chunk.model, model);
    break;  // leaves the stream, which closes it
  }
  console.log('cancel');

  const ids = [];
  for await (const entry of client.models.list()) ids.push(entry.id);
  assert.deepEqual(ids, [model]);
  assert.equal((await client.models.retrieve(model)).id, model);
  console.log('models');

  await assert.rejects(client.models.retrieve('gpt-9'), (error) =>
    error instanceof OpenAI.NotFoundError && error.code === 'model_not_found');
  await assert.rejects(
    client.chat.completions.create({ ...request, temperature: 'hot' }),
    (error) => error instanceof OpenAI.BadRequestError && error.param === 'temperature');
  await assert.rejects(
    new OpenAI({ baseURL, apiKey: 'ftk_wrong', maxRetries: 0 }).models.list(),
    (error) => error instanceof OpenAI.AuthenticationError);
  console.log('errors');
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
