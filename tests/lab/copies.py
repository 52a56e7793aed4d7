#!/usr/bin/python3 -B
"""Watching from outside that no VM runs twice.

    copies.py NAME=PID=DIRECTORY...    a node: its name, a process in it, where its consoles are

Runs as a process of its own until its standard input ends, prints a line for each thing it sees,
and is read by Copies. Two witnesses, neither of them the product:

libvirt   Every node's libvirtd is asked for the state of its VMs all the time. A VM certainly ran
          there from the end of the first question that it was found running at to the start of the
          last one in a row. Two nodes for which these times overlap had it at one instant.
consoles  A guest counts, and says with each number which boot of it this is. No number of a boot
          may be said twice, wherever: that would be two copies of one guest, or one that went back
          in time. And no boot may go on once another of the same VM has said something."""

import os
import re
import select
import subprocess
import sys
import threading
import time

import libvirt

PERIOD_S = 0.02
STATES = {libvirt.VIR_DOMAIN_RUNNING: "running", libvirt.VIR_DOMAIN_PAUSED: "paused",
          libvirt.VIR_DOMAIN_SHUTDOWN: "ending", libvirt.VIR_DOMAIN_SHUTOFF: "off",
          libvirt.VIR_DOMAIN_CRASHED: "crashed"}
TICK = re.compile(rb"tick (\d+) ([0-9a-f]{8})\r?\n")


def now_ms():
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1000


# Inside the watching process.

class Told:
    """What was found out, one line each."""

    def __init__(self):
        self.lock = threading.Lock()

    def say(self, kind, *words):
        with self.lock:
            print(f"{kind} {now_ms():.1f} {' '.join(map(str, words))}", flush=True)


class Stay:
    """One time that a VM certainly ran at a node."""

    def __init__(self, number, first, last):
        self.number, self.first, self.last = number, first, last
        self.open = True  # it was found there by the last question, too


class Stays:
    """The last stay of every VM at every node."""

    def __init__(self, told):
        self.lock = threading.Lock()
        self.told = told
        self.of = {}  # VM: {node: Stay}
        self.shown = set()

    def found(self, node, asked, answered, running):
        """running: {VM: domain id} as the node's libvirtd answered."""
        with self.lock:
            for vm in {**self.of, **running}:
                stays = self.of.setdefault(vm, {})
                stay = stays.get(node)
                if vm not in running:
                    if stay:
                        stay.open = False
                elif stay and stay.open and stay.number == running[vm]:
                    stay.last = asked
                else:
                    stays[node] = Stay(running[vm], answered, asked)
                self.compare(vm, node, stays)

    def compare(self, vm, node, stays):
        for other in stays if node in stays else []:
            first = max(stays[node].first, stays[other].first)
            last = min(stays[node].last, stays[other].last)
            if other != node and first < last and (vm, first) not in self.shown:
                self.shown.add((vm, first))
                self.told.say("double", vm, node, other, f"{last - first:.0f}-ms")


def hypervisor_watch(told, stays, name, pid):
    """Ask one libvirtd; one that was killed or is stuck says nothing, for as long as it takes."""
    uri = f"qemu+unix:///system?socket=/proc/{pid}/root/run/libvirt/libvirt-sock"
    connection, last = None, {}
    while True:
        asked = now_ms()
        try:
            connection = connection or libvirt.open(uri)
            found = {domain.name(): (state["state.state"], state["state.reason"], domain.ID())
                     for domain, state in connection.getAllDomainStats(
                         libvirt.VIR_DOMAIN_STATS_STATE, 0)}
        except libvirt.libvirtError:
            if last is not None:
                told.say("lost", name)
            connection = last = None
            stays.found(name, asked, now_ms(), {})
            time.sleep(PERIOD_S)
            continue
        stays.found(name, asked, now_ms(), {
            vm: number for vm, (state, _, number) in found.items()
            if state == libvirt.VIR_DOMAIN_RUNNING})
        for vm in {**found, **(last or {})}:
            now, before = found.get(vm), (last or {}).get(vm)
            if now != before:
                told.say("state", vm, name, *((STATES.get(now[0], now[0]), now[1]) if now
                                              else ("gone", 0)))
        last = found
        time.sleep(PERIOD_S)


