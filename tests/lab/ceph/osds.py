"""What pvc says of Ceph, beside what Ceph's own command prints, field by field."""

import json
import os
import re
import signal
import subprocess
import time

from cases import rounds
from ceph import POOL
from cluster import Failed, children, die_with_parent, wait_for
from real import NAMES
from volumes import lab

LOADED_S = rounds(full=20, quick=3)
HEALTH = {"HEALTH_OK": "ok", "HEALTH_WARN": "warning", "HEALTH_ERR": "error"}
STATUS_ROW = re.compile(r"\s*(\d+)\s+\S*\s+\S+\s+\S+\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s")
OSD_FIELDS = {"id", "node", "host", "uuid", "up", "in", "device_class", "weight", "reweight",
              "affinity", "pgs", "size_kib", "used_kib", "available_kib", "utilization",
              "variance", "read_ops", "read_bytes", "write_ops", "write_bytes", "commit_ms",
              "apply_ms"}

# As Ceph says it.

def scaled(text, thousand):
    """5461k is 5461 thousands, of whatever size: bytes have others than numbers."""
    number, unit = re.fullmatch(r"([\d.]+)([kMGT]?)", text).groups()
    return round(float(number) * thousand ** " kMGT".index(unit or " "))


def ceph_rates():
    """Of each OSD: operations and bytes read and written per second. Only people are told."""
    rates = {}
    for row in map(STATUS_ROW.match, lab.ceph.command("osd", "status").splitlines()):
        if row:
            rates[int(row[1])] = {
                "write_ops": scaled(row[2], 1000), "write_bytes": scaled(row[3], 1024),
                "read_ops": scaled(row[4], 1000), "read_bytes": scaled(row[5], 1024)}
    return rates


def ceph_osds():
    dump, tree, df, perf = lab.ceph.ask("osd dump", "osd tree", "osd df", "osd perf")
    osds = {one["osd"]: {"id": one["osd"], "uuid": one["uuid"], "up": bool(one["up"]),
                         "in": bool(one["in"]), "reweight": one["weight"],
                         "affinity": one["primary_affinity"]}
            for one in dump["osds"]}
    for one in tree["nodes"]:
        if one["type"] == "osd":
            osds[one["id"]] |= {"device_class": one["device_class"],
                                "weight": one["crush_weight"]}
        for child in one["children"] if one["type"] == "host" else []:
            osds[child] |= {"host": one["name"], "node": one["name"]}
    for one in df["nodes"]:
        osds[one["id"]] |= {"pgs": one["pgs"], "size_kib": one["kb"], "used_kib": one["kb_used"],
                            "available_kib": one["kb_avail"], "utilization": one["utilization"],
                            "variance": one["var"]}
    for one in perf["osdstats"]["osd_perf_infos"]:
        osds[one["id"]] |= {"commit_ms": one["perf_stats"]["commit_latency_ms"],
                            "apply_ms": one["perf_stats"]["apply_latency_ms"]}
    for number, rates in ceph_rates().items():
        osds[number] |= rates
    return osds


def ceph_pools():
    dump, df, rates = lab.ceph.ask("osd dump", "df", "osd pool stats")
    pools = {one["pool"]: {"id": one["pool"], "name": one["pool_name"], "pgs": one["pg_num"],
                           "replicas": one["size"]}
             for one in dump["pools"]}
    for one in df["pools"]:
        stats = one["stats"]
        pools[one["id"]] |= {
            "stored_kib": stats["stored"] // 1024, "used_kib": stats["bytes_used"] // 1024,
            "available_kib": stats["max_avail"] // 1024, "objects": stats["objects"],
            "utilization": stats["percent_used"] * 100}
    for one in rates:
        rate = one["client_io_rate"]
        pools[one["pool_id"]] |= {
            "read_ops": rate.get("read_op_per_sec", 0), "read_bytes": rate.get("read_bytes_sec", 0),
            "write_ops": rate.get("write_op_per_sec", 0),
            "write_bytes": rate.get("write_bytes_sec", 0)}
    return pools


