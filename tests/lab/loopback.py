"""Daemons on loopback, without any namespace, and a simulated hypervisor for each."""

import os
import shutil
import tempfile

from cluster import Cluster, Machine, Node, alive, family, settings, wait_for


class Loopback:
    """A cluster without any namespace: of so many nodes, and names for some more."""

    def __init__(self, count=3, spare=0, witnesses=()):
        self.witnesses = witnesses
        self.directory = tempfile.mkdtemp(prefix="pvc-crash.")
        self.names = [f"node{number}" for number in range(1, count + spare + 1)]
        self.cluster = Cluster([self.make_node(number) for number in range(1, count + 1)])

    def make_node(self, number):
        pid = os.getpid()
        name = self.names[number - 1]
        directory = f"{self.directory}/{name}"
        node = Node(directory, name, Machine(kinds=()),
                    f"127.{pid // 250 % 250 + 1}.{pid % 250 + 1}.{number}")
        coordinators = [one for i, one in enumerate(self.names, 1) if i not in self.witnesses]
        node.configure(settings(node, coordinators, {
            "mode": "witness" if number in self.witnesses else "node",
            "hypervisor": f"{{driver: sim, uri: {directory}/vms}}"}))
        return node

    def __enter__(self):
        self.cluster.start()
        return self.cluster

    def __exit__(self, *_):
        for node in self.cluster.nodes:
            if node.daemon_alive():
                pids = family(node.daemon)
                node.daemon_kill()
                # Its guard and its workers see that it has gone.
                wait_for(f"nothing is left of {node}", lambda p=pids: not any(map(alive, p)))
        shutil.rmtree(self.directory)
