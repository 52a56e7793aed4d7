#!/usr/bin/python3 -B
"""Watching from outside what a cluster does with its floating addresses.

    observe.py holders ADDRESS NAME=PID...   who has the address, every few ms
    observe.py answers ADDRESS PID           when it answers an echo request sent from PID's network

Each runs as a process of its own until its standard input ends, prints a line for each thing it
sees, and is read by an Observer. PID names the network namespace."""

import ctypes
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time

PERIOD_S = 0.005
RTM_NEWADDR, RTM_GETADDR, NLMSG_DONE = 20, 22, 3
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
IFA_LOCAL = 2


def now_ms():
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1000


def enter_network(pid):
    with open(f"/proc/{pid}/ns/net", encoding="ascii") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"setns of process {pid}")


# Inside the observing process.

def ask_addresses(link):
    """All IPv4 addresses of the network namespace that a socket was made in."""
    link.send(struct.pack("=IHHII", 24, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 0, 0) +
              struct.pack("=BBBBI", socket.AF_INET, 0, 0, 0, 0))
    found = set()
    while True:
        data = link.recv(65536)
        at = 0
        while at < len(data):
            size, kind = struct.unpack_from("=IH", data, at)
            if kind == NLMSG_DONE:
                return found
            attribute = at + 24
            while kind == RTM_NEWADDR and attribute < at + size:
                length, name = struct.unpack_from("=HH", data, attribute)
                if name == IFA_LOCAL:
                    found.add(socket.inet_ntoa(data[attribute + 4:attribute + 8]))
                attribute += (length + 3) & ~3
            at += (size + 3) & ~3


def ended():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def holders_watch(address, nodes):
    links = {}
    for node in nodes:
        name, _, pid = node.partition("=")
        enter_network(pid)
        links[name] = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    last, polls, longest, at = None, 0, 0, now_ms()
    while not ended():
        has = [name for name, link in links.items() if address in ask_addresses(link)]
        # They were not asked at one instant: two had it at one only if the first still has it.
        if len(has) > 1 and address in ask_addresses(links[has[0]]):
            print(f"double {now_ms():.1f} {' '.join(has)}", flush=True)
        if has != last:
            print(f"holder {now_ms():.1f} {' '.join(has)}", flush=True)
            last = has
        polls += 1
        longest, at = max(longest, now_ms() - at), now_ms()
        time.sleep(PERIOD_S)
    print(f"polls {polls} {longest:.0f}", flush=True)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def answers_watch(address, pid):
    enter_network(pid)
    mine = os.getpid() & 0xffff
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        icmp.setblocking(False)
        number, due = 0, now_ms()
        while not ended():
            if now_ms() >= due:
                due = now_ms() + PERIOD_S * 2000
                number = (number + 1) & 0xffff
                bare = struct.pack("!BBHHH", 8, 0, 0, mine, number)
                try:
                    icmp.sendto(bare[:2] + struct.pack("!H", checksum(bare)) + bare[4:],
                                (address, 0))
                except OSError:
                    pass  # nobody answers for it: the kernel says so after some tries
            if not select.select([icmp], [], [], max(0, due - now_ms()) / 1000)[0]:
                continue
            try:
                data = icmp.recv(2048)
            except OSError:
                continue
            at = (data[0] & 15) * 4
            if data[at] == 0 and struct.unpack_from("!H", data, at + 4)[0] == mine:
                print(f"answer {now_ms():.1f}", flush=True)


# Outside.

class Observer:
    """An observing process and what it has said so far."""

    def __init__(self, *arguments):
        self.lines = []
        self.process = subprocess.Popen(["/usr/bin/python3", "-B", __file__, *map(str, arguments)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            words = line.split()
            self.lines.append((words[0], float(words[1]), words[2:]))

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.reader.join(60)


class Holders(Observer):
    def __init__(self, address, nodes):
        super().__init__("holders", address,
                         *[f"{node.name}={node.machine.init}" for node in nodes])
        self.doubles_seen = 0

    def now(self):
        """Who has it: a list of names."""
        return next((who for kind, _, who in reversed(self.lines) if kind == "holder"), [])

    def off_ms(self, name, since):
        """When that node was first seen without it, from then on; None while it has it."""
        has = True
        for kind, at, who in list(self.lines):
            if kind == "holder" and at <= since:
                has = name in who
            elif kind == "holder" and name not in who:
                return at
        return None if has else since

    def new_doubles(self):
        """Instants with two holders since this was last asked."""
        all_of_them = [line for line in list(self.lines) if line[0] == "double"]
        fresh = all_of_them[self.doubles_seen:]
        self.doubles_seen = len(all_of_them)
        return fresh


class Answers(Observer):
    def __init__(self, address, machine):
        super().__init__("answers", address, machine.init)

    def times(self):
        return [at for _, at, _ in list(self.lines)]

    def since(self, at):
        return [one for one in self.times() if one >= at]

    def longest_gap_ms(self, since):
        """The longest time without an answer from then until the last one."""
        times = self.times()
        before = max((at for at in times if at < since), default=since)
        seen = [before, *[at for at in times if at >= since]]
        return max((b - a for a, b in zip(seen, seen[1:])), default=float("inf"))


if __name__ == "__main__":
    if sys.argv[1] == "holders":
        holders_watch(sys.argv[2], sys.argv[3:])
    else:
        answers_watch(sys.argv[2], sys.argv[3])
