// The official JavaScript SDKs of both vendors at an upstream that speaks Anthropic's dialect (`far`) and at an engine that
// speaks OpenAI's (`near`). URL and TENANT_KEY come from whoever started the server (tests/e2e/test_anthropic.py).

import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const options = { apiKey: process.env.TENANT_KEY, maxRetries: 0, timeout: 60_000 };
const claude = new Anthropic({ ...options, baseURL: process.env.URL });
const chat = new OpenAI({ ...options, baseURL: `${process.env.URL}/v1` });

// What a fake engine says in three tokens.
const SAID = "서울은 대한민국의";
const messages = [{ role: "user", content: "안녕" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };

for (const model of ["far", "near"]) {
  const ask = { model, max_tokens: 3, messages };

  test(`a message, ${model}`, async () => {
    const message = await claude.messages.create(ask);
    assert.deepEqual(message.content.map((block) => block.text), [SAID]);
    assert.equal(message.stop_reason, "max_tokens");
    assert.equal(message.usage.output_tokens, 3);
  });

  test(`a streamed message, ${model}`, async () => {
    const stream = claude.messages.stream(ask);
    const pieces = [];
    stream.on("text", (text) => pieces.push(text));
    const message = await stream.finalMessage();
    assert.equal(pieces.join(""), SAID);
    assert.equal(message.content[0].text, SAID);
    assert.equal(message.usage.output_tokens, 3);
  });

  test(`a tool, ${model}`, async () => {
    const tools = [{ name: "get_weather", input_schema: parameters }];
    const stream = claude.messages.stream({ ...ask, tools, tool_choice: { type: "any" } });
    const message = await stream.finalMessage();
    assert.equal(message.stop_reason, "tool_use");
    assert.deepEqual(message.content[0].input, { city: "서울" });
  });

  test(`chat, ${model}`, async () => {
    const answer = await chat.chat.completions.create(ask);
    assert.equal(answer.choices[0].message.content, SAID);
    const stream = await chat.chat.completions.create({ ...ask, stream: true });
    const pieces = [];
    for await (const chunk of stream) pieces.push(chunk.choices[0]?.delta?.content ?? "");
    assert.equal(pieces.join(""), SAID);
  });

  test(`a tool call, ${model}`, async () => {
    const tools = [{ type: "function", function: { name: "get_weather", parameters } }];
    const answer = await chat.chat.completions.create({ ...ask, tools, tool_choice: "required" });
    assert.deepEqual(JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments), { city: "서울" });
  });
}

test("errors have the SDK's classes", async () => {
  await assert.rejects(claude.messages.create({ model: "no-such", max_tokens: 1, messages }), (error) => {
    assert.ok(error instanceof Anthropic.NotFoundError);
    return error.error.error.code === "model_not_found";
  });
  const broken = { model: "near", max_tokens: 3, messages, stream: true, metadata: { user_id: "fake-behaviour=cut:3" } };
  await assert.rejects(async () => {
    for await (const event of await claude.messages.create(broken)) assert.ok(event.type);
  }, (error) => error instanceof Anthropic.APIError && error.error.error.code === "engine_cut");
});
