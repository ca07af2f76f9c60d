#!/usr/bin/python3
"""An application that never rests: threads and a child that talk over sockets and pipes, files that are written, memory that comes and goes,
children that are born and end, and a bit of everything else that has descriptors. `beat` in the work directory grows by a line each round,
until `go` is there; `ready` comes with the first."""
import mmap
import os
import select
import socket
import sys
import tempfile
import threading

work = sys.argv[1]


def echo(end):
    while data := end.recv(4096):
        end.sendall(data)


def child(reader, writer):
    while data := os.read(reader, 100):
        os.write(writer, data)
    os._exit(0)


def main():
    inside, outside = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    for end in inside, server:
        threading.Thread(target=echo, args=(end,), daemon=True).start()
    there, back = os.pipe(), os.pipe()
    if os.fork() == 0:
        child(there[0], back[1])
    counter = os.eventfd(0)
    poll = select.epoll()
    poll.register(counter, select.EPOLLIN)
    shared = mmap.mmap(-1, 1 << 20)
    kept = tempfile.TemporaryFile(dir=work, buffering=0)
    beats = 0
    while not os.path.exists(work + "/go"):
        beats += 1
        word = b"%d" % beats
        for end in outside, client:
            end.sendall(word)
            got = b""
            while len(got) < len(word):
                got += end.recv(100)
            assert got == word, (got, word)
        os.write(there[1], word)
        assert os.read(back[0], 100) == word
        os.eventfd_write(counter, 1)
        assert poll.poll() and os.eventfd_read(counter) == 1
        shared.seek(0)
        shared.write(word)
        os.pwrite(kept.fileno(), word, 0)
        bytearray(os.urandom(200000))
        if beats % 50 == 0:
            if os.fork() == 0:
                os._exit(0)
            os.wait()
        with open(work + "/beat", "a") as file:
            file.write("x\n")
        if beats == 1:
            open(work + "/ready", "w").close()
    with open(work + "/.result", "w") as file:
        file.write("PASS\n")
    os.rename(work + "/.result", work + "/result")
    os._exit(0)


main()
