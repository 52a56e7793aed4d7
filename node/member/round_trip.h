/* How long a voter takes to answer, as its connection measures it. */
#ifndef NODE_MEMBER_ROUND_TRIP_H
#define NODE_MEMBER_ROUND_TRIP_H

#include <stdint.h>

struct peers;
struct replica;

/* To the slowest voter that is connected; 0: not known. The replica may be NULL. */
uint32_t round_trip_slowest_us(const struct peers *peers, const struct replica *replica);

#endif
