"""A real Ceph for the lab: a monitor, a manager and three OSDs with cephx, on a machine of its own.

Its machine is on the wires of the nodes, so that packets between them can be dropped. Each OSD is
said to belong to one of the nodes. All daemons are children of whoever made them and in a process
namespace: nothing of it stays. Everything it writes is in one directory."""

import base64
import json
import os
import shutil
import signal
import struct
import subprocess
import time
import uuid

from cluster import PATH, Failed, Machine, children, die_with_parent, run, wait_for

NUMBER = 8  # of its machine, on the wires
ADDRESS = f"10.78.1.{NUMBER}"
POOL = "vms"
USER = "vms"  # client.vms is who QEMU is
PROGRAMS = ("ceph-mon", "ceph-mgr", "ceph-osd", "ceph", "rbd", "monmaptool")
QEMU_DRIVER = "/usr/lib/x86_64-linux-gnu/qemu/block-rbd.so"
ENV = {"PATH": PATH, "HOME": "/root", "LC_ALL": "C"}

# Small and quick to notice things; but for that, what Debian gives.
CONF = """\
[global]
fsid = {fsid}
mon host = [v2:{address}:3300,v1:{address}:6789]
public addr = {address}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
auth allow insecure global id reclaim = false
keyring = {at}/$type.keyring
run dir = {at}/run
admin socket = {at}/run/$name.asok
log file = {at}/log/$name.log
crash dir = {at}/log
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
[client]
admin socket =
log file =
[mon]
mon data = {at}/mon.$id
mon cluster log file = {at}/log/cluster.log
mon data avail warn = 1
mon data avail crit = 0
paxos propose interval = 0.05
paxos min wait = 0.02
[mgr]
mgr data = {at}/mgr.$id
mgr initial modules =
mgr tick period = 1
mgr stats period = 1
[osd]
osd data = {at}/osd.$id
osd objectstore = bluestore
osd heartbeat interval = 1
osd heartbeat grace = 6
osd mon report interval = 1
osd recovery sleep = 0
bluestore block size = 1073741824
bluestore block create = true
bluestore cache autotune = false
bluestore cache size = 33554432
"""
OSD_CONF = """\
[osd.{number}]
crush location = root=default host={host}
"""


def missing():
    """Why there can be no Ceph here; empty when there can."""
    absent = [name for name in PROGRAMS if not shutil.which(name)]
    if absent:
        return f"no {absent[0]}"
    return "" if os.path.exists(QEMU_DRIVER) else "no rbd driver of QEMU"


def new_key():
    """A secret as cephx writes it: its kind, when it was made, its size, and 128 bits."""
    return base64.b64encode(struct.pack("<hiih", 1, int(time.time()), 0, 16) +
                            os.urandom(16)).decode()


def keyring_text(name, key, caps):
    """An entry of a keyring."""
    lines = [f'\tcaps {service} = "{what}"\n' for service, what in caps.items()]
    return f"[{name}]\n\tkey = {key}\n{''.join(lines)}"


