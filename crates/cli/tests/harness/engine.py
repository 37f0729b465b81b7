"""A small engine for tests: python3 engine.py PORT MODEL. It speaks chat, plain and streamed.

The mark `fake-behaviour=slow:FIRST:EACH` in a message asks for a pace in milliseconds, as the fake engine has it.
"""

import json
import re
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, MODEL = int(sys.argv[1]), sys.argv[2]


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, form, *args):
        print("engine: " + form % args + " ." * 500, file=sys.stderr, flush=True)

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {})
        elif self.path == "/v1/models":
            self.answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        else:
            self.answer(404, {"error": {"message": "no such path"}})

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, body):
        self.chunk(b"data: " + body.encode() + b"\n\n")

    def do_POST(self):
        ask = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = json.dumps(ask)
        tokens = ask["max_tokens"]
        pause_s = int((re.search(r"slow:\d+:(\d+)", text) or [0, "0"])[1]) / 1000
        usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
        base = {"id": "x", "created": 0, "model": MODEL}
        if not ask.get("stream"):
            time.sleep(tokens * pause_s)
            choice = {"index": 0, "message": {"role": "assistant", "content": "w " * tokens}, "finish_reason": "stop"}
            return self.answer(200, {**base, "object": "chat.completion", "choices": [choice], "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        base["object"] = "chat.completion.chunk"
        for _ in range(tokens):
            time.sleep(pause_s)
            choice = {"index": 0, "delta": {"content": "w "}, "finish_reason": None}
            self.event(json.dumps({**base, "choices": [choice]}))
        self.event(json.dumps({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        self.event(json.dumps({**base, "choices": [], "usage": usage}))
        self.event("[DONE]")
        self.chunk(b"")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("engine: it listens", flush=True)
Server(("127.0.0.1", PORT), Engine).serve_forever()
