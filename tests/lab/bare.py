"""Bare machines on one network, each with nothing on it but a configuration, that become a cluster.

Each is a set of namespaces of its own. Their addresses are those of real.Wires; their hypervisors
are simulated. A machine keeps its number for ever, and a number is used once."""

import json
import os
import shutil
import tempfile

from cluster import Cluster, Failed, Machine, Node, now_ms, run, settings, wait_for
from real import Wired

KINDS = ("--mount", "--uts", "--pid", "--net")
REPLACE_AFTER_S = 10  # of silence, until a voter is gone for good


class Bare(Wired):
    """Machines, and of them the nodes of a cluster: it has none at first."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="pvc-bare.")
        super().__init__()
        self.cluster = Cluster([])
        self.made = []  # every machine that ever was

    def machine(self, mode="coordinator"):
        """Another one that is on and bare; as what it is to join."""
        number = len(self.made) + 1
        name = f"node{number}"
        node = Node(f"{self.directory}/{name}", name,
                    Machine(f"hostname {name}\nip link set lo up", KINDS), f"10.78.1.{number}")
        node.configure(settings(node, [name] if mode == "coordinator" else ["node1"], {
            "mode": "witness" if mode == "witness" else "node",
            "raft": f", replace_after: {REPLACE_AFTER_S}",
            "hypervisor": f"{{driver: sim, uri: {node.directory}/vms}}"}))
        self.made.append(node)
        self.power_on(node)
        return node

    def number(self, node):
        return self.made.index(node) + 1

    def join(self, node, through):
        """What people type: on a member, and on the machine."""
        token = json.loads(through.pvc("cluster", "token", "-f", "json"))["token"]
        node.pvc("cluster", "join", token, "--config", node.config)
        node.daemon_start()
        wait_for(f"{node} answers", node.answers)
        self.cluster.nodes.append(node)

    def down(self):
        for node in self.made:
            node.power_off()
        self.wires.hub.power_off()
        shutil.rmtree(self.directory)
