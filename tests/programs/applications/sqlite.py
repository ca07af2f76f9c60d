#!/usr/bin/python3
"""sqlite.py WORK: three processes that write to one SQLite database in WAL mode, each in transactions of its own, and one that reads. Writer k writes
line i of out-k after the transaction that holds i. `go` ends it: every line is in the database, and the database is whole."""
import os
import sqlite3
import subprocess
import sys
import time

work = sys.argv[1]
WRITERS = 3


def connect():
    connection = sqlite3.connect(work + "/data", timeout=60, isolation_level=None)
    connection.execute("pragma synchronous = normal")
    return connection


def going():
    return not os.path.exists(work + "/go")


def write(k):
    connection = connect()
    with open(work + "/out-%d" % k, "x", buffering=1) as out:
        i = 0
        while going():
            connection.execute("begin immediate")
            connection.execute("insert into numbers values (?, ?, ?)", (k, i, os.urandom(500)))
            connection.execute("update sums set count = count + 1, sum = sum + ? where writer = ?", (i, k))
            connection.execute("commit")
            out.write("%d %d\n" % (i, i * i + 7 * i + 1))
            i += 1
            time.sleep(0.003)
        out.write("end\n")


def read():
    connection = connect()
    while going():
        connection.execute("begin")
        sums = connection.execute("select writer, count, sum from sums order by writer").fetchall()
        found = connection.execute("select writer, count(*), coalesce(sum(i), 0) from numbers group by writer order by writer").fetchall()
        connection.execute("commit")
        if [row for row in sums if row[1]] != found:
            raise RuntimeError("the sums %r are not those of the numbers, %r" % (sums, found))
        time.sleep(0.01)


def main():
    if len(sys.argv) > 2:
        read() if sys.argv[2] == "read" else write(int(sys.argv[2]))
        return
    connection = connect()
    connection.execute("pragma journal_mode = wal")
    connection.execute("create table numbers (writer integer, i integer, noise blob, primary key (writer, i))")
    connection.execute("create table sums (writer integer primary key, count integer, sum integer)")
    connection.executemany("insert into sums values (?, 0, 0)", [(k,) for k in range(WRITERS)])
    connection.close()
    words = [str(k) for k in range(WRITERS)] + ["read"]
    with open(work + "/log", "w") as log:
        children = [subprocess.Popen(["/usr/bin/python3", __file__, work, word], stdin=subprocess.DEVNULL, stderr=log) for word in words]
    while any(child.poll() is None for child in children) and not all(os.path.exists(work + "/out-%d" % k) and os.path.getsize(work + "/out-%d" % k) > 20 for k in range(WRITERS)):
        time.sleep(0.01)
    open(work + "/ready", "w").close()
    failed = [word for word, child in zip(words, children) if child.wait() != 0]
    connection = connect()
    whole = connection.execute("pragma integrity_check").fetchone()[0]
    verdict = "PASS"
    for k in range(WRITERS):
        with open(work + "/out-%d" % k) as out:
            count = len(out.readlines()) - 1
        found = [row[0] for row in connection.execute("select i from numbers where writer = ? order by i", (k,))]
        if found != list(range(count)):
            verdict = "FAIL: writer %d wrote %d lines, the database has %d rows" % (k, count, len(found))
    if failed:
        with open(work + "/log") as log:
            verdict = "FAIL: %s ended: %s" % (failed, log.read()[-300:].replace("\n", "|"))
    if whole != "ok":
        verdict = "FAIL: integrity_check: " + whole
    with open(work + "/.result", "w") as result:
        result.write(verdict + "\n")
    os.rename(work + "/.result", work + "/result")


main()