class Ceph:
    """A Ceph that is to be: in a directory, and the name of the node that each OSD belongs to."""

    def __init__(self, directory, wires, hosts):
        self.directory, self.wires, self.hosts = directory, wires, hosts
        self.machine = Machine("hostname ceph\nip link set lo up",
                               ("--mount", "--uts", "--ipc", "--pid", "--net"))
        self.conf = f"{directory}/ceph.conf"
        self.keyring = f"{directory}/client.keyring"
        self.key = new_key()  # of client.vms
        self.uuids = [str(uuid.uuid4()) for _ in hosts]
        self.entered = {}  # by a daemon's name: what started it

    def begin(self):
        """Start all daemons and make the pool; Ceph becomes well in its own time."""
        self.machine.power_on()
        self.wires.connect(self.machine, NUMBER)
        making = self.make()
        self.daemon_start("mon.a")
        self.daemon_start("mgr.x")
        self.tell(*[f"osd new {one} {number}" for number, one in enumerate(self.uuids)],
                  f"osd pool create {POOL} 8", f"osd pool application enable {POOL} rbd")
        for number, one in enumerate(making):
            if one.wait():
                raise Failed(f"an OSD cannot be made: {self.said('mkfs')}")
            self.daemon_start(f"osd.{number}")

    def await_well(self):
        return wait_for("Ceph is well", self.well, every_s=0.2)

    def down(self):
        if self.machine.process:
            self.wires.disconnect(NUMBER)
        self.machine.power_off()
        for entered in self.entered.values():
            entered.wait()

    # What it is made of.

    def make(self):
        """All files; returns what is still making the OSDs."""
        osds = range(len(self.hosts))
        for part in ("", "run", "log", "mon.a", "mgr.x", *[f"osd.{number}" for number in osds]):
            os.makedirs(f"{self.directory}/{part}", exist_ok=True)
        fsid = str(uuid.uuid4())
        with open(self.conf, "w", encoding="ascii") as file:
            file.write(CONF.format(fsid=fsid, address=ADDRESS, at=self.directory))
            file.writelines(OSD_CONF.format(number=number, host=host)
                            for number, host in enumerate(self.hosts))
        self.make_keys()
        monmap = f"{self.directory}/monmap"
        run("monmaptool", "--create", "--fsid", fsid, "--addv", "a",
            f"[v2:{ADDRESS}:3300,v1:{ADDRESS}:6789]", monmap)
        making = [self.enter("mkfs", "ceph-osd", "-i", str(number), "--mkfs", "--no-mon-config",
                             "--monmap", monmap, "--osd-uuid", self.uuids[number])
                  for number in osds]
        self.machine.run("ceph-mon", "-c", self.conf, "--mkfs", "-i", "a", "--monmap", monmap,
                         "--keyring", f"{self.directory}/mon.keyring")
        return making

    def make_keys(self):
        """Each kind of daemon has its own; the monitor begins with all of them."""
        everything = {"mon": "allow *", "osd": "allow *", "mgr": "allow *"}
        osd = {"mon": "allow profile osd", "mgr": "allow profile osd", "osd": "allow *"}
        rings = {
            "mgr": keyring_text("mgr.x", new_key(), {"mon": "allow profile mgr", "osd": "allow *"}),
            "osd": "".join(keyring_text(f"osd.{number}", new_key(), osd)
                           for number in range(len(self.hosts))),
            "client": keyring_text("client.admin", new_key(), everything) +
                      keyring_text(f"client.{USER}", self.key,
                                   {"mon": "profile rbd", "osd": "profile rbd"})}
        rings["mon"] = keyring_text("mon.", new_key(), {"mon": "allow *"}) + "".join(rings.values())
        for kind, text in rings.items():
            with open(f"{self.directory}/{kind}.keyring", "w", encoding="ascii") as file:
                file.write(text)

    # Its daemons.

    def enter(self, name, program, *arguments):
        with open(f"{self.directory}/log/{name}.out", "ab") as out:
            return subprocess.Popen(
                self.machine.inside(program, "-c", self.conf, *arguments), env=ENV,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                preexec_fn=die_with_parent)

    def daemon_start(self, name):
        kind, _, number = name.partition(".")
        self.entered[name] = self.enter(name, f"ceph-{kind}", "-f", "-i", number)

    def daemon(self, name):
        """Its process id."""
        return wait_for(f"{name} runs", lambda: children(self.entered[name].pid))[0]

    def freeze(self, name):
        os.kill(self.daemon(name), signal.SIGSTOP)

    def thaw(self, name):
        """What entered the machine has stopped with the daemon."""
        for pid in (self.daemon(name), self.entered[name].pid):
            os.kill(pid, signal.SIGCONT)

    def said(self, name, last=5):
        with open(f"{self.directory}/log/{name}.out", encoding="utf-8", errors="replace") as file:
            return "".join(file.readlines()[-last:])

    # Asking it.

    def command(self, *words):
        """What `ceph WORDS` prints."""
        return self.machine.run("ceph", "-c", self.conf, "--connect-timeout", "60", *words)

    def json(self, *words):
        return json.loads(self.command(*words, "-f", "json"))

    def tell(self, *lines):
        """Commands, each a line, by one program: it takes its time to start. What it printed."""
        done = subprocess.run(self.machine.inside("ceph", "-c", self.conf, "-f", "json"), env=ENV,
                              text=True, check=False, capture_output=True,
                              input="".join(f"{line}\n" for line in lines))
        if done.returncode or "Error" in done.stderr:
            raise Failed(f"ceph: {done.stderr.strip()}")
        return done.stdout

    def ask(self, *lines):
        """The answers to commands, each a line."""
        text, answers = self.tell(*lines).lstrip(), []
        while text:
            answer, end = json.JSONDecoder().raw_decode(text)
            answers.append(answer)
            text = text[end:].lstrip()
        return answers

    def rbd(self, *words):
        return self.machine.run("rbd", "-c", self.conf, *words)

    def well(self):
        status = self.json("status")
        states = {one["state_name"] for one in status["pgmap"].get("pgs_by_state", [])}
        up = status["osdmap"]["num_up_osds"]
        if up != len(self.hosts) or not status["mgrmap"]["available"] or \
                states != {"active+clean"} or status["health"]["status"] != "HEALTH_OK":
            raise Failed(f"{up} OSDs are up, PGs are {states}, {status['health']}")
        return status

    def blocked(self):
        """The addresses of clients that may not write any more."""
        return {line.split()[0] for line in self.command("osd", "blocklist", "ls").splitlines()}

    def lockers(self, volume):
        """Who has a lock of a volume: pairs of client and address."""
        return [(one["locker"], one["address"])
                for one in json.loads(self.rbd("lock", "ls", volume, "--format", "json"))]
