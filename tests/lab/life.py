"""Three real nodes whose VMs move: libvirtd at every address, guests that count, and a witness.

Two guests: "linux" is a Debian kernel with a busybox, which minds the power button, and has so much
in its memory that to move it takes a while; "tiny" is a boot sector, of which many fit. Both count
on their serial consoles; copies.py watches all of them from the first to the last moment."""

import json
import os
import random
import uuid

from cluster import GUEST, ROOT, Failed, now_ms, run, wait_for
from copies import Copies
from real import LIBVIRTD, LIBVIRTD_CONF, QEMU_CONF, Lab

LINUX = f"{ROOT}/build/lab/linux"
LINUX_XML = f"{os.path.dirname(GUEST)}/linux.xml"
BALLAST_MIB = 16  # what a Linux guest keeps in memory
# A second, of a migration: there is time to kill somebody meanwhile.
RATE_MIB = 40 if os.environ.get("LAB_QUICK") else 16

# Who migrates peer to peer finds the address of his peer here, and notices soon that it is gone.
LISTEN_CONF = """\
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
keepalive_interval = 2
keepalive_count = 3
"""
MIGRATION_CONF = """\
migration_address = "10.78.1.{number}"
migration_host = "10.78.1.{number}"
keepalive_interval = 2
keepalive_count = 3
"""
LISTENING = LIBVIRTD.replace("libvirtd ", "libvirtd --listen ")


