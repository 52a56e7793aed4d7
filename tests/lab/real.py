"""Three machines with a libvirtd each on two networks, and a client: what the lab calls real.

Every machine is on the bridge "upstream" (eth0, 10.77.1.N) and on the bridge "cluster" (eth1,
10.78.1.N), both in a network namespace of their own: the networks of this machine see nothing of
it. Floating addresses are set by netlink."""

import os
import shutil
import tempfile

from cluster import GUEST, Cluster, Failed, Machine, Node, run, settings, ticks, wait_for
from observe import Answers, Holders

NAMES = ["node1", "node2", "node3"]
CLIENT = 9
FLOATING = {"upstream": "10.77.1.254", "cluster": "10.78.1.254"}
NETWORKS = """
      upstream: {network: 10.77.1.0/24, floating_ip: 10.77.1.254/24}
      cluster: {network: 10.78.1.0/24, floating_ip: 10.78.1.254/24}"""
DEVICES = """
        upstream: {device: eth0}
        cluster: {device: eth1}"""
KINDS = ("--mount", "--uts", "--ipc", "--pid", "--net")

LIBVIRTD_CONF = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
host_uuid = "11111111-aaaa-4aaa-8aaa-00000000000{number}"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""
# There is no virtlogd, and cgroups belong to the machine that all of this runs on.
QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""
SETUP = """\
hostname {name}
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/libvirt /run/lock /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
for part in lib log cache; do mount --bind {directory}/libvirt/$part /var/$part/libvirt; done
mount --bind {directory}/libvirt/etc /etc/libvirt
mount --bind {directory}/console {lab}/console
cat /proc/sys/kernel/random/uuid >/run/boot_id
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
ip link set lo up
{libvirtd}
"""
LIBVIRTD = "libvirtd --daemon -f /etc/libvirt/libvirtd.conf -p /run/libvirtd.pid"


class Wires:
    """Two bridges and the cables from them to machines. All but raw cables: they can be cut."""

    def __init__(self):
        self.hub = Machine("ip link set lo up", kinds=("--net",))
        self.hub.power_on()
        for bridge in ("upstream", "cluster"):
            self.hub.run("ip", "link", "add", bridge, "type", "bridge")
            self.hub.run("ip", "link", "set", bridge, "up")

    def connect(self, machine, number):
        for index, bridge in enumerate(("upstream", "cluster")):
            port, device = f"{bridge}{number}", f"eth{index}"
            # Its own for ever: a machine that was off must not hide behind a stale neighbour.
            mac = f"52:54:00:7{7 + index}:00:{number:02}"
            self.hub.run("ip", "link", "add", port, "type", "veth", "peer", "name", device,
                         "address", mac, "netns", str(machine.init))
            self.hub.run("ip", "link", "set", port, "master", bridge, "up")
            machine.run("ip", "addr", "add", f"10.7{7 + index}.1.{number}/24", "dev", device)
            machine.run("ip", "link", "set", device, "up")

    def disconnect(self, number):
        for bridge in ("upstream", "cluster"):
            self.hub.run("ip", "link", "del", f"{bridge}{number}")

    def cut(self, number):
        for bridge in ("upstream", "cluster"):
            self.hub.run("ip", "link", "set", f"{bridge}{number}", "down")

    def uncut(self, number):
        for bridge in ("upstream", "cluster"):
            self.hub.run("ip", "link", "set", f"{bridge}{number}", "up")

    @staticmethod
    def swallow(machine, devices):
        """Whatever arrives at these devices of a machine is lost, ARP and all."""
        chains = "".join(f'chain {device} {{\n type filter hook ingress device "{device}" '
                         'priority 0\n policy drop\n}\n' for device in devices)
        machine.run("nft", f"table netdev cut {{\n{chains}}}")

    @staticmethod
    def unswallow(machine):
        machine.run("nft", "delete table netdev cut")

    def mute(self, number):
        """What the machine sends is lost; it hears the others."""
        self.swallow(self.hub, [f"upstream{number}", f"cluster{number}"])

    def deafen(self, machine):
        """What is sent to the machine is lost; the others hear it."""
        self.swallow(machine, ["eth0", "eth1"])


class Wired:
    """Nodes on both bridges, each by its number: who inherits this says which that is."""

    def __init__(self):
        self.wires = Wires()

    def power_on(self, node):
        node.machine.power_on()
        self.wires.connect(node.machine, self.number(node))

    def power_off(self, node):
        """The cables and all processes at once; nothing of it is left on this machine."""
        self.wires.disconnect(self.number(node))
        node.power_off()


