"""Clients that write facts all the time, and know which of them were acknowledged.

Each fact is written once, with a key of its own. One whose answer did not come, or said that
nobody knows, may be there or not; one that was acknowledged has to be there for ever."""

import threading

from cluster import Failed, now_ms, wait_for

PACE_S = 0.004  # between two facts of a client
TIMEOUT_S = 5


class Writer(threading.Thread):
    """Writes through one node, and through the next one when that does not do it."""

    def __init__(self, name, nodes, begin):
        super().__init__(daemon=True)
        self.name_, self.nodes, self.turn = name, nodes, begin
        self.acknowledged, self.sent = {}, {}
        self.worst_ms, self.failures, self.fatal = 0, [], None
        self.through = {}  # how many by which node
        self.last_ms = now_ms()
        self.ending = threading.Event()

    def run(self):
        try:
            while not self.ending.wait(PACE_S):
                self.write_through(self.node())
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.fatal = error
            raise

    def node(self):
        nodes = self.nodes()
        return nodes[self.turn % len(nodes)]

    def write_through(self, node):
        """One fact after another until one fails, or the node is not one to ask any more."""
        try:
            with node.control(TIMEOUT_S) as control:
                while not self.ending.wait(PACE_S) and node in self.nodes():
                    self.write(node, control)
        except (Failed, OSError, ValueError) as error:
            self.failures.append(f"{node}: {error}")
            self.turn += 1

    def write(self, node, control):
        key, value = f"{self.name_}-{len(self.sent)}", f"{len(self.sent)} by {node}"
        self.sent[key] = value
        control.ask("fact set", key=key, value=value)
        self.acknowledged[key] = value
        self.through[node.name] = self.through.get(node.name, 0) + 1
        self.worst_ms = max(self.worst_ms, now_ms() - self.last_ms)
        self.last_ms = now_ms()


class Writing:
    """Some writers, each beginning with another of the nodes that nodes() says may be asked."""

    def __init__(self, nodes, count=2):
        self.writers = [Writer(f"written{number}", nodes, number) for number in range(count)]
        for writer in self.writers:
            writer.start()

    def progress(self, facts=20):
        """It goes on: every writer gets some more acknowledged."""
        counts = [len(writer.acknowledged) for writer in self.writers]
        wait_for("facts are written", lambda: all(
            len(w.acknowledged) >= c + facts for w, c in zip(self.writers, counts)))

    def end(self):
        for writer in self.writers:
            writer.ending.set()
        for writer in self.writers:
            writer.join(60)
            assert not writer.is_alive(), "a writer hangs"

    def failures(self):
        return [failure for writer in self.writers for failure in writer.failures]

    def acknowledged(self):
        return {k: v for writer in self.writers for k, v in list(writer.acknowledged.items())}

    def check(self, nodes):
        """On each of these nodes is what was acknowledged so far, and nothing that nobody wrote."""
        wanted = self.acknowledged()
        index = max(node.ask("raft status")["applied_index"] for node in nodes)
        for writer in self.writers:
            assert not writer.fatal, f"a writer ended: {writer.fatal!r}"
        for node in nodes:
            wait_for(f"{node} has entry {index}",
                     lambda n=node: n.ask("raft status")["applied_index"] >= index)
            found = {fact["key"]: fact["value"] for fact in node.ask("fact list")}
            lost = [key for key in wanted if found.get(key) != wanted[key]]
            assert not lost, f"{node} lacks {len(lost)} of {len(wanted)} facts: {lost[:5]}"
            sent = {k: v for writer in self.writers for k, v in list(writer.sent.items())}
            alien = [k for k in found if k.startswith("written") and sent.get(k) != found[k]]
            assert not alien, f"{node} has facts that nobody wrote: {alien[:5]}"
        return len(wanted)

    def say(self):
        through = {}
        for writer in self.writers:
            for name, count in writer.through.items():
                through[name] = through.get(name, 0) + count
        print(f"    {len(self.acknowledged())} facts acknowledged through {len(through)} nodes, "
              f"{len(self.failures())} not; the longest wait "
              f"{max(writer.worst_ms for writer in self.writers):.0f} ms", flush=True)
