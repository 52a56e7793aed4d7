/* Passwords in XML (passwd='...' of a VM's screen), and what it hands to QEMU by the name of arg or
 * env, are shown by no reader of value and log. */
#ifndef NODE_OPERATION_MASK_H
#define NODE_OPERATION_MASK_H

#include "fsm/buffer.h"

/* Append bytes to out, with *** for what stands in quotes behind each name that ends in passwd or
 * password, and behind value in an element PREFIX:arg or PREFIX:env, in a comment as well; without
 * an end to the quotes, all that follows. */
void mask_passwords(const uint8_t *bytes, size_t size, struct buffer *out);

#endif
