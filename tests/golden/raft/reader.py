#!/usr/bin/python3 -B
"""A reader of a member's files that knows raft/format.md and nothing else of this repository.

    reader.py DIR                     an operation a line: index term type size number
    reader.py --snapshot FILE         what stands in the headers of a snapshot, and its value's
    reader.py --change DIR INDEX AT BYTE
                                      change a byte of an entry's data, and let every checksum
                                      be right again: what no checksum can find

It exits 1 and says where when something does not check."""

import glob
import hashlib
import os
import struct
import sys

TYPES = {1: "command", 2: "barrier", 3: "change"}


class Damage(Exception):
    """A file, an offset, and what is wrong there."""


def crc32c(data, value=0):
    value ^= 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff


def need(right, where, what):
    if not right:
        raise Damage(f"{where}: {what}")


def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at


def read_metadata(directory):
    """The newer of the two: (version, term, vote)."""
    found = []
    for name in ("metadata-1", "metadata-2"):
        path = os.path.join(directory, name)
        data = read_file(path) if os.path.exists(path) else b""
        if len(data) == 48 and data[:8] == b"prftvote" and \
                crc32c(data[:44]) == struct.unpack_from("<I", data, 44)[0]:
            found.append(struct.unpack_from("<3Q", data, 16))
    need(found, directory, "no metadata that checks")
    return max(found)


class Segment:
    """The entries of one segment, as (index, term, type, data, place of the data)."""

    def __init__(self, path):
        self.path, self.data = path, bytearray(read_file(path))
        need(self.data[:8] == b"prfttlog" and len(self.data) >= 56, f"{path}:0", "no segment")
        form, _, self.sequence, self.start, self.before, self.mark, _, check = \
            struct.unpack_from("<IIQQQQII", self.data, 8)
        need(form == 1, f"{path}:8", "another format")
        need(check == crc32c(self.data[:52]), f"{path}:0", "checksum of the header")
        name = f"segment-{self.sequence:020}-{self.start:020}"
        need(os.path.basename(path) == name, f"{path}:16", "the name is another's")
        self.batches, self.entries, self.chain = [], [], check
        self.at, self.next = 56, self.start
        while self.read_batch():
            pass

    def read_batch(self):
        if not any(self.data[self.at:]):
            return False
        where = f"{self.path}:{self.at}"
        need(self.at + 32 <= len(self.data), where, "no room for a batch")
        mark, check, before, size, count, index = struct.unpack_from(
            "<QIIIIQ", self.data, self.at)
        end = self.at + size
        need(mark == self.mark, where, "no mark")
        need(size % 8 == 0 and 32 <= size <= len(self.data) - self.at, where, "size of a batch")
        need(check == crc32c(self.data[self.at + 12:end]), where, "checksum of a batch")
        need(before == self.chain and index == self.next, where, "follows another batch")
        self.batches.append((self.at, size))
        at = self.at + 32
        for _ in range(count):
            term, length, kind = struct.unpack_from("<QII", self.data, at)
            data = bytes(self.data[at + 16:at + 16 + length])
            self.entries.append((self.next, term, kind, data, at + 16))
            at += 16 + (length + 7) // 8 * 8
            self.next += 1
        need(at == end, where, "the entries do not fill the batch")
        self.chain, self.at = check, end
        return True

    def change(self, index, offset, byte):
        place = next(e[4] for e in self.entries if e[0] == index)
        self.data[place + offset] = byte
        chain = struct.unpack_from("<I", self.data, 52)[0]
        for at, size in self.batches:
            struct.pack_into("<I", self.data, at + 12, chain)
            chain = crc32c(self.data[at + 12:at + size])
            struct.pack_into("<I", self.data, at + 8, chain)
        with open(self.path, "wb") as file:
            file.write(self.data)


def unpack_lz4(data, size):
    """An LZ4 block: sequences of literals and of copies of what came before."""
    out, at = bytearray(), 0

    def length(value):
        nonlocal at
        while value >= 15:
            value += data[at]
            at += 1
            if data[at - 1] < 255:
                break
        return value

    while at < len(data):
        token = data[at]
        at += 1
        literals = length(token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        distance = data[at] | data[at + 1] << 8
        at += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-distance])
    need(len(out) == size, "lz4", "a chunk of another size")
    return bytes(out)


