#!/usr/bin/python3
"""A tmux server with vim in it and a client attached over a pseudo-terminal. Each file `type-N` is a line that is typed into vim
through the client's terminal (odd N) or by send-keys (even N); `typed-N` says that it stands on the screen. `save` has vim write
`text`, `saved` says that it has; `resize` gives the client's terminal another size, `resized` says that vim has seen it. `go` ends it all."""
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time

from serving import wait_for

work = sys.argv[1]
environment = {**os.environ, "TERM": "vt100", "LC_ALL": "C.UTF-8", "SHELL": "/bin/sh", "HOME": work}
environment.pop("TMUX", None)


def has(name):
    return os.path.exists(work + "/" + name)


def mark(name, text=""):
    with open(work + "/." + name, "w") as file:
        file.write(text)
    os.rename(work + "/." + name, work + "/" + name)


def tmux(*words):
    return subprocess.run(
        ["tmux", "-S", work + "/socket", "-f", "/dev/null", *words], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=True
    ).stdout


def screen():
    return tmux("capture-pane", "-p", "-t", "only")


def resize(terminal, rows, columns):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class Client:
    """Attached over a terminal whose master this process reads."""

    def __init__(self):
        self.received = 0
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            resize(0, 24, 80)
            os.execvpe("tmux", ["tmux", "-S", work + "/socket", "attach", "-t", "only"], environment)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            try:
                self.received += len(os.read(self.master, 65536))
            except OSError:
                return


def main():
    tmux("new-session", "-d", "-s", "only", "-x", "80", "-y", "24", "vim -N -u NONE -i NONE -n -c 'set showmode noruler laststatus=0 esckeys' " + work + "/text")
    tmux("set-option", "-g", "status", "off")
    client = Client()
    wait_for(lambda: tmux("list-clients"), "the client")
    wait_for(lambda: "text" in screen() and "[New" in screen(), "vim")
    server = tmux("display-message", "-p", "#{pid}")
    tmux("send-keys", "-t", "only", "i")
    wait_for(lambda: "INSERT" in screen(), "insert mode")
    mark("ready")
    n = 0
    while not has("go"):
        if has("type-%d" % n):
            with open(work + "/type-%d" % n) as file:
                text = file.read()
            before = client.received
            if n % 2:
                os.write(client.master, (text + "\r").encode())
            else:
                tmux("send-keys", "-t", "only", "-l", text)
                tmux("send-keys", "-t", "only", "Enter")
            wait_for(lambda: text + "\n" in screen(), text)
            # It is drawn at the attached client too, by the same server as ever.
            wait_for(lambda: client.received >= before + len(text), "what the client draws")
            if tmux("display-message", "-p", "#{pid}") != server:
                raise RuntimeError("another server")
            mark("typed-%d" % n)
            n += 1
        if has("resize") and not has("resized"):
            resize(client.master, 30, 100)
            tmux("send-keys", "-t", "only", "Escape")
            wait_for(lambda: "100x30" == tmux("display-message", "-p", "-t", "only", "#{window_width}x#{window_height}").strip(), "the window")
            tmux("send-keys", "-t", "only", ":echo 'size' &lines &columns", "Enter")
            wait_for(lambda: "size 30 100" in screen(), "the size in vim")
            mark("resized")
        if has("save") and not has("saved"):
            tmux("send-keys", "-t", "only", "Escape")
            tmux("send-keys", "-t", "only", ":w", "Enter")
            wait_for(lambda: "written" in screen(), "the file")
            mark("saved")
        time.sleep(0.01)
    tmux("send-keys", "-t", "only", ":q!", "Enter")
    _, status = os.waitpid(client.pid, 0)
    mark("result", "PASS\n" if status == 0 else "FAIL: the client ended with %d\n" % status)


try:
    main()
except Exception as failure:
    mark("result", "FAIL: %r\n" % failure)
