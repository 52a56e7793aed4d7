"""Three real nodes whose VMs have their disks in a real Ceph, and QEMUs of which pvc knows nothing.

The guest counts on its disk: that it goes on counting where it was says that nothing was lost, and
its first tick after it came up is its first write."""

import os
import re
import signal
import subprocess
import uuid

from cases import Shared
from ceph import ADDRESS, ENV, POOL, USER, Ceph
from cluster import GUEST, children, die_with_parent, now_ms, run, wait_for
from real import NAMES, Lab

DISK_BYTES = 1 << 20
SECRET = "33333333-0000-4000-8000-000000000001"
SECRET_XML = f"""\
<secret ephemeral='no' private='no'>
  <uuid>{SECRET}</uuid>
  <usage type='ceph'><name>client.{USER}</name></usage>
</secret>
"""


def volume(name):
    """The disk of the VM of this name."""
    return f"{POOL}/{name}_sda"


def said(path, offset=0):
    """What a guest has said on its serial console from there on: its words."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read().decode("ascii", "replace")
    except OSError:
        return ""


def size(path):
    return os.path.getsize(path) if os.path.exists(path) else 0


def first_write_ms(path, offset, deadline_s=60):
    """How long after it came up a guest's first write was through, and what it counted."""
    wait_for("a guest comes up", lambda: "guest up" in said(path, offset), every_s=0.005)
    begin = now_ms()
    wait_for("its first write is through", lambda: re.search(r"guest up\s+tick \d{4}\r\n", said(
        path, offset)), deadline_s, every_s=0.005)
    return now_ms() - begin


class Stray:
    """A QEMU on a volume that pvc did not start: as one that was left behind."""

    def __init__(self, lab, name, node):
        self.log = f"{lab.directory}/stray-{name}-{node}.log"
        self.offset = size(self.log)
        drive = f"rbd:{volume(name)}:conf={lab.ceph.conf}:id={USER}"
        self.entered = subprocess.Popen(
            node.machine.inside("qemu-system-x86_64", "-accel", "tcg", "-m", "4", "-nodefaults",
                                "-display", "none", "-chardev",
                                f"file,id=log,append=on,path={self.log}", "-serial", "chardev:log",
                                "-drive", f"if=virtio,format=raw,cache=none,file={drive}"),
            env=ENV, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)

    def first_write_ms(self):
        return first_write_ms(self.log, self.offset)

    @property
    def pid(self):
        return wait_for("a QEMU", lambda: children(self.entered.pid))[0]

    def freeze(self):
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self):
        """What entered the machine has stopped with it."""
        for pid in (self.pid, self.entered.pid):
            os.kill(pid, signal.SIGCONT)

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        self.entered.wait()


class Volumes(Lab):
    """Nodes and a Ceph that are up; one OSD belongs to each node."""

    def __init__(self, shutdown_s=3):
        super().__init__(shutdown_s)
        self.ceph = Ceph(f"{self.directory}/ceph", self.wires, NAMES)
        run(GUEST, "image", f"{self.directory}/disk.img", "disk")
        os.truncate(f"{self.directory}/disk.img", DISK_BYTES)

    def configure(self, node, services="[]", **more):
        at = f"{self.directory}/ceph"
        files = f"{{ceph_config_file: {at}/ceph.conf, ceph_admin_keyring: {at}/client.keyring}}"
        super().configure(node, services, ceph=files, log_keepalives="yes", **more)

    def up(self):
        self.ceph.begin()
        for node in self.cluster.nodes:
            self.keep_secret(node)
        # One whose manager does not serve yet is left alone for a while.
        self.ceph.await_well()
        return super().up()

    def keep_secret(self, node):
        """Where libvirtd looks for it when it starts."""
        at = f"{node.directory}/libvirt/etc/secrets"
        os.makedirs(at, mode=0o700)
        for suffix, text in ("xml", SECRET_XML), ("base64", self.ceph.key):
            with open(f"{at}/{SECRET}.{suffix}", "w", encoding="ascii") as file:
                file.write(text)

    def down(self):
        self.ceph.down()
        super().down()

    # VMs.

    def log(self, name, node):
        return f"{node.directory}/console/{name}.log"

    def volume_make(self, name):
        self.ceph.rbd("import", "--no-progress", f"{self.directory}/disk.img", volume(name))

    def vm_define(self, name, node, port=3300):
        """With a new volume; the monitor speaks the old protocol at port 6789."""
        self.volume_make(name)
        with open(f"{os.path.dirname(GUEST)}/disk.xml", encoding="ascii") as file:
            xml = file.read()
        words = {"NAME": name, "UUID": uuid.uuid5(uuid.NAMESPACE_OID, name),
                 "VOLUME": volume(name), "USER": USER, "SECRET": SECRET, "MONITOR": ADDRESS,
                 "PORT": port, "LOG": f"{self.directory}/console/{name}.log"}
        for word, value in words.items():
            xml = xml.replace(f"@{word}@", str(value))
        path = f"{self.directory}/{name}.xml"
        with open(path, "w", encoding="ascii") as file:
            file.write(xml)
        node.pvc("vm", "define", path, "--node", node.name)


lab = Shared(lambda: Volumes().up())