class Snapshot:
    """A snapshot file, out of a directory or saved with a seal behind it."""

    def __init__(self, path):
        data = read_file(path)
        self.seal = None
        if data[-40:-32] == b"prftseal":
            self.seal, data = data[-32:], data[:-40]
            need(hashlib.sha256(data).digest() == self.seal, f"{path}:{len(data)}", "the seal")
        need(data[:8] == b"prftsnap" and len(data) >= 88, f"{path}:0", "no snapshot")
        (form, chunks, self.index, self.term, self.configuration_index, self.keep_from,
         self.sequence, configuration, size, body, check, header) = struct.unpack_from(
             "<IIQQQQQQQQII", data, 8)
        need(form == 1, f"{path}:8", "another format")
        need(header == crc32c(data[:84]), f"{path}:0", "checksum of the header")
        need(body == len(data) - 88, f"{path}:72", "size of the body")
        need(check == crc32c(data[88:]), f"{path}:88", "checksum of the body")
        self.members = read_members(data[88:88 + configuration])
        self.value, at = b"", 88 + configuration
        for _ in range(chunks):
            plain, stored = struct.unpack_from("<II", data, at)
            chunk = data[at + 8:at + 8 + stored]
            self.value += chunk if plain == stored else unpack_lz4(chunk, plain)
            at += 8 + stored
        need(at == len(data) and len(self.value) == size, f"{path}:{at}", "sizes")


def read_members(data):
    need(data[0] == 1, "configuration:0", "another format")
    members, at = [], 9
    for _ in range(struct.unpack_from("<Q", data, 1)[0]):
        member = struct.unpack_from("<Q", data, at)[0]
        end = data.index(0, at + 8)
        role = ("standby", "voter", "spare")[data[end + 1]]
        members.append(f"{member}={data[at + 8:end].decode()} {role}")
        at = end + 2
    return members


def directory_of(path):
    inner = os.path.join(path, "raft")
    return inner if os.path.isdir(inner) else path


def read_directory(path):
    """What counts of the log, by index, as the page's `Reading` has it."""
    directory = directory_of(path)
    read_metadata(directory)
    snapshots = [Snapshot(p) for p in glob.glob(os.path.join(directory, "snapshot-*"))]
    newest = max(snapshots, key=lambda s: (s.index, s.term), default=None)
    segments = sorted((Segment(p) for p in glob.glob(os.path.join(directory, "segment-*"))),
                      key=lambda s: s.sequence)
    expected = newest.sequence if newest else 1
    log = {}
    for segment in segments:
        if segment.sequence < expected and not log:
            continue
        need(segment.sequence == expected, segment.path, "a segment before it is missing")
        expected += 1
        log = {i: e for i, e in log.items() if i < segment.start}
        log.update({e[0]: e for e in segment.entries})
    first = newest.keep_from if newest else 1
    return [log[i] for i in sorted(log) if i >= first]


def operations(data):
    """(size, number of the command) of each operation of a batch."""
    count, at = read_varint(data, 0)
    for _ in range(count):
        size, at = read_varint(data, at)
        _client, inner = read_varint(data, at)
        _sequence, inner = read_varint(data, inner)
        yield size, read_varint(data, inner)[0]
        at += size


def list_log(path):
    for index, term, kind, data, _ in read_directory(path):
        if TYPES[kind] != "command":
            print(index, term, TYPES[kind], len(data), "-")
            continue
        for size, number in operations(data):
            print(index, term, "command", size, number)


def list_snapshot(path):
    s = Snapshot(path)
    value_format, value_index, value_hash = struct.unpack_from("<IQQ", s.value, 8)
    print(f"index {s.index}, term {s.term}, configuration of {s.configuration_index}: "
          f"{', '.join(s.members)}")
    print(f"{s.value[:8].decode()} format {value_format}, {len(s.value)} bytes, "
          f"index {value_index}, hash {value_hash:016x}")
    if s.seal:
        print(f"sealed {s.seal.hex()}")


def change(path, index, offset, byte):
    for name in glob.glob(os.path.join(directory_of(path), "segment-*")):
        segment = Segment(name)
        if any(e[0] == index for e in segment.entries):
            segment.change(index, offset, byte)


def main():
    try:
        if sys.argv[1] == "--snapshot":
            list_snapshot(sys.argv[2])
        elif sys.argv[1] == "--change":
            change(sys.argv[2], *(int(word) for word in sys.argv[3:6]))
        else:
            list_log(sys.argv[1])
    except Damage as damage:
        print(damage)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
