/* Who may say what: looked at by the leader, for what another member asks it to put into the log.
 *
 * What is trusted: every member's certificate was given for a token that an administrator made, and
 * root on any member, a hypervisor or a witness too, is an administrator of the cluster: what
 * people ask for (define a VM, remove a node, vouch that a node is off) is taken from every member.
 * What is not: that its daemon is right about where it stands, or well. So what the leader alone
 * can know (that time has passed, who is primary) is taken from nobody else, which also keeps out
 * what somebody said as a leader and sent when it was none any more; and what a node says of
 * itself, from that node alone. */
#ifndef FSM_PROPOSER_H
#define FSM_PROPOSER_H

#include <stddef.h>
#include <stdint.h>

/* from: not the leader. 0; -ESTALE: only the leader says that; -EPERM: another node's to say;
 * -EBADMSG. A number that this version does not know is for the machine to refuse: 0. */
int proposer_check(uint32_t from, const uint8_t *operation, size_t size);

#endif