class Life(Lab):
    """shutdown_s: how long a guest is given to power off."""

    libvirtd_command = LISTENING

    def __init__(self, shutdown_s=60):
        run(f"{os.path.dirname(GUEST)}/linux", LINUX, env={**os.environ, "LC_ALL": "C"})
        super().__init__(shutdown_s)
        run(GUEST, "fast", f"{self.directory}/guest.img")
        self.copies = None

    def make_node(self, number):
        node = super().make_node(number)
        at = f"{node.directory}/libvirt/etc"
        for file, text, more in (("libvirtd.conf", LIBVIRTD_CONF, LISTEN_CONF),
                                 ("qemu.conf", QEMU_CONF, MIGRATION_CONF)):
            with open(f"{at}/{file}", "w", encoding="ascii") as conf:
                conf.write((text + more).format(number=number))
        return node

    def configure(self, node, services="[]", **more):
        super().configure(node, services, **{
            "console": f"{self.directory}/console",  # the same path at all nodes, not the same place
            "migration": f"{{uri: 'qemu+tcp://{node.address}/system', rate_mib: {RATE_MIB}}}",
            **more})

    def up(self):
        super().up()
        self.watch()
        return self

    # What is seen from outside.

    def watch(self):
        self.copies = Copies(self.cluster.nodes)
        self.observers.append(self.copies)

    def watch_anew(self):
        """After machines were off: their processes are others."""
        self.observers.remove(self.copies)
        self.copies.end()
        self.watch()

    def check_doubles(self):
        doubles = self.copies.new_doubles()
        assert not doubles, f"two copies at one instant: {doubles[:5]}"

    def check_alone(self, name, node):
        """It runs there and nowhere else, the value says so, and nothing else is under way."""
        def alone():
            return self.copies.where(name).keys() == {node.name} and \
                self.copies.running_at(name) == [node.name]
        try:
            wait_for(f"{name} runs at {node} alone", alone)
        except Failed as failed:
            raise Failed(f"{failed}: libvirt: {self.copies.where(name)}; {self.info(name)}; "
                         f"{self.copies.story(name, now_ms() - 180000)}") from None
        wait_for(f"everybody says that {name} runs at {node}",
                 lambda: all(self.settled(name, one) == node.name for one in self.answering()))

    def primary(self):
        return self.cluster.primary_of(self.answering())[0]

    def answering(self):
        return [node for node in self.cluster.nodes if node.daemon_alive()]

    # VMs.

    def write_xml(self, name, guest="tiny", words=(), cmdline=""):
        """words: what to replace in it, [(old, new)]; cmdline: for a Linux guest."""
        path = f"{self.directory}/{name}.xml"
        image = f"{self.directory}/guest.img"
        log = f"{self.directory}/console/{name}.log"
        number = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        if guest == "tiny":
            xml = run(GUEST, "xml", name, number, image, log)
        else:
            with open(LINUX_XML, encoding="ascii") as file:
                xml = file.read()
            for word, value in (("NAME", name), ("UUID", number), ("DIR", LINUX), ("LOG", log),
                                ("WORDS", f"pvc.ballast={BALLAST_MIB} {cmdline}")):
                xml = xml.replace(f"@{word}@", value)
        for old, new in words:
            assert old in xml, f"no {old} in {name}'s XML"
            xml = xml.replace(old, new)
        with open(path, "w", encoding="utf-8") as file:
            file.write(xml)
        return path

    def define(self, name, guest="tiny", words=(), cmdline="", **options):
        """options: of vm define. Returns its XML's path."""
        path = self.write_xml(name, guest, words, cmdline)
        given = [word for key, value in options.items()
                 for word in ([f"--{key}"] if value is True else [f"--{key}", str(value)])]
        self.any().pvc("vm", "define", path, *given)
        # The next command may be typed on a node that hears of it a moment later.
        wait_for(f"everybody knows {name}", lambda: all(
            any(vm["name"] == name for vm in node.ask("vm list")) for node in self.answering()))
        return path

    def start(self, name, **options):
        node = self.any()
        node.pvc("vm", "start", name, "--wait", *[f"--{key}" for key in options])
        where = self.cluster[self.info(name)["node"]]
        wait_for(f"{name} comes up", lambda: self.console(name, where)[0])
        return where

    def running(self, name, node, guest="tiny", **options):
        """A new VM that runs at a node."""
        self.define(name, guest, node=node, **options)
        self.start(name)
        self.check_alone(name, node)
        return name

    def checked_after(self, name, node, ups=1):
        """It counts there, alone, and has come up so often."""
        self.check_alone(name, node)
        self.await_ticks(name, node)
        assert self.ups(name) == ups, f"{name} came up {self.ups(name)} times: {self.info(name)}"
        self.check_doubles()

    def removed(self, name):
        """It is stopped, forgotten, and nothing of it is left anywhere."""
        # One node for all of it: another may not have heard of the stop yet.
        node = self.any()
        node.pvc("vm", "stop", name)
        wait_for(f"{name} is off everywhere", lambda: not self.copies.where(name))
        wait_for(f"{name} is known to be off", lambda: self.info(name, node)["off"])
        node.pvc("vm", "undefine", name)
        self.check_doubles()

    def any(self):
        return random.choice(self.answering())

    def info(self, name, asked=None):
        return (asked or self.any()).ask("vm info", vm=name)

    def settled(self, name, asked):
        """Where it runs when nothing is under way; None before."""
        vm = self.info(name, asked)
        if vm["state"] == "start" and vm["observed"] == "running" and not vm.get("target"):
            return vm["node"]
        return None

    def await_settled(self, name, deadline_s=120):
        """Its node, once it runs and all who can answer say the same."""
        def agreed():
            said = {self.settled(name, node) for node in self.answering()}
            return said.pop() if len(said) == 1 else None
        try:
            return self.cluster[wait_for(f"{name} runs and all agree where", agreed, deadline_s)]
        except Failed as failed:
            raise Failed(f"{failed}: {json.dumps(self.info(name))}; "
                         f"libvirt: {self.copies.where(name)}") from None

    def ticked(self, name, nodes):
        """How often it has said a number there."""
        said = 0
        for node in nodes:
            path = f"{node.directory}/console/{name}.log"
            if os.path.exists(path):
                with open(path, "rb") as file:
                    said += file.read().count(b"tick ")
        return said

    def await_ticks(self, name, *nodes, more=3):
        """It goes on counting at one of these."""
        before = self.ticked(name, nodes)
        wait_for(f"{name} counts at {', '.join(map(str, nodes))}",
                 lambda: self.ticked(name, nodes) >= before + more)

    def ups(self, name):
        """How often it came up, wherever."""
        return sum(self.console(name, node)[0] for node in self.cluster.nodes)
