"""Ceph stuck in every way there is: no keepalive waits for it, nobody is suspected, and everybody
can see how old what is known of Ceph has become.

LAB_QUICK=1: 5 s of each instead of 60."""

import ceph
import held_up
from cases import rounds
from volumes import lab

STUCK_S = rounds(full=60, quick=5)


def vm_writes():
    """A VM writes all the time."""
    node = lab.cluster.nodes[1]
    if all(one["name"] != "writes" for one in node.ask("vm list")):
        lab.vm_define("writes", node)
        node.pvc("vm", "start", "writes", "--wait")
    lab.vm_check("writes", node)


def hold_up(inflict, heal, late):
    """Something is stuck for a while; late says which collectors become old by that, and where."""
    lab.cluster.await_well()
    lab.ceph.await_well()
    vm_writes()
    held_up.hold_up(lab.cluster, inflict, heal, late(), STUCK_S)
    vm_writes()


def primary():
    return [lab.cluster.await_well()]


def frozen(name, late):
    hold_up(lambda: lab.ceph.freeze(name), lambda: lab.ceph.thaw(name), late)


def the_monitor_is_stopped():
    frozen("mon.a", lambda: [("pool", lab.cluster.nodes)])


def the_manager_is_stopped():
    who = primary()
    frozen("mgr.x", lambda: [("manager", who)])


def an_osd_is_stopped():
    frozen("osd.1", lambda: [])


def packets_are_dropped():
    def drop():
        lab.wires.mute(ceph.NUMBER)
        lab.wires.deafen(lab.ceph.machine)

    def pass_on():
        lab.wires.unswallow(lab.wires.hub)
        lab.wires.unswallow(lab.ceph.machine)
    hold_up(drop, pass_on, lambda: [("pool", lab.cluster.nodes)])
