#!/usr/bin/python3
"""An interactive bash over a pseudo-terminal, at which more is typed than it reads: while a command of it waits for the file `release-N`,
each file `type-N` has two further commands and the beginning of a third typed; `typed-N` says that they are. After `release-N` the third
is completed, and `done-N` says that all three have been run. `go` ends it all: every command has been run once, in order."""
import os
import pty
import sys
import threading
import time

from serving import wait_for

work = sys.argv[1]


def has(name):
    return os.path.exists(work + "/" + name)


def mark(name, text=""):
    with open(work + "/." + name, "w") as file:
        file.write(text)
    os.rename(work + "/." + name, work + "/" + name)


def lines():
    return open(work + "/lines").read().split() if has("lines") else []


def main():
    pid, master = pty.fork()
    if pid == 0:
        os.execve("/bin/bash", ["bash", "--norc", "--noprofile", "-i"], {"PATH": os.environ["PATH"], "TERM": "dumb", "PS1": "> ", "LC_ALL": "C.UTF-8"})
    shown = bytearray()

    def read():
        while True:
            try:
                shown.extend(os.read(master, 65536))
            except OSError:
                return

    threading.Thread(target=read, daemon=True).start()

    def type_in(text):
        """What is typed while a command runs is echoed by the kernel."""
        before = len(shown)
        os.write(master, text.encode())
        wait_for(lambda: bytes(shown[before:]).replace(b"\r\n", b"\r").endswith(text.encode()), "the echo of " + text)

    expected = []
    number = 0
    mark("ready")
    while not has("go"):
        if has(f"type-{number}"):
            os.write(master, f"touch {work}/waits-{number}; until [ -e {work}/release-{number} ]; do sleep 0.05; done\r".encode())
            wait_for(lambda: has(f"waits-{number}"), "the command")
            type_in(f"echo {number}-one >> {work}/lines\recho {number}-two >> {work}/lines\recho {number}-thr")
            mark(f"typed-{number}")
            wait_for(lambda: has(f"release-{number}"), "the release")
            os.write(master, f"ee >> {work}/lines\r".encode())
            expected += [f"{number}-one", f"{number}-two", f"{number}-three"]
            wait_for(lambda: len(lines()) >= len(expected), "the commands")
            if lines() != expected:
                raise RuntimeError(f"{lines()} instead of {expected}; {bytes(shown)}")
            mark(f"done-{number}")
            number += 1
        time.sleep(0.01)
    os.write(master, b"exit\r")
    os.waitpid(pid, 0)
    mark("result", "PASS\n" if lines() == expected else f"FAIL: {lines()}\n")


try:
    main()
except Exception as error:
    mark("result", f"FAIL: {error!r}\n")
