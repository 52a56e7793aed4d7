"""Something that a node measures is stuck for a while: no keepalive waits for it, nobody is
suspected, everybody sees how old what is known has become, and it mends itself.

Every node of such a lab logs its keepalives (log_keepalives: yes)."""

import datetime
import re
import threading
import time

from cluster import Failed, now_ms, wait_for

INTERVAL_MS = 1000
LATE_MS = INTERVAL_MS * 120 // 100
KEEPALIVE = re.compile(r"^tick: (\S+ \S+) \S+ keepalive: ", re.M)


def keepalives(node, since_s):
    """When the node has sent one since then, in seconds of the wall clock."""
    with open(f"{node.directory}/pvcnoded.out", encoding="utf-8", errors="replace") as file:
        found = [datetime.datetime.strptime(text, "%Y/%m/%d %H:%M:%S.%f").timestamp()
                 for text in KEEPALIVE.findall(file.read())]
    return [at for at in found if at >= since_s]


class States(threading.Thread):
    """What each node says of every other one, all the time: all that is not "run"."""

    def __init__(self, nodes):
        super().__init__(daemon=True)
        self.seen, self.asked = [], 0
        self.controls = [node.control() for node in nodes]
        self.ending = threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.05):
            for control in self.controls:
                self.asked += 1
                self.seen += [(one["name"], one["daemon_state"])
                              for one in control.ask("node list") if one["daemon_state"] != "run"]

    def end(self):
        self.ending.set()
        self.join(60)
        for control in self.controls:
            control.close()
        assert not self.is_alive() and self.asked, "the nodes were not asked"
        return self.seen


def collector(asked, node, name):
    """How old it is on a node and how it is, as another node says."""
    found = asked.ask("node info", node=node.name)["collectors"]
    if name not in found:
        raise Failed(f"{node} has no collector {name}: {found}")
    return found[name]


def is_fresh(asked, node, name):
    one = collector(asked, node, name)
    return one["state"] == "ok" and one["age_ms"] < 4 * INTERVAL_MS


def await_fresh(asked, late):
    for name, nodes in late:
        for node in nodes:
            wait_for(f"{name} of {node} is fresh", lambda n=node, c=name: is_fresh(asked, n, c))


def shown_stuck(asked, name, node, stuck_s):
    """Everybody sees how old it is, and that its worker was killed for it."""
    for one in asked:
        told = collector(one, node, name)
        assert told["state"] != "ok", f"{one} says that {name} of {node} is {told}"
        assert told["age_ms"] >= stuck_s * 1000 - 3 * INTERVAL_MS, told
    status = asked[0].ask("status")
    assert status["health"] == "degraded", status
    assert any(node.name in message and name in message
               for message in status["health_messages"]), status["health_messages"]
    assert status["collectors"][node.name][name]["age_ms"] > 0, status["collectors"]


def check_keepalives(nodes, begin, stuck_s):
    worst = 0
    for node in nodes:
        times = keepalives(node, begin)
        gaps = [(b - a) * 1000 for a, b in zip(times, times[1:])]
        assert len(gaps) >= stuck_s - 2, f"{node} has sent {len(times)} keepalives"
        worst = max(worst, *gaps)
    print(f"    longest time between two keepalives of a node: {worst:.0f} ms", flush=True)
    assert worst <= LATE_MS, f"{worst:.0f} ms between two keepalives"


def hold_up(cluster, inflict, heal, late, stuck_s):
    """inflict(), and heal() after stuck_s; late: which collectors become old by that, and of which
    nodes, as [(name, nodes)]."""
    nodes = cluster.nodes
    cluster.await_well()
    await_fresh(nodes[0], late)
    kills = {(name, node): collector(node, node, name)["kills"]
             for name, of in late for node in of}
    states = States(nodes)
    begin = time.time()
    inflict()
    try:
        time.sleep(stuck_s)
        for name, node in kills:
            shown_stuck(nodes, name, node, stuck_s)
            told = collector(node, node, name)
            assert told["kills"] > kills[name, node], (told, kills[name, node])
    finally:
        heal()
    healed = now_ms()
    await_fresh(nodes[0], late)
    cluster.await_well()
    print(f"    all is fresh {now_ms() - healed:.0f} ms after it was healed", flush=True)
    suspected = states.end()
    assert not suspected, suspected[:5]
    check_keepalives(nodes, begin, stuck_s)
