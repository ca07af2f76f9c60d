#!/usr/bin/env python3
"""Reads a plain snapshot store by its description alone (Snapshots/FORMAT.md; Python brings no AES along for encrypted ones).
Prints a line for each run: object, id, stream, offset, length, SHA-256 of its bytes."""
import ctypes
import hashlib
import os
import struct
import sys
import zlib

TABLE = []
for n in range(256):
    for _ in range(8):
        n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def require(condition, what):
    if not condition:
        raise SystemExit("damaged: " + what)


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def message(data):
    """A protobuf message: field number -> list of numbers and byte strings."""
    fields, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 2:
            length, at = varint(data, at)
            value, at = data[at:at + length], at + length
        else:
            size = 8 if key & 7 == 1 else 4
            value, at = data[at:at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def text(fields, number):
    return fields.get(number, [b""])[0].decode()


def column(fields, number):
    """A repeated number, packed."""
    values = []
    for part in fields.get(number, []):
        at = 0
        while isinstance(part, bytes) and at < len(part):
            value, at = varint(part, at)
            values.append(value)
    return values


def frames(path, magic):
    data = open(path, "rb").read()
    require(data[:8] == magic, path)
    found, at = [], 8
    while True:
        kind, crc, length = struct.unpack_from("<4sIQ", data, at)
        payload = data[at + 16:at + 16 + length]
        require(crc32c(data[at:at + 4] + data[at + 8:at + 16] + payload) == crc, path)
        at += 16 + length
        if kind == b"END ":
            require(at == len(data), path)
            return found
        found.append((kind, payload))


def inflate_zstd(data, size):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    into = ctypes.create_string_buffer(size)
    count = library.ZSTD_decompress(into, ctypes.c_size_t(size), data, ctypes.c_size_t(len(data)))
    require(count == size, "a zstd frame")
    return into.raw


class Pack:
    def __init__(self, directory, name):
        self.data = open(os.path.join(directory, "packs", name + ".pack"), "rb").read()
        head = self.data[:64]
        require(head[:8] == b"HFPACK1\n" and head[8:24].hex() == name, name)
        require(crc32c(head[:60]) == struct.unpack_from("<I", head, 60)[0], name)
        require(struct.unpack_from("<I", head, 24)[0] == 0, name + " is encrypted")
        start, length, crc, own, magic = struct.unpack("<QQII8s", self.data[-32:])
        require(magic == b"HFPEND1\n" and crc32c(self.data[-32:-12]) == own, name)
        footer = self.data[start:start + length]
        require(crc32c(footer) == crc, name)
        index = message(footer)
        columns = [column(index, number) for number in (2, 3, 4, 5)]
        crcs = index.get(6, [b""])[0]
        crcs = struct.unpack("<%dI" % (len(crcs) // 4), crcs)
        self.crcs, self.rows, first = crcs, [], 0
        for position, stored, logical, codec in zip(*columns):
            self.rows.append((position, stored, logical, codec, first))
            first += (stored + 4095) // 4096 if codec == 0 else 1

    def row(self, position):
        for row in self.rows:
            if row[0] <= position < row[0] + row[1]:
                return row
        raise SystemExit("damaged: no row at %d" % position)

    def raw(self, position, length):
        result = b""
        while length:
            start, stored, _, codec, first = self.row(position)
            require(codec == 0, "a raw row is expected")
            count = min(length, start + stored - position)
            for block in range((position - start) // 4096, (position - start + count + 4095) // 4096):
                at = start + block * 4096
                require(crc32c(self.data[at:min(at + 4096, start + stored)]) == self.crcs[first + block], "a block at %d" % at)
            result += self.data[position:position + count]
            position, length = position + count, length - count
        return result

    def whole(self, position):
        start, stored, logical, codec, first = self.row(position)
        require(start == position, "an extent")
        if codec == 0:
            return self.raw(position, stored)
        data = self.data[start:start + stored]
        require(crc32c(data) == self.crcs[first], "an extent at %d" % start)
        return inflate_zstd(data, logical) if codec == 1 else zlib.decompress(data, -15)


class Store:
    def __init__(self, directory):
        self.directory, self.packs = directory, {}
        require(frames(os.path.join(directory, "store"), b"HFSTORE\n")[0][0] == b"HEAD", "store")

    def pack(self, name):
        if name not in self.packs:
            self.packs[name] = Pack(self.directory, name)
        return self.packs[name]

    def leaf(self, data, base):
        fields = message(data)
        names = [name.hex() for name in fields.get(1, [])]
        rows = [column(fields, number) for number in (2, 3, 4, 5)]
        skips = column(fields, 6) or [0] * len(rows[0])
        for gap, length, pack, position, skip in zip(*rows, skips):
            base += gap
            yield base, length, names[pack], position, skip
            base += length

    def extents(self, table, packs):
        if 4 in table:
            yield from self.leaf(table[4][0], 0)
        if 5 in table:
            index = message(table[5][0])
            base = 0
            for gap, span, pack, position in zip(*[column(index, number) for number in (1, 2, 4, 5)]):
                yield from self.leaf(self.pack(packs[pack]).whole(position), base + gap)
                base += gap + span

    def show(self, path):
        parts = dict(frames(path, b"HFSNAP1\n"))
        header, root = message(parts[b"HEAD"]), message(parts[b"ROOT"])
        print(text(header, 2), text(header, 3), "state", 0, len(parts[b"STAT"]), hashlib.sha256(parts[b"STAT"]).hexdigest())
        packs = [name.hex() for name in root.get(1, [])]
        for table in map(message, root.get(2, [])):
            runs = []
            for offset, length, pack, position, skip in self.extents(table, packs):
                data = self.pack(pack).whole(position)[skip - 1:skip - 1 + length] if skip else self.pack(pack).raw(position, length)
                if runs and runs[-1][0] + len(runs[-1][1]) == offset:
                    runs[-1][1].extend(data)
                else:
                    runs.append((offset, bytearray(data)))
            for offset, data in runs:
                print(text(header, 2), text(header, 3), text(table, 1), offset, len(data), hashlib.sha256(data).hexdigest())


store = Store(sys.argv[1])
for name in sorted(os.listdir(os.path.join(sys.argv[1], "objects"))):
    for file in sorted(os.listdir(os.path.join(sys.argv[1], "objects", name))):
        if file.endswith(".snap"):
            store.show(os.path.join(sys.argv[1], "objects", name, file))