def ceph_status():
    status, df = lab.ceph.ask("status", "df")
    osds, space = status["osdmap"], df["stats"]
    return {"fsid": status["fsid"], "health": HEALTH[status["health"]["status"]],
            "osds": osds["num_osds"], "osds_up": osds["num_up_osds"],
            "osds_in": osds["num_in_osds"], "pgs": status["pgmap"]["num_pgs"],
            "monitors": status["monmap"]["num_mons"],
            "monitors_in_quorum": len(status["quorum"]),
            "manager": status["mgrmap"]["available"], "size_kib": space["total_bytes"] // 1024,
            "used_kib": space["total_used_raw_bytes"] // 1024,
            "available_kib": space["total_avail_bytes"] // 1024,
            "pools": status["pgmap"]["num_pools"]}


# As pvc says it.

def pvc_json(asked, *words):
    return json.loads(asked.pvc("storage", *words, "-f", "json"))


def pvc_osds(asked):
    return {one["id"]: one for one in pvc_json(asked, "osd", "list")}


def differences(said, wanted):
    """Where they are not the same; numbers that pvc keeps in millionths may be rounded."""
    found = []
    for name in sorted(said.keys() | wanted.keys()):
        mine, theirs = said.get(name), wanted.get(name)
        same = abs(mine - theirs) <= 1e-6 if isinstance(mine, float) and theirs is not None \
            else mine == theirs
        if not same:
            found.append(f"{name}: {mine}, Ceph says {theirs}")
    return found


def check_all(said, wanted):
    if said.keys() != wanted.keys():
        raise Failed(f"there are {sorted(said)}, Ceph has {sorted(wanted)}")
    found = [f"{key}: {text}" for key in said for text in differences(said[key], wanted[key])]
    if found:
        raise Failed("; ".join(found))
    return True


def await_osds(asked):
    """Neither is asked at the same instant as the other; what changes comes to rest."""
    wait_for("pvc says of OSDs what Ceph does", lambda: check_all(pvc_osds(asked), ceph_osds()))


# Cases.

def every_field_of_every_osd_is_what_ceph_says():
    primary = lab.cluster.await_well()
    for asked in (primary, lab.cluster.others(primary)[0]):
        await_osds(asked)
    said = pvc_osds(primary)
    assert sorted(said) == [0, 1, 2], said
    for number, one in said.items():
        assert one.keys() == OSD_FIELDS, one.keys() ^ OSD_FIELDS
        assert pvc_json(primary, "osd", "info", str(number)).keys() == OSD_FIELDS
    table = primary.pvc("storage", "osd", "list").splitlines()
    for number, name in enumerate(NAMES):
        assert any(re.match(rf"\s*{number}\s.*\b{name}\b", line) for line in table), table


def what_is_changed_by_hand_shows():
    asked = lab.cluster.nodes[1]
    lab.ceph.tell("osd reweight 1 0.98", "osd primary-affinity 1 0.5",
                  "osd crush reweight osd.0 0.002", "osd crush rm-device-class osd.2",
                  "osd crush set-device-class ssd osd.2", "osd set noout")
    await_osds(asked)
    said = pvc_osds(asked)
    assert said[2]["device_class"] == "ssd", said[2]
    assert abs(said[1]["reweight"] - 0.98) < 0.001 and said[1]["affinity"] == 0.5, said[1]

    def warned():
        status = asked.ask("status")
        return status["health"] == "degraded" and any(
            "noout" in message for message in status["health_messages"])
    wait_for("Ceph's warning degrades the cluster", warned)
    assert pvc_json(asked, "status")["health"] == "warning"
    lab.ceph.tell("osd reweight 1 1", "osd primary-affinity 1 1",
                  "osd crush reweight osd.0 0.00099", "osd crush rm-device-class osd.2",
                  "osd crush set-device-class hdd osd.2", "osd unset noout")
    lab.cluster.await_well()
    await_osds(asked)


def pools_and_totals_are_what_ceph_says():
    asked = lab.cluster.nodes[2]

    def pools_same():
        said = {one["id"]: one for one in pvc_json(asked, "pool", "list")}
        return check_all(said, ceph_pools())
    wait_for("pvc says of pools what Ceph does", pools_same)

    def status_same():
        said, wanted = pvc_json(asked, "status"), ceph_status()
        return check_all({"all": {name: said.get(name) for name in wanted}}, {"all": wanted})
    wait_for("pvc says of all what Ceph does", status_same)


