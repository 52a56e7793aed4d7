/* Versions of the value's records and of what commands mean. */
#ifndef FSM_SCHEMA_H
#define FSM_SCHEMA_H

#define SCHEMA_MIN 1
#define SCHEMA_MAX 1

#endif
