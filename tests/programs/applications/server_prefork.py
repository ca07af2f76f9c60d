"""server_prefork.py PORT: four processes accept on one socket and count in memory that they share, under a lock that they share."""
import multiprocessing
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

CONTENT = bytes(i * i % 251 for i in range(20000))
KEYS = 64
lock = multiprocessing.Lock()
names = multiprocessing.Array("Q", KEYS, lock=False)
counts = multiprocessing.Array("q", KEYS, lock=False)


def count(key):
    name = int.from_bytes(key.encode()[:8].rjust(8), "little")
    with lock:
        place = next(i for i in range(KEYS) if names[i] in (0, name))
        names[place] = name
        counts[place] += 1
        return counts[place] - 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urlsplit(self.path)
        body = CONTENT if url.path == "/content" else str(count(parse_qs(url.query)["key"][0])).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def work(listener):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        client, address = listener.accept()
        threading.Thread(target=Handler, args=(client, address, None), daemon=True).start()


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=64)
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            work(listener)
        children.append(child)

    def end(*_):
        for child in children:
            os.kill(child, signal.SIGTERM)
        for child in children:
            os.waitpid(child, 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        signal.pause()


main()
