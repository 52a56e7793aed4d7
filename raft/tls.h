/* TLS 1.3 as a machine from bytes to bytes: no socket, no loop, no clock. The
 * only place that knows OpenSSL's SSL.
 *
 * Members show each other certificates of the cluster's CA. Somebody who joins
 * has none yet: it names the purpose TLS_JOIN (by ALPN) and pins the CA's
 * fingerprint instead. What a connection may do is decided by who holds it,
 * after the handshake and before the first byte is read. */
#ifndef RAFT_TLS_H
#define RAFT_TLS_H

#include <stddef.h>
#include <stdint.h>

#include "fsm/buffer.h"
#include "fsm/err.h"
#include "raft/identity.h"

enum tls_side { TLS_DIAL, TLS_ACCEPT };
enum tls_purpose { TLS_MEMBER, TLS_JOIN }; /* chosen by the side that dials */

struct tls_context; /* keys and rules; shared by any number of connections */
struct tls; /* one connection */

/* For members, which dial and accept. files may be closed afterwards. NULL with err. */
struct tls_context *tls_context_new(const struct identity_files *files, struct err *err);
/* For somebody who joins: shows no certificate, and trusts the CA whose certificate has
 * this fingerprint, which the other side must send along. */
struct tls_context *tls_context_new_pinned(
    const char fingerprint[IDENTITY_HEX_SIZE], struct err *err);
/* Connections of it go on. */
void tls_context_free(struct tls_context *context);

/* It keeps the context alive. purpose only counts for TLS_DIAL. */
struct tls *tls_new(struct tls_context *context, enum tls_side side, enum tls_purpose purpose);
void tls_free(struct tls *tls);

/* Bytes from the network. They must stay until tls_handshake() or tls_read() has
 * returned 0, which means that all of them were used. */
void tls_feed(struct tls *tls, const uint8_t *bytes, size_t size);
/* Bytes for the network, whatever else was called. The caller takes them out. */
struct buffer *tls_wire(struct tls *tls);

/* Go on with the handshake: 1 it is done, 0 it needs more bytes, -EPROTO with err (there may
 * be an alert to send), -EKEYEXPIRED: its certificate is not valid any more, or for somebody
 * who joins not yet. A member does not mind the latter: clocks need not agree. */
int tls_handshake(struct tls *tls, struct err *err);
enum tls_purpose tls_purpose(const struct tls *tls); /* after the handshake */
/* Whom the other side's verified certificate names. -ENOENT: it showed none; -EBADMSG. */
int tls_peer(const struct tls *tls, struct identity *identity, struct err *err);
/* Of which key that certificate is, as identity_incarnation() has it. */
int tls_peer_key(
    const struct tls *tls, char incarnation[IDENTITY_INCARNATION_SIZE], struct err *err);

/* The CA of that certificate, as identity_fingerprint() has it. -ENOENT: it showed none. */
int tls_authority(const struct tls *tls, char fingerprint[IDENTITY_HEX_SIZE]);

/* Up to size bytes into out: how many, 0 when more must be fed, -ESHUTDOWN when the other
 * side said that it is done, -EPROTO with err. */
int tls_read(struct tls *tls, void *out, size_t size, struct err *err);
/* Encrypt size > 0 bytes onto the wire. 0 or -EPROTO. */
int tls_write(struct tls *tls, const void *bytes, size_t size);
/* Say that we are done, on purpose: whoever only dies does not say it. */
void tls_finish(struct tls *tls);

#endif
