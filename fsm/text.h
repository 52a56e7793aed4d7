/* Texts that other people's eyes and terminals will meet: names, above all.
 *
 * What is there must be what is seen: a text with a control character, one that turns the
 * direction of writing, or bytes that are no UTF-8 can show another text than it is. */
#ifndef FSM_TEXT_H
#define FSM_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of the character that text begins with; 0: it is not one to be shown, or its end. */
size_t text_character(const char *text);

/* Every character may be shown. */
bool text_is_plain(const char *text);

/* Of a VM: plain, no '/', not empty, and not a name of this or the upper directory. */
bool text_is_vm_name(const char *text);
/* Of a node or cluster: letters, digits, '-', '_' and '.', the first a letter or digit. */
bool text_is_node_name(const char *text);
/* As libvirt prints one: 8-4-4-4-12 digits, in small letters. */
bool text_is_uuid(const char *text);

/* Put instead in the place of whatever may not be shown. The text does not get longer. */
void text_clean(char *text, char instead);

#endif