class Lab(Wired):
    """Three real nodes of a cluster that is up, a client, and observers of the upstream address."""

    libvirtd_command = LIBVIRTD

    def __init__(self, shutdown_s=3):
        self.directory = tempfile.mkdtemp(prefix="pvc-lab.")
        self.shutdown_s = shutdown_s
        os.makedirs(f"{self.directory}/console")
        run(GUEST, "image", f"{self.directory}/guest.img")
        super().__init__()
        self.client = Machine("ip link set lo up", kinds=("--net",))
        self.client.power_on()
        self.wires.connect(self.client, CLIENT)
        self.cluster = Cluster([self.make_node(i) for i in (1, 2, 3)])
        self.observers = []

    def make_node(self, number):
        name = NAMES[number - 1]
        directory = f"{self.directory}/{name}"
        for part in ("lib", "log", "cache", "etc"):
            os.makedirs(f"{directory}/libvirt/{part}")
        with open(f"{directory}/libvirt/etc/libvirtd.conf", "w", encoding="ascii") as file:
            file.write(LIBVIRTD_CONF.format(number=number))
        with open(f"{directory}/libvirt/etc/qemu.conf", "w", encoding="ascii") as file:
            file.write(QEMU_CONF)
        setup = SETUP.format(name=name, directory=directory, lab=self.directory,
                             libvirtd=self.libvirtd_command)
        node = Node(directory, name, Machine(setup, KINDS), f"10.78.1.{number}")
        self.configure(node)
        return node

    def configure(self, node, services="[]", **more):
        node.configure(settings(node, NAMES, {
            "networks": NETWORKS, "networking": DEVICES, "services": services,
            "shutdown": self.shutdown_s,
            "hypervisor": "{driver: libvirt, uri: 'qemu:///system'}", **more}))

    def up(self):
        for node in self.cluster.nodes:
            self.power_on(node)
        self.cluster.start()
        return self

    def number(self, node):
        return NAMES.index(node.name) + 1

    def observe(self):
        """Begin to watch the upstream address: who has it, and when it answers the client."""
        holders = Holders(FLOATING["upstream"], self.cluster.nodes)
        answers = Answers(FLOATING["upstream"], self.client)
        self.observers += [holders, answers]
        wait_for("the floating address answers", answers.times)
        wait_for("somebody has the floating address", holders.now)
        return holders, answers

    def down(self):
        for observer in self.observers:
            observer.end()
        self.cluster.power_off()
        self.client.power_off()
        self.wires.hub.power_off()
        shutil.rmtree(self.directory)

    def libvirtd(self, node, what):
        if what == "kill":
            node.machine.run("sh", "-c", "pid=$(cat /run/libvirtd.pid); kill -KILL $pid; "
                             "while [ -d /proc/$pid ]; do sleep 0.05; done; rm /run/libvirtd.pid")
        elif what in ("stop", "cont"):
            node.machine.run("sh", "-c", f"kill -{what.upper()} $(cat /run/libvirtd.pid)")
        else:
            node.machine.run(*self.libvirtd_command.split())

    # VMs.

    def vm_define(self, name, node, memory="<memory unit='MiB'>4</memory>"):
        uuid = f"22222222-0000-4000-8000-{sum(map(ord, name)):012x}"
        path = f"{self.directory}/{name}.xml"
        xml = run(GUEST, "xml", name, uuid, f"{self.directory}/guest.img",
                  f"{self.directory}/console/{name}.log")
        with open(path, "w", encoding="utf-8") as file:
            file.write(xml.replace("<memory unit='MiB'>4</memory>", memory))
        node.pvc("vm", "define", path, "--node", node.name)

    def console(self, name, node):
        return ticks(f"{node.directory}/console/{name}.log")

    def vm_check(self, name, node):
        """It runs there: libvirt says so, its guest goes on ticking."""
        ups, tick = self.console(name, node)
        wait_for(f"{name} ticks on {node} (came up {ups} times, last tick {tick})",
                 lambda: self.console(name, node)[1] > tick or self.console(name, node)[0] > ups)
        if name not in node.machine.run("virsh", "-q", "list", "--name").split():
            raise Failed(f"libvirt on {node} has no {name}")

    @staticmethod
    def vms_at(node):
        """What libvirt runs there."""
        return node.machine.run("virsh", "-q", "list", "--name").split()

    @staticmethod
    def qemu(name, node):
        """The process id of a VM, as its node numbers it; empty when there is none."""
        try:
            return node.machine.run("pgrep", "-f", f"guest={name},").strip()
        except Failed:
            return ""