def rates_are_those_of_the_work_that_is_done():
    asked = lab.cluster.nodes[0]
    lab.ceph.rbd("create", "--size", "32M", "--object-size", "512K", f"{POOL}/bench")
    work = subprocess.Popen(
        lab.ceph.machine.inside("rbd", "-c", lab.ceph.conf, "bench", "--io-type", "write",
                                "--io-pattern", "rand", "--io-size", "16K", "--io-threads", "1",
                                "--io-total", "64G", "--rbd-cache", "false", f"{POOL}/bench"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent)
    try:
        wait_for("Ceph sees the work", lambda: all(
            rate["write_ops"] for rate in ceph_rates().values()))
        wait_for("so does pvc", lambda: all(
            one["write_ops"] for one in pvc_osds(asked).values()))
        theirs, mine = [], []
        until = time.monotonic() + LOADED_S
        while time.monotonic() < until:
            theirs.append(ceph_rates())
            mine.append(pvc_osds(asked))
        for field in ("write_ops", "write_bytes"):
            for number in range(len(NAMES)):
                wanted = [one[number][field] for one in theirs]
                said = [one[number][field] for one in mine]
                assert min(wanted) / 2 <= sum(said) / len(said) <= max(wanted) * 2, \
                    f"{field} of OSD {number}: {said}, Ceph says {wanted}"
        pool = next(one for one in pvc_json(asked, "pool", "list") if one["name"] == POOL)
        assert pool["write_ops"] and pool["write_bytes"], pool
    finally:
        for pid in children(work.pid):
            os.kill(pid, signal.SIGKILL)
        work.wait()


def an_osd_that_is_down_keeps_what_is_known_of_it():
    asked = lab.cluster.nodes[0]
    os.kill(lab.ceph.daemon("osd.2"), signal.SIGKILL)
    lab.ceph.entered["osd.2"].wait()
    wait_for("it is down", lambda: not pvc_osds(asked)[2]["up"])
    await_osds(asked)
    lab.ceph.daemon_start("osd.2")
    lab.ceph.await_well()
    lab.cluster.await_well()
    await_osds(asked)
    assert pvc_osds(asked)[2]["up"]


def an_osd_of_a_node_whose_daemon_is_down_is_reported():
    primary = lab.cluster.await_well()
    node = lab.cluster.nodes[2]
    asked = lab.cluster.others(node)[0]
    node.daemon_kill()
    if node is primary:
        lab.cluster.await_takeover(primary.ask("status")["primary"]["epoch"],
                                   lab.cluster.others(node))
    lab.ceph.tell("osd primary-affinity 2 0.25")
    wait_for("what changes there shows", lambda: pvc_osds(asked)[2]["affinity"] == 0.25)
    await_osds(asked)
    lab.ceph.tell("osd primary-affinity 2 1")
    node.daemon_start()
    lab.cluster.await_well()
    await_osds(node)


def a_stopped_manager_does_not_hold_up_the_monitors():
    asked = lab.cluster.nodes[1]
    await_osds(asked)
    before = pvc_osds(asked)[1]
    lab.ceph.freeze("mgr.x")
    try:
        lab.ceph.tell("osd primary-affinity 1 0.75")
        wait_for("what the monitors say shows",
                 lambda: pvc_osds(asked)[1]["affinity"] == 0.75, 20)
        wait_for("it is seen to be stuck", lambda: pvc_json(asked, "status")["collectors"][
            "manager"]["state"] != "ok")
        after = pvc_osds(asked)[1]
        assert after.keys() == OSD_FIELDS and after["used_kib"] == before["used_kib"], after
        assert pvc_json(asked, "status")["collectors"]["pool"]["state"] == "ok"
    finally:
        lab.ceph.thaw("mgr.x")
    lab.ceph.tell("osd primary-affinity 1 1")
    lab.cluster.await_well()
    await_osds(asked)
