"""Serves one GGUF file with llama.cpp's own server, in this process, on loopback or a unix socket.

Started and watched by Madang. Ends on SIGTERM, and by itself when its parent is gone.
"""

import argparse
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

PARENT_CHECK_S = 1.0
# Prompt cache outside the slots; llama.cpp's own default of 8 GiB would fill a laptop.
PROMPT_CACHE_MIB = 256


def fail(message):
    sys.stderr.write("madang engine: " + message + "\n")
    sys.stderr.flush()
    os._exit(1)


def end_with(parent):
    """Ends this process once its parent is gone, so that no engine outlives a killed Madang."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(0)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int)
    where.add_argument("--socket")
    parser.add_argument("--slots", type=int, required=True)
    parser.add_argument("--context", type=int, required=True, help="tokens of all slots together")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def params(engine, args):
    p = engine.CommonParams()
    p.model.path = args.model
    p.model_alias = [args.alias]
    if args.socket:
        p.hostnames = [args.socket]
    else:
        p.hostnames = ["127.0.0.1"]
        p.port = args.port
    p.n_parallel = args.slots
    p.n_ctx = args.context
    p.n_gpu_layers = 0
    # The engine notices that a client left between batches of a prompt only.
    p.n_batch = p.n_ubatch = 64
    # Where a request names no temperature: small models answer at 0.2 what they get wrong at the engine's own 0.8.
    p.sampling.temp = 0.2
    p.fit_params = False
    p.cache_ram_mib = PROMPT_CACHE_MIB
    p.cpuparams.n_threads = args.threads
    p.cpuparams_batch.n_threads = args.threads
    p.endpoint_metrics = p.endpoint_slots = p.use_jinja = True
    p.ui = False
    p.offline = True
    return p


def main():
    args = arguments()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    if not os.path.isfile(args.model):
        fail("no such model file: " + args.model)
    try:
        import xllamacpp as engine
    except ImportError as problem:
        fail("cannot load the engine (is libgomp1 installed?): %s" % problem)
    try:
        server = engine.Server(params(engine, args))
    except Exception as problem:
        fail("cannot serve %s: %s (llama.cpp's own lines stand above)" % (args.model, problem))
    sys.stderr.write("madang engine: ready at %s\n" % server.listening_address)
    sys.stderr.flush()
    while True:
        signal.pause()


main()
