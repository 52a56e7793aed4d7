"""Locks that a dead QEMU has left on its VM's disk: whose they are decides what becomes of them.

LAB_ROUNDS=5 says how often a QEMU is killed; LAB_QUICK=1: once."""

import concurrent.futures
import re

from cases import figures, rounds
from cluster import Failed, now_ms, wait_for
from real import Lab
from volumes import Stray, first_write_ms, lab, said, size, volume

ROUNDS = rounds(full=5, quick=1)
SOON_MS = 1000  # a first write; it takes 30 s when the lock of somebody else is left alone
MISSED_MS = 3000
OLD_PORT = 6789  # where the monitor speaks the first version of its protocol

def vm(name):
    return lab.cluster.nodes[0].ask("vm info", vm=name)


def vm_run(name, node, port=3300):
    """A VM of its own for a case that runs there, and has written."""
    lab.vm_define(name, node, port)
    node.pvc("vm", "start", name, "--wait")
    first_write_ms(lab.log(name, node), 0)
    check_locker(name, node)


def vm_remove(name):
    asked = lab.cluster.nodes[0]

    def removed():
        asked.pvc("vm", "undefine", name)
        return True
    asked.pvc("vm", "stop", name, "--wait")
    # A keepalive that was made while it was stopped may come after the report that it is off.
    wait_for(f"{name} can be removed", removed, every_s=0.2)


def kill(name, node):
    """No hand is laid on anything but the QEMU: what its console has said so far."""
    offset = size(lab.log(name, node))
    node.machine.run("kill", "-KILL", lab.qemu(name, node))
    return offset


def writes_soon(name, node, offset):
    """It came up again, wrote at once, and nothing of what it had written was lost."""
    took = first_write_ms(lab.log(name, node), offset)
    assert took <= SOON_MS, f"the first write of {name} took {took:.0f} ms"
    check_locker(name, node)
    return took


def check_locker(name, node):
    """This node has the lock, and nobody else."""
    lockers = lab.ceph.lockers(volume(name))
    assert len(lockers) == 1 and lockers[0][1].startswith(f"{node.address}:"), lockers


def counts(name, nodes):
    """Every tick that the guest said was through, wherever it ran, in order."""
    text = "".join(said(lab.log(name, node)) for node in nodes)
    return [int(tick) for tick in re.findall(r"tick (\d{4})\r\n", text)]


def check_counts(name, nodes):
    """No write that was through was lost: a tick may be missing that was not said, none comes
    twice."""
    found = counts(name, nodes)
    assert all(b - a in (1, 2) for a, b in zip(found, found[1:])), found


def refused(complaint, asked, *words):
    try:
        asked.pvc(*words)
    except Failed as failed:
        if not re.search(complaint, str(failed)):
            raise Failed(f"it says something else: {failed}") from None
        return str(failed)
    raise Failed(f"pvc {' '.join(words)} is not refused")


def a_killed_qemu_is_started_again_and_writes_at_once():
    node, up, writes = lab.cluster.nodes[1], [], []
    vm_run("killed", node)
    for _ in range(ROUNDS):
        lab.vm_check("killed", node)
        begin = now_ms()
        offset = kill("killed", node)
        writes.append(writes_soon("killed", node, offset))
        up.append(now_ms() - begin - writes[-1])
    check_counts("killed", [node])
    figures("up again", up)
    figures("first write", writes)
    vm_remove("killed")


def a_lock_that_a_person_set_on_this_node_is_no_obstacle():
    node = lab.cluster.nodes[1]
    lab.vm_define("manual", node)
    node.machine.run("rbd", "-c", lab.ceph.conf, "lock", "add", volume("manual"), "mine")
    node.pvc("vm", "start", "manual", "--wait")
    writes_soon("manual", node, 0)
    vm_remove("manual")


def a_lock_of_another_node_is_refused_and_flush_locks_mends_it():
    other, node = lab.cluster.nodes[0], lab.cluster.nodes[1]
    vm_run("foreign", other)
    lab.vm_check("foreign", other)
    other.pvc("vm", "shutdown", "foreign")
    kill("foreign", other)
    wait_for("it is off", lambda: (vm("foreign")["state"], vm("foreign")["observed"]) ==
             ("stop", "shutoff"))
    [(client, address)] = lab.ceph.lockers(volume("foreign"))
    other.pvc("vm", "move", "foreign", node.name, "--wait")
    node.pvc("vm", "start", "foreign")
    wait_for("it fails", lambda: vm("foreign")["state"] == "fail")
    reason = vm("foreign")["failed_reason"]
    for part in (volume("foreign"), f"locked by {other.address} ", client, "flush-locks"):
        assert part in reason, f"no {part}: {reason}"
    assert not lab.qemu("foreign", node)
    assert lab.ceph.lockers(volume("foreign")) == [(client, address)], "its lock was broken"
    lab.cluster.nodes[2].pvc("vm", "flush-locks", "foreign", "--yes")
    assert not lab.ceph.lockers(volume("foreign"))
    blocked = lab.ceph.blocked()
    assert address in blocked, f"{address} could still write: {blocked}"
    node.pvc("vm", "start", "foreign", "--wait")
    writes_soon("foreign", node, 0)
    check_counts("foreign", [other, node])
    vm_remove("foreign")


