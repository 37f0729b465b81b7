// The official JavaScript SDK with only `baseURL` and key changed, against the real model.
// BASE_URL and TENANT_KEY come from whoever started the server (tests/e2e/test_javascript.py).

import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI, { toFile } from "openai";

const CHAT = "qwen2.5-coder-0.5b-instruct";
const EMBED = "multilingual-e5-small";
const client = new OpenAI({
  baseURL: process.env.BASE_URL,
  apiKey: process.env.TENANT_KEY,
  maxRetries: 0,
  timeout: 180_000,
});

const QUESTIONS = [
  ["ko", "대한민국의 수도는 어디인가요? 한 문장으로 답하세요.", /서울/],
  ["en", "What is the capital of South Korea? Answer in one sentence.", /Seoul/],
];
const ask = (content) => ({
  model: CHAT,
  messages: [{ role: "user", content }],
  temperature: 0,
  max_tokens: 24,
});

for (const [language, question, expected] of QUESTIONS) {
  test(`chat, plain, ${language}`, async () => {
    const answer = await client.chat.completions.create(ask(question));
    assert.match(answer.choices[0].message.content, expected);
    assert.ok(answer.usage.completion_tokens > 0);
  });

  test(`chat, streamed, ${language}`, async () => {
    const stream = await client.chat.completions.create({ ...ask(question), stream: true });
    const pieces = [];
    for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta?.content ?? "");
    assert.match(pieces.join(""), expected);
    assert.ok(pieces.filter(Boolean).length > 3, "a stream comes in pieces");
  });
}

test("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.deepEqual(names.sort(), [EMBED, CHAT].sort());
  assert.equal((await client.models.retrieve(CHAT)).id, CHAT);
});

test("embeddings", async () => {
  const input = ["마당은 여러 집이 함께 쓰는 뜰입니다.", "A madang is a courtyard that several houses share."];
  const { data } = await client.embeddings.create({ model: EMBED, input });
  assert.deepEqual(data.map((row) => row.embedding.length), [384, 384]);
  assert.ok(Math.abs(Math.hypot(...data[0].embedding) - 1) < 0.01, "decoded from base64 by the SDK");
});

test("responses, streamed", async () => {
  const stream = await client.responses.create({
    model: CHAT,
    input: QUESTIONS[1][1],
    temperature: 0,
    max_output_tokens: 24,
    stream: true,
  });
  const events = [];
  for await (const event of stream) events.push(event);
  const deltas = events.filter((event) => event.type === "response.output_text.delta");
  assert.match(deltas.map((event) => event.delta).join(""), /Seoul/);
  assert.equal(events[0].type, "response.created");
  assert.match(events.at(-1).type, /^response\.(completed|incomplete)$/);
  assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, at) => at));
});

test("a tool call", async () => {
  const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
  const answer = await client.chat.completions.create({
    ...ask("What is the weather in Busan?"),
    max_tokens: 60,
    tools: [{ type: "function", function: { name: "get_weather", parameters } }],
    tool_choice: "required",
  });
  const [call] = answer.choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assert.match(JSON.parse(call.function.arguments).city, /busan/i);
});

test("errors have the SDK's classes", async () => {
  const stranger = new OpenAI({ baseURL: process.env.BASE_URL, apiKey: "mdg_no_such", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (error) => {
    assert.ok(error instanceof OpenAI.AuthenticationError);
    return error.code === "key_invalid";
  });
  await assert.rejects(client.chat.completions.create({ ...ask("hi"), model: "gpt-5" }), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    return error.code === "model_not_found" && error.param === "model";
  });
  await assert.rejects(client.chat.completions.create({ ...ask("hi"), messages: "hi" }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    return error.param === "messages";
  });
});

test("a stream may be left", async () => {
  const stream = await client.chat.completions.create({ ...ask("Count to a thousand."), max_tokens: 400, stream: true });
  for await (const chunk of stream) {
    assert.ok(chunk.choices);
    break;
  }
  assert.ok((await client.chat.completions.create({ ...ask("Say hello."), max_tokens: 1 })).choices[0]);
});

test("a batch is answered", async () => {
  const url = "/v1/chat/completions";
  const line = (id) => JSON.stringify({ custom_id: id, method: "POST", url, body: ask("Say yes.") });
  const lines = Buffer.from([line("one"), line("two")].join("\n"));
  const file = await client.files.create({ file: await toFile(lines, "lines.jsonl"), purpose: "batch" });
  let batch = await client.batches.create({ input_file_id: file.id, endpoint: url, completion_window: "24h" });
  while (["validating", "in_progress", "finalizing"].includes(batch.status)) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    batch = await client.batches.retrieve(batch.id);
  }
  assert.equal(batch.status, "completed");
  const text = await (await client.files.content(batch.output_file_id)).text();
  const ids = text.trimEnd().split("\n").map((answer) => JSON.parse(answer).custom_id);
  assert.deepEqual(ids.sort(), ["one", "two"]);
});

test("a model is tuned", async () => {
  const line = (n) => JSON.stringify({ messages: [{ role: "assistant", content: `마당은 뜰입니다. ${n}` }] });
  const lines = Buffer.from(Array.from({ length: 12 }, (_, n) => line(n)).join("\n"));
  const file = await client.files.create({ file: await toFile(lines, "examples.jsonl"), purpose: "fine-tune" });
  const asked = { model: "letters", training_file: file.id, hyperparameters: { n_epochs: 2, batch_size: 4 } };
  let job = await client.fineTuning.jobs.create(asked);
  while (["validating_files", "queued", "running"].includes(job.status)) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    job = await client.fineTuning.jobs.retrieve(job.id);
  }
  assert.equal(job.status, "succeeded", JSON.stringify(job));
  const losses = [];
  for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 3 })) {
    if (event.type === "metrics") losses.unshift(event.data.train_loss);
  }
  assert.equal(losses.length, 6);
  assert.ok(losses[5] < losses[0], losses.join(" "));
  const steps = [];
  for await (const checkpoint of client.fineTuning.jobs.checkpoints.list(job.id)) steps.push(checkpoint.step_number);
  assert.deepEqual(steps, [6, 3]);
  const model = await (await client.files.content(job.result_files[0])).json();
  assert.ok(model.letters.includes("마"));
});
