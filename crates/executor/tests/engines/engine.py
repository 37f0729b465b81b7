"""An engine for tests: `engine.py ADDRESS MODE [ARGUMENT]`; answers 200 to everything."""
import os
import signal
import socket
import sys
import time


def serve(address):
    if address.isdigit():
        server = socket.create_server(("127.0.0.1", int(address)))
    else:
        server = socket.socket(socket.AF_UNIX)
        server.bind(address)
        server.listen()
    while True:
        connection, _ = server.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        connection.close()


def child(pids_file, leave):
    """A child that ignores SIGTERM; `leave`: a grandchild in a session of its own."""
    if os.fork() == 0:
        if leave:
            os.setsid()
            if os.fork() != 0:
                os._exit(0)
        with open(pids_file + ".new", "w") as out:
            out.write(str(os.getpid()))
        os.rename(pids_file + ".new", pids_file)
        while True:
            time.sleep(3600)


def main():
    address, mode = sys.argv[1:3]
    argument = sys.argv[3] if len(sys.argv) > 3 else ""
    if mode == "dies":
        print("loading weights", flush=True)
        print("error: cannot read the weights", file=sys.stderr)
        sys.exit(3)
    if mode == "slow":
        time.sleep(3600)
    if mode in ("stubborn", "leaver"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child(argument, mode == "leaver")
    if mode == "env":
        print("env " + os.environ.get(argument, "absent"), flush=True)
    if mode == "chatty":
        line = b"x" * 99 + b"\n"
        for _ in range(100_000):
            os.write(1, line)
        os.write(2, b"\xff\xfe" + "끝".encode() + b"\n" + b"y" * 40_000 + b"\n")
    serve(address)


main()
