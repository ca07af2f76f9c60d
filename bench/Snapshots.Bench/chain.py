#!/usr/bin/env python3
"""Migrates a chain of snapshots, 1 % random changes each, with `holdfast migrate` to `holdfast node` over loopback with mutual TLS;
beside it, the same bytes by dd through a TLS socket of openssl. Memory is of each process.

usage: chain.py [MiB] [SNAPSHOTS] [--cuts N]   from the root of the repository, with the program and the bench built
--cuts N sends everything through a proxy that cuts the connection N times.
"""
import json, os, random, resource, shutil, socket, subprocess, sys, tempfile, threading, time

args = [a for a in sys.argv[1:] if not a.startswith("--")]
cuts = int(sys.argv[sys.argv.index("--cuts") + 1]) if "--cuts" in sys.argv else 0
if "--cuts" in sys.argv:
    args.remove(str(cuts))
mib, count = int(args[0]) if args else 1024, int(args[1]) if len(args) > 1 else 100
root = tempfile.mkdtemp(prefix="holdfast-chain-", dir="/dev/shm")
holdfast = os.environ.get("HOLDFAST_BIN", "./holdfast")
bench = ["dotnet", "bench/Snapshots.Bench/bin/Release/net10.0/Holdfast.Snapshots.Bench.dll"]


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates():
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=authority", "-days", "2",
            "-keyout", f"{root}/ca.key", "-out", f"{root}/ca.pem")
    with open(f"{root}/ext", "w") as file:
        file.write("subjectAltName=DNS:localhost\n")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost", "-keyout", f"{root}/n.key", "-out", f"{root}/n.csr")
    openssl("x509", "-req", "-in", f"{root}/n.csr", "-CA", f"{root}/ca.pem", "-CAkey", f"{root}/ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", f"{root}/ext", "-out", f"{root}/n.pem")


def processor():
    """Seconds of processor time of all processes that have ended and were waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def await_listener(port):
    while True:
        with open("/proc/net/tcp") as table:
            if any(words[1].endswith(f":{port:04X}") and words[3] == "0A" for words in map(str.split, table)):
                return
        time.sleep(0.05)


def memory_of(pid):
    """MiB: the peak of what is resident, and what of it is the process's own now, not mapped from files that all processes of .NET share."""
    with open(f"/proc/{pid}/status") as status:
        sizes = {line.split(":")[0]: int(line.split()[1]) // 1024 for line in status if line.startswith(("VmHWM", "Rss"))}
    return sizes["VmHWM"], sizes["RssAnon"] + sizes["RssShmem"]


def cutter(port, times, total):
    """A proxy that ends each connection after a random share of the bytes, until it has done so often enough."""
    listener = socket.create_server(("127.0.0.1", 0))
    left = [times]

    def copy(source, target, limit):
        passed = 0
        try:
            while passed < limit and (data := source.recv(65536)):
                target.sendall(data)
                passed += len(data)
        except OSError:
            pass
        if passed >= limit:
            left[0] -= 1
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def serve():
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(("127.0.0.1", port))
            limit = random.randint(total // times // 3, total // times) if left[0] > 0 else 1 << 62
            threading.Thread(target=copy, args=(client, server, limit), daemon=True).start()
            threading.Thread(target=copy, args=(server, client, 1 << 62), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1], left


def warm(size):
    """Writes and removes so much: a virtual machine may have to ask its host for memory that nobody has used for a while, which takes longer than to write to it."""
    block = bytes(1 << 20)
    with open(f"{root}/warm", "wb", buffering=0) as file:
        for _ in range(size >> 20):
            file.write(block)
    os.unlink(f"{root}/warm")


def main():
    certificates()
    tls = ["--certificate", f"{root}/n.pem", "--private-key", f"{root}/n.key", "--authority", f"{root}/ca.pem"]
    distinct = int(subprocess.run([*bench, "make", f"{root}/a", str(mib), str(count)], check=True, capture_output=True, text=True).stdout)
    node = subprocess.Popen([holdfast, "--store", f"{root}/b", "-o", "json", "node", "--listen", "127.0.0.1:0", *tls], stdout=subprocess.PIPE, text=True)
    try:
        port = int(json.loads(node.stdout.readline())["address"].rsplit(":", 1)[1])
        left = [0]
        if cuts:
            port, left = cutter(port, cuts, distinct)
        warm(distinct + distinct // 4)
        began, busy = time.time(), processor()
        migrate = subprocess.Popen([holdfast, "--store", f"{root}/a", "-o", "json", "migrate", "o", "--to", f"https://localhost:{port}", *tls],
                                   stdout=subprocess.PIPE, text=True)
        memory, server_memory, last = (0, 0), (0, 0), None
        for line in migrate.stdout:
            memory = tuple(map(max, memory, memory_of(migrate.pid)))
            server_memory = tuple(map(max, server_memory, memory_of(node.pid)))
            last = json.loads(line)
        seconds = time.time() - began
        assert migrate.wait() == 0, last
        client_busy = processor() - busy
        sent = last["bytesSent"]
    finally:
        busy = processor()
        node.terminate()
        node.wait()
        server_busy = processor() - busy

    stored = sum(os.stat(f"{root}/b/packs/{f}").st_blocks * 512 for f in os.listdir(f"{root}/b/packs"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        plain_port = free.getsockname()[1]
    blocks = sent // 65536
    receiver = subprocess.Popen(f"openssl s_server -accept 127.0.0.1:{plain_port} -naccept 1 -cert {root}/n.pem -key {root}/n.key -quiet 2>/dev/null | wc -c",
                                shell=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    await_listener(plain_port)
    began, busy = time.time(), processor()
    sender = subprocess.Popen(f"cat {root}/a/packs/*.pack {root}/a/packs/*.pack | dd bs=64k count={blocks} iflag=fullblock 2>/dev/null "
                              f"| openssl s_client -connect 127.0.0.1:{plain_port} -quiet -no_ign_eof -nocommands 2>/dev/null", shell=True, stdout=subprocess.DEVNULL)
    arrived = int(receiver.stdout.readline())  # its input stays open: s_server ends with it
    plain = (time.time() - began) * sent / (blocks * 65536)
    assert arrived == blocks * 65536, f"openssl passed on {arrived} of {blocks * 65536} bytes"
    sender.wait()
    receiver.wait()
    plain_busy = processor() - busy
    print(f"{count} snapshots of {mib} MiB: {distinct} distinct bytes, {sent} sent ({100 * (sent - distinct) / distinct:.2f} % more), {stored} stored there, "
          f"{last['interruptions']} interruptions, {cuts - max(0, left[0])} cuts; {seconds:.1f} s, {sent / seconds / 1e6:.0f} MB/s; "
          f"dd through a TLS socket {plain:.1f} s, {sent / plain / 1e6:.0f} MB/s; share of it {plain / seconds:.2f}; processor time: migrate {client_busy:.1f} s, node {server_busy:.1f} s, dd and openssl {plain_busy:.1f} s; "
          f"peak of resident memory: migrate {memory[0]} MiB, node {server_memory[0]} MiB; of their own: {memory[1]} MiB, {server_memory[1]} MiB")


try:
    main()
finally:
    shutil.rmtree(root)