def a_client_whose_lock_was_flushed_never_writes_again():
    other, node = lab.cluster.nodes[0], lab.cluster.nodes[1]
    lab.vm_define("haunted", node)
    stray = Stray(lab, "haunted", other)
    stray.first_write_ms()
    stray.freeze()
    node.pvc("vm", "flush-locks", "haunted", "--yes")
    node.pvc("vm", "start", "haunted", "--wait")
    writes_soon("haunted", node, 0)
    lab.vm_check("haunted", node)
    offset = size(stray.log)
    stray.thaw()
    wait_for("it is refused", lambda: "no write" in said(stray.log, offset))
    assert "tick" not in said(stray.log, offset), said(stray.log, offset)
    stray.kill()
    check_locker("haunted", node)
    check_counts("haunted", [node])
    vm_remove("haunted")


def the_locks_of_a_vm_that_runs_are_not_flushed():
    node = lab.cluster.nodes[1]
    vm_run("running", node)
    lockers = lab.ceph.lockers(volume("running"))
    for asked in lab.cluster.nodes:
        refused("run", asked, "vm", "flush-locks", "running", "--yes")
    assert lab.ceph.lockers(volume("running")) == lockers
    lab.vm_check("running", node)
    vm_remove("running")


def looked_ms(node):
    """How long ago libvirt was last asked there."""
    return node.ask("node info", node=node.name)["collectors"]["hypervisor"]["age_ms"]


def a_pool_that_hangs_holds_up_no_other_start_and_no_look():
    node = lab.cluster.nodes[1]
    lab.vm_define("waits", node)
    Lab.vm_define(lab, "apart", node)
    lab.ceph.freeze("mon.a")
    try:
        begin = now_ms()
        node.pvc("vm", "start", "waits")
        node.pvc("vm", "start", "apart", "--wait")
        took = now_ms() - begin
        assert took < 5000, f"a VM without a volume waited {took:.0f} ms"
        wait_for("it is said", lambda: "disk pool" in vm("waits")["failed_reason"])
        assert vm("waits")["state"] == "start", vm("waits")
        wait_for("libvirt is asked as ever", lambda: looked_ms(node) < 1000)
        assert not lab.qemu("waits", node)
    finally:
        lab.ceph.thaw("mon.a")
    lab.ceph.await_well()
    first_write_ms(lab.log("waits", node), 0, 120)
    print(f"    a VM beside it started in {took:.0f} ms", flush=True)
    vm_remove("waits")
    vm_remove("apart")


def fence_by_hand(asked, node):
    """As a person does who has seen that it is off."""
    def fenced():
        asked.pvc("node", "fenced", node.name, "--by-hand", "--yes")
        return True
    wait_for(f"{node} can be fenced", fenced, every_s=0.2)


def a_vm_of_a_node_that_is_proven_off_writes_at_once_elsewhere():
    primary = lab.cluster.await_well()
    node = lab.cluster.others(primary)[0]
    rest = lab.cluster.others(node)
    vm_run("moved", node, OLD_PORT)
    lockers = lab.ceph.lockers(volume("moved"))
    lab.power_off(node)
    wait_for(f"{node} is missed", lambda: next(
        one["keepalive_age_ms"] for one in rest[0].ask("node list")
        if one["name"] == node.name) >= MISSED_MS)
    assert lab.ceph.lockers(volume("moved")) == lockers, "the lock was broken without proof"
    offsets = {one.name: size(lab.log("moved", one)) for one in rest}
    begin = now_ms()
    fence_by_hand(rest[0], node)
    where = lab.cluster[wait_for("it is placed elsewhere", lambda: next(
        (one["node"] for one in [rest[0].ask("vm info", vm="moved")]
         if one["node"] != node.name), None))]
    took = writes_soon("moved", where, offsets[where.name])
    print(f"    writes again {now_ms() - begin:.0f} ms after the proof, "
          f"{took:.0f} ms after it came up", flush=True)
    blocked = lab.ceph.blocked()
    assert lockers[0][1] in blocked, f"{lockers} could still write: {blocked}"
    check_counts("moved", [node, where])
    lab.power_on(node)
    node.daemon_start()
    lab.cluster.await_well()
    lab.vm_check("moved", where)
    assert not lab.vms_at(node), "it runs again on the node that was lost"
    vm_remove("moved")


def a_cold_start_with_stale_locks_everywhere_starts_every_vm():
    names = {f"cold{number}{twin}": node for twin in "ab"
             for number, node in enumerate(lab.cluster.nodes, 1)}
    for name, node in names.items():
        vm_run(name, node, OLD_PORT if name.endswith("b") else 3300)
    for node in lab.cluster.nodes:
        lab.power_off(node)
    for name, node in names.items():
        check_locker(name, node)
    offsets = {name: size(lab.log(name, node)) for name, node in names.items()}
    begin = now_ms()
    for node in lab.cluster.nodes:
        lab.power_on(node)
        node.daemon_start()
    with concurrent.futures.ThreadPoolExecutor(len(names)) as each:
        writes = list(each.map(lambda name: first_write_ms(
            lab.log(name, names[name]), offsets[name]), names))
    print(f"    {len(names)} VMs write again {now_ms() - begin:.0f} ms after the power came back",
          flush=True)
    figures("first write", writes)
    assert max(writes) <= SOON_MS, writes
    lab.cluster.await_well()
    for name, node in names.items():
        check_locker(name, node)
        check_counts(name, [node])
        vm_remove(name)
