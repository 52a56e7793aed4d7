"""Whole machines on this one, for the demo and the lab: nodes that can be switched off.

A Machine is a set of namespaces with a shell as its first process, which reaps orphans: libvirt
waits for a QEMU to be gone entirely. Killing that shell is a power cut: all of the machine dies in
the same instant. A Node is a Machine with a configuration and a daemon, which is run by the
commands that the README tells people to type.

Nothing outlives the program that made it, however that ends, but for machines made with
keep=True. Only root can make them."""

import ctypes
import json
import os
import shlex
import signal
import socket
import struct
import subprocess
import time

ROOT = os.path.realpath(os.path.dirname(os.path.abspath(__file__)) + "/../..")
PVC = ROOT + "/build/release/pvc"
PATH = f"{os.path.dirname(PVC)}:/usr/sbin:/usr/bin:/sbin:/bin"
GUEST = ROOT + "/tests/lab/guest/build"
DEADLINE_S = 120  # the machine is shared and slow
PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None, use_errno=True)


class Failed(Exception):
    """Something that had to come about did not."""


def now_ms():
    return time.clock_gettime(time.CLOCK_MONOTONIC) * 1000


def wait_for(what, condition, deadline_s=DEADLINE_S, every_s=0.02):
    """What the condition says as soon as it says something; of what raises, the last complaint."""
    until = now_ms() + deadline_s * 1000
    while True:
        complaint = ""
        try:
            value = condition()
            if value:
                return value
        except (Failed, OSError) as error:
            complaint = f" ({error})"
        if now_ms() > until:
            raise Failed(f"not within {deadline_s} s: {what}{complaint}")
        time.sleep(every_s)


