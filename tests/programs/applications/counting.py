#!/usr/bin/python3
"""counting.py WORK: a server whose every connection is answered by the thread that it gets, until it has been half closed: "N LINE" for each line, and at
its end "end N". Its port cannot be bound a second time (no SO_REUSEADDR). It ends, with a verdict, when the file `go` is there."""
import os
import socket
import sys
import threading
import time


def answer(connection):
    count = 0
    try:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                count += 1
                connection.sendall(b"%d %s" % (count, line))
            connection.sendall(b"end %d\n" % count)
    except OSError:
        pass


def accept(listener):
    while True:
        threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()


def main():
    work = sys.argv[1]
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
    with open(work + "/port", "w") as port:
        port.write(str(listener.getsockname()[1]))
    open(work + "/ready", "w").close()
    while not os.path.exists(work + "/go"):
        time.sleep(0.01)
    with open(work + "/.result", "w") as result:
        result.write("PASS\n")
    os.rename(work + "/.result", work + "/result")


main()