class Console:
    """A file that a guest's words are added to."""

    def __init__(self, path):
        self.path, self.offset, self.rest = path, 0, b""

    def more(self):
        """What was said since, as [(boot, number)]: of whole lines only."""
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self.offset:
                    self.offset, self.rest = 0, b""
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        self.offset += len(data)
        whole, newline, self.rest = (self.rest + data).rpartition(b"\n")
        return [(boot.decode(), int(number)) for number, boot in TICK.findall(whole + newline)]


class Guests:
    """What the guests have said, and what they should not have."""

    def __init__(self, told):
        self.told = told
        self.consoles = {}
        self.said = {}  # (VM, boot): numbers
        self.order = {}  # VM: its boots, the latest last
        self.over = {}  # (VM, boot): another has begun before this sweep
        self.shown = set()

    def complain(self, what, *words):
        if (what, words[:2]) not in self.shown:
            self.shown.add((what, words[:2]))
            self.told.say(what, *words)

    def heard(self, vm, node, boot, number):
        if (vm, boot) in self.over:
            self.complain("double", vm, f"boot-{boot}-goes-on-at-{node}", number)
        said = self.said.setdefault((vm, boot), set())
        if number in said:
            self.complain("double", vm, f"boot-{boot}-again-at-{node}", number)
        said.add(number)
        boots = self.order.setdefault(vm, [])
        if boot not in boots:
            boots.append(boot)

    def sweep(self, nodes):
        ended = [(vm, boot) for vm, boots in self.order.items() for boot in boots[:-1]]
        for node, directory in nodes:
            for file in os.listdir(directory):
                if file.endswith(".log"):
                    console = self.consoles.setdefault(
                        (node, file), Console(f"{directory}/{file}"))
                    for boot, number in console.more():
                        self.heard(file[:-len(".log")], node, boot, number)
        # What was written before another boot began has been read by the sweep after that.
        for one in ended:
            self.over[one] = True


def watch(nodes):
    told = Told()
    stays, guests = Stays(told), Guests(told)
    nodes = [node.split("=") for node in nodes]
    for name, pid, _ in nodes:
        threading.Thread(target=hypervisor_watch, args=(told, stays, name, pid),
                         daemon=True).start()
    sweeps = 0
    while not select.select([sys.stdin], [], [], PERIOD_S)[0]:
        guests.sweep([(name, directory) for name, _, directory in nodes])
        sweeps += 1
    print(f"sweeps 0 {sweeps}", flush=True)


# Outside.

class Copies:
    """The watching process and what it has said so far."""

    def __init__(self, nodes):
        self.lines = []
        self.process = subprocess.Popen(
            ["/usr/bin/python3", "-B", __file__,
             *[f"{node}={node.machine.init}={node.directory}/console" for node in nodes]],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.doubles_seen = 0
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            words = line.split()
            self.lines.append((words[0], float(words[1]), words[2:]))

    def where(self, vm):
        """{node: (state, reason)} as the libvirtds said last."""
        found = {}
        for kind, _, words in list(self.lines):
            if kind == "state" and words[0] == vm:
                found[words[1]] = (words[2], int(words[3]))
            elif kind == "lost":
                found.pop(words[0], None)
        return {node: state for node, state in found.items() if state[0] not in ("gone", "off")}

    def running_at(self, vm):
        return sorted(node for node, state in self.where(vm).items() if state[0] == "running")

    def story(self, vm, since_ms):
        """What its libvirtds said of it since then, for people."""
        return "; ".join(f"{at - since_ms:.0f} ms {words[1]} {words[2]}/{words[3]}"
                         for kind, at, words in list(self.lines)
                         if kind == "state" and words[0] == vm and at >= since_ms)

    def new_doubles(self):
        """Two at one instant, since this was last asked."""
        found = [(at, words) for kind, at, words in list(self.lines) if kind == "double"]
        fresh = found[self.doubles_seen:]
        self.doubles_seen = len(found)
        return fresh

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.reader.join(60)


if __name__ == "__main__":
    libvirt.registerErrorHandler(lambda *_: None, None)
    watch(sys.argv[1:])
