/* Scenarios: a failure written down, one line a step, as `pvc simulate FILE`
 * plays it and as the stories in tests/sim/ are.
 *
 *   nodes 5 coordinators 3             first line; 3 and 3 when there is none
 *   nodes 3 coordinators 2 witness 3   the same, and node 3 votes and runs nothing
 *   vm 101 node=1 memory=512 state=start method=live priority=2 autostart
 *   copy 101 20s                       so long its memory takes to another node
 *   crash 101 2                        QEMU of it on node 2 is killed
 *   libvirt 2 off                      libvirt's daemon is killed; on: it is back
 *   await 101 copying 3                time passes until that is so on node 3: copying,
 *                                      whole (and paused), running
 *   at 10s power 3 off                 or on; without `at`, when the line before it is done
 *   at 10s network 3 off               cut from everybody; on: mended
 *   oneway 1 3 off                     3 no longer hears 1
 *   daemon 2 off                       kill -9; on: started again
 *   pause 2 5s                         the daemon is stopped (SIGSTOP)
 *   clock 2 +1h                        the wall clock jumps
 *   disk 1 full|fail|slow=200ms|ok
 *   spoil 2                            bad memory: its value is not the others' any more
 *   hang 2 hypervisor|pool|nic 10s     without a time: for good
 *   at 20s op node primary 2           any operation of the command line, asked on node 1
 *   at 20s op on 3 vm start 101        ... asked on node 3
 *   until 120s
 *   expect vm 101 running on 2         or: not on 2, running, off
 *   expect vm 101 booted 1             so often; a live migration is none
 *   expect primary 2                   or: primary, no-primary
 *   expect node 3 fenced               what the cluster says of its daemon
 *   expect node 3 flushed             or: ready
 *   expect node 5 current              it knows what the primary knows
 *   expect node 5 voter                or: standby; its part in the log
 *   expect node 2 diverged             it knows, all others have been told, it holds nothing
 *   expect fence                       or: no-fence; somebody was declared off
 *
 * Nodes are named by their numbers. Times count from when the cluster is up.
 * Expectations are looked at when they are reached: `at 30s expect ...`, or at the end. */
#ifndef TOOLS_SIM_SCENARIO_H
#define TOOLS_SIM_SCENARIO_H

#include <stdbool.h>
#include <stdint.h>

/* Play a file and print. Returns the exit status: 0 every expectation held, 1 one
 * did not (or an invariant broke), 2 the file is not a scenario. */
int scenario_play(const char *path, uint64_t seed, bool json);

#endif
