"""Three daemons on loopback, without any namespace, and a simulated hypervisor for each."""

import os
import shutil
import tempfile

from cluster import Cluster, Machine, Node, alive, family, settings, wait_for

NAMES = ["node1", "node2", "node3"]


class Loopback:
    """A cluster without any namespace."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="pvc-crash.")
        self.cluster = Cluster([self.make_node(i) for i in (1, 2, 3)])

    def make_node(self, number):
        pid = os.getpid()
        directory = f"{self.directory}/{NAMES[number - 1]}"
        node = Node(directory, NAMES[number - 1], Machine(kinds=()),
                    f"127.{pid // 250 % 250 + 1}.{pid % 250 + 1}.{number}")
        node.configure(settings(node, NAMES, {
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