def run(*command, **options):
    done = subprocess.run(command, check=False, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        said = "\n".join(filter(None, (done.stderr.strip(), done.stdout.strip())))
        raise Failed(f"{shlex.join(command)}: exit status {done.returncode}: {said}")
    return done.stdout


def die_with_parent():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def family(pid):
    """A process and all that came from it, parents first."""
    found = [pid]
    for one in found:
        found += children(one)
    return found


def state_of(pid):
    """R, S, T... as in ps; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def alive(pid):
    return state_of(pid) not in ("", "Z", "X")


class Machine:
    """Namespaces with a first process in them; without any of them, this very machine. setup is
    what that process does at first."""

    def __init__(self, setup="", kinds=("--mount", "--pid"), keep=False):
        self.process = None
        self.init = 0
        self.setup, self.kinds, self.keep = setup, kinds, keep

    def power_on(self):
        if not self.kinds:
            return
        # A first process reaps orphans. Where it is none, a child of it would outlive it.
        idle = "while :; do sleep 3600 & wait $!; done" if "--pid" in self.kinds \
            else "exec sleep infinity"
        script = f"set -e\n{self.setup}\nset +e\n{idle}"
        command = ["unshare", *self.kinds, "--propagation", "private"]
        if "--pid" in self.kinds:
            command += ["--fork", "--kill-child", "--mount-proc"]
        self.process = subprocess.Popen(
            [*command, "sh", "-c", script], env={"PATH": PATH, "HOME": "/root", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            start_new_session=True, preexec_fn=None if self.keep else die_with_parent)
        if "--pid" in self.kinds:
            self.init = self.await_start("a first process", self.first)
        else:
            self.init = self.process.pid
        self.await_start("a machine that is set up", self.is_set_up)

    def await_start(self, what, condition):
        """What the condition says; when the machine ends before that, why it did."""
        value = wait_for(what, lambda: self.process.poll() is not None or condition())
        if self.process.poll() is None:
            return value
        said = self.process.stderr.read().decode(errors="replace").strip()
        self.process = None
        raise Failed(f"a machine cannot be made of namespaces here: {said}")

    def first(self):
        return (children(self.process.pid) or [0])[0]

    def is_set_up(self):
        """The last thing that the shell does is to sleep."""
        return any(open(f"/proc/{c}/comm", encoding="ascii").read() == "sleep\n"
                   for c in [self.init, *children(self.init)])

    def power_off(self):
        """Everything of it is gone when this returns."""
        if not self.process:
            return
        # Without a first process yet: to kill number 0 would be to kill ourselves.
        os.kill(self.init or self.process.pid, signal.SIGKILL)
        if self.init not in (0, self.process.pid):
            wait_for("its processes are gone", lambda: not alive(self.init))
        self.process.wait()
        self.process, self.init = None, 0

    def inside(self, *command):
        """The command line that runs a command there."""
        if not self.kinds:
            return list(command)
        enter = [f"--{kind.strip('-')}" for kind in self.kinds]
        return ["nsenter", "--target", str(self.init), *enter, "--", *command]

    def run(self, *command):
        return run(*self.inside(*command))


class Control:
    """A connection with a daemon, for what is asked too often for a program each time."""

    def __init__(self, path, timeout_s=DEADLINE_S):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout_s)
        self.socket.connect(path)
        self.number = 0

    def send(self, operation, **arguments):
        """Ask and go on; returns the number that the answer will have."""
        self.number += 1
        text = json.dumps({"id": self.number, "op": operation, "args": arguments}).encode()
        self.socket.sendall(struct.pack("<I", len(text)) + text)
        return self.number

    def receive(self):
        (size,) = struct.unpack("<I", self.receive_bytes(4))
        return json.loads(self.receive_bytes(size))

    def receive_bytes(self, size):
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise ConnectionResetError("the daemon has closed the connection")
            data += more
        return data

    def ask(self, operation, **arguments):
        self.send(operation, **arguments)
        answer = self.receive()
        if not answer["ok"]:
            raise Failed(f"{operation}: {answer['error']['message']}")
        return answer["result"]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Node:
    """A machine of a cluster: its name, its files and its daemon."""

    def __init__(self, directory, name, machine, address):
        self.directory, self.name, self.machine = directory, name, machine
        self.address = address  # where its peers reach it
        self.environment = {}  # more of it, for the daemon
        self.entered = None  # what started the daemon
        os.makedirs(f"{directory}/console", exist_ok=True)

    def __str__(self):
        return self.name

    @property
    def config(self):
        return f"{self.directory}/pvcnoded.yaml"

    @property
    def socket(self):
        return f"{self.directory}/run/pvcnoded.sock"

    def configure(self, text):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text)

    def env(self):
        return {"PATH": PATH, "HOME": "/root", "LC_ALL": "C", "PVC_CONFIG_FILE": self.config,
                "PVC_SOCKET": self.socket, **self.environment}

    # The daemon.

    def daemon_start(self):
        """Start it; it is ready when it answers."""
        with open(f"{self.directory}/pvcnoded.out", "ab") as out:
            self.entered = subprocess.Popen(
                self.machine.inside(PVC, "pvcnoded"), env=self.env(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True,
                preexec_fn=None if self.machine.keep else die_with_parent)

    @property
    def daemon(self):
        """Its process id; what enters another process namespace does so with a child."""
        if "--pid" not in self.machine.kinds:
            return self.entered.pid
        found = wait_for(f"{self.name}: a daemon", lambda: children(self.entered.pid))
        return found[0]

    @property
    def guard(self):
        def find():
            for pid in children(self.daemon):
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if b"guard" in file.read().split(b"\0"):
                        return pid
            return 0
        return wait_for(f"{self.name}: a guard", find)

    def daemon_alive(self):
        return self.entered is not None and self.entered.poll() is None

    def daemon_kill(self, number=signal.SIGKILL):
        """Kill the daemon alone and wait until it is gone."""
        os.kill(self.daemon, number)
        self.entered.wait(DEADLINE_S)

    def freeze(self, *pids):
        for pid in pids or [self.daemon]:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self, *pids):
        """What entered the machine has stopped with the daemon."""
        for pid in [*(pids or [self.daemon]), self.entered.pid]:
            os.kill(pid, signal.SIGCONT)

    def daemon_said(self, last=15):
        try:
            with open(f"{self.directory}/pvcnoded.out", encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-last:])
        except OSError:
            return ""

    # Asking it.

    def control(self, timeout_s=10):
        return Control(self.socket, timeout_s)

    def ask(self, operation, **arguments):
        with self.control() as control:
            return control.ask(operation, **arguments)

    def answers(self):
        if not self.daemon_alive():
            raise Failed(f"{self.name}: the daemon has ended:\n{self.daemon_said()}")
        return self.ask("raft status")

    def pvc(self, *words):
        """What `pvc WORDS` prints there."""
        return run(*self.machine.inside(PVC, *words), env=self.env())

    def power_off(self):
        if self.daemon_alive():
            os.kill(self.entered.pid, signal.SIGCONT)
        self.machine.power_off()
        if self.entered:
            self.entered.wait(DEADLINE_S)


class Cluster:
    """Nodes that are, or will be, of one cluster."""

    def __init__(self, nodes):
        self.nodes = nodes
        self.voters = 0  # how many are to vote; 0: all

    def __getitem__(self, name):
        return next(node for node in self.nodes if node.name == name)

    def others(self, *but):
        return [node for node in self.nodes if node not in but]

    def start(self, say=lambda node, *words: node.pvc(*words)):
        """Bootstrap the first, join the others, until all have a vote."""
        self.start_all(say)
        self.await_well()

    def start_all(self, say=lambda node, *words: node.pvc(*words)):
        first = self.nodes[0]
        say(first, "cluster", "bootstrap", "--config", first.config)
        first.daemon_start()
        wait_for("the first node leads", lambda: first.answers()["role"] == "leader")
        wait_for("the cluster has a name", lambda: first.ask("status")["cluster"])
        for node in self.nodes[1:]:
            token = json.loads(say(first, "cluster", "token", "-f", "json"))["token"]
            say(node, "cluster", "join", token, "--config", node.config)
            node.daemon_start()
            wait_for(f"{node} answers", node.answers)

    def await_well(self):
        """All run, all who are to vote do, and all say the same of who is primary."""
        try:
            return wait_for("all is well", self.well, every_s=0.05)
        except Failed as failed:
            tails = "".join(f"\n--- {node}\n{node.daemon_said()}" for node in self.nodes)
            raise Failed(f"{failed}{tails}") from None

    def well(self):
        """The primary when all is well."""
        seen = set()
        for node in self.nodes:
            status = node.ask("status")
            primary = status["primary"]
            voters = self.voters or len(self.nodes)
            if primary["state"] != "primary" or status["raft"]["voters"] != voters or \
                    status["nodes"]["run"] != len(self.nodes) or status["health"] != "healthy":
                raise Failed(f"{node} says: {primary['state']}, {status['raft']['voters']} voters, "
                             f"{status['nodes']['run']} run, {status['health_messages']}")
            listed = node.ask("node list")
            states = {one["coordinator_state"] for one in listed if one["mode"] == "coordinator"}
            if states - {"primary", "secondary"} or \
                    any(one["keepalive_age_ms"] is None for one in listed):
                raise Failed(f"{node} says of coordinators: {states}, or did not hear of all yet")
            seen.add((primary["node"], primary["epoch"]))
        if len(seen) > 1:
            raise Failed(f"they do not agree: {seen}")
        return self[seen.pop()[0]]

    def primary_of(self, asked):
        """Who is primary as some nodes see it, with its epoch; None while there is none."""
        best = None
        for node in asked:
            try:
                primary = node.ask("status")["primary"]
            except (Failed, OSError):
                continue
            if primary["state"] == "primary" and (not best or primary["epoch"] > best[1]):
                best = (self[primary["node"]], primary["epoch"])
        return best

    def await_takeover(self, epoch, asked, deadline_s=DEADLINE_S):
        """The next primary, by nodes that can tell."""
        def taken():
            found = self.primary_of(asked)
            return found if found and found[1] > epoch else None
        return wait_for("another primary", taken, deadline_s, every_s=0.005)[0]

    def power_off(self):
        for node in self.nodes:
            node.power_off()


def settings(node, names, more):
    """A node's configuration: what all have in common, and more, lines of the same file."""
    return f"""\
pvc:
  node: {node.name}
  mode: {more.get("mode", "node")}
  functions: {{enable_storage: {"yes" if "ceph" in more else "no"}, enable_api: no}}
  cluster:
    name: {more.get("cluster", "lab")}
    coordinators: [{", ".join(names)}]
    networks:{more.get("networks", " {}")}
  services: {more.get("services", "[]")}
  raft: {{address: {node.address}, port: {more.get("port", 7000)}{more.get("raft", "")}}}
  hypervisor: {more["hypervisor"]}
  address: {{driver: {more.get("address", "netlink")}}}
  nic: {{driver: sim}}
  pool: {{driver: {"rbd" if "ceph" in more else "sim"}}}
  system:
    intervals: {{vm_shutdown_timeout: {more.get("shutdown", 180)}}}
    migration: {more.get("migration", "{}")}
    configuration:
      directories:
        data_directory: {node.directory}/data
        dynamic_directory: {node.directory}/run
        log_directory: {node.directory}/log
        console_log_directory: {more.get("console", node.directory + "/console")}
      logging:
        file_logging: no
        stdout_logging: yes
        log_keepalives: {more.get("log_keepalives", "no")}
        log_keepalive_cluster_details: no
      networking:{more.get("networking", " {}")}
      storage: {more.get("ceph", "{}")}
"""


def ticks(path):
    """What a guest has said on its serial console: how often it came up, and its last
    tick since."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            lines = file.read().split()
    except OSError:
        return 0, 0
    ups = lines.count("up")
    while "up" in lines:
        lines = lines[lines.index("up") + 1:]
    numbers = [int(b) for a, b in zip(lines, lines[1:]) if a == "tick" and b.isdigit()]
    return ups, numbers[-1] if numbers else 0
