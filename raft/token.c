#include "raft/token.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PREFIX	      "pvc1."
#define PREFIX_SIZE   5
#define CHECKSUM_SIZE 4

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Lower-case hex, with dashes anywhere, of exactly n bytes. */
static int hex_append(const char *hex, size_t n, struct buffer *out)
{
	size_t digits = 0;
	int high = 0;
	for (; *hex; hex++) {
		if (*hex == '-')
			continue;
		int digit = hex_digit(*hex);
		if (digit < 0 || digits == 2 * n)
			return -EINVAL;
		if (digits++ % 2)
			buffer_append_u8(out, (uint8_t)(high * 16 + digit));
		else
			high = digit;
	}
	return digits == 2 * n ? 0 : -EINVAL;
}

static void base64_append(const struct buffer *in, struct buffer *out)
{
	uint32_t bits = 0;
	int n = 0;
	for (size_t i = 0; i < in->size; i++) {
		bits = bits << 8 | in->data[i];
		for (n += 8; n >= 6; n -= 6)
			buffer_append_u8(out, (uint8_t)alphabet[bits >> (n - 6) & 63]);
	}
	if (n > 0)
		buffer_append_u8(out, (uint8_t)alphabet[bits << (6 - n) & 63]);
}

/* Returns 0, or -EINVAL at a character that is none of the alphabet, or when bits
 * are left that an encoder would not have written. */
static int base64_read(const char *text, size_t size, struct buffer *out)
{
	uint32_t bits = 0;
	int n = 0;
	for (size_t i = 0; i < size; i++) {
		const char *at = text[i] ? strchr(alphabet, text[i]) : NULL;
		if (!at)
			return -EINVAL;
		bits = bits << 6 | (uint32_t)(at - alphabet);
		n += 6;
		if (n >= 8) {
			n -= 8;
			buffer_append_u8(out, (uint8_t)(bits >> n));
		}
	}
	return n < 6 && (bits & ((1u << n) - 1)) == 0 ? 0 : -EINVAL;
}

static int addresses_append(const struct token *token, struct buffer *out, struct err *err)
{
	struct endpoint endpoint;
	if (token->n_addresses < 1 || token->n_addresses > TOKEN_ADDRESSES_MAX)
		return err_set(err, -EINVAL, "a token has 1 to %d addresses", TOKEN_ADDRESSES_MAX);
	buffer_append_u8(out, (uint8_t)token->n_addresses);
	for (unsigned i = 0; i < token->n_addresses; i++) {
		int rv = endpoint_parse(token->addresses[i], &endpoint, err);
		if (rv < 0)
			return rv;
		size_t size = strlen(token->addresses[i]);
		buffer_append_u8(out, (uint8_t)size);
		buffer_append(out, token->addresses[i], size);
	}
	return 0;
}

static void checksum_append(struct buffer *out)
{
	uint8_t digest[32];
	identity_sha256(out->data, out->size, digest);
	buffer_append(out, digest, CHECKSUM_SIZE);
}

int token_encode(const struct token *token, struct buffer *out, struct err *err)
{
	struct buffer bytes = {0};
	int rv = 0;
	if (hex_append(token->cluster, 16, &bytes) < 0 ||
	    hex_append(token->fingerprint, 32, &bytes) < 0)
		rv = err_set(err, -EINVAL, "a token needs a cluster's uuid and a fingerprint");
	if (rv == 0) {
		buffer_append_u64(&bytes, token->id);
		buffer_append(&bytes, token->secret, sizeof(token->secret));
		rv = addresses_append(token, &bytes, err);
	}
	if (rv == 0) {
		checksum_append(&bytes);
		buffer_append(out, PREFIX, PREFIX_SIZE);
		base64_append(&bytes, out);
	}
	identity_wipe(&bytes);
	return rv;
}

static void hex_read(struct reader *r, size_t n, char *hex)
{
	const uint8_t *bytes = reader_bytes(r, n);
	for (size_t i = 0; bytes && i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
}

static void uuid_read(struct reader *r, char uuid[IDENTITY_UUID_SIZE])
{
	char hex[33] = "";
	hex_read(r, 16, hex);
	snprintf(uuid, IDENTITY_UUID_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
	    hex + 16, hex + 20);
}

static void address_read(struct reader *r, char address[ENDPOINT_SIZE])
{
	struct endpoint endpoint;
	size_t size = reader_u8(r);
	const uint8_t *text = reader_bytes(r, size);
	if (!text || size >= ENDPOINT_SIZE) {
		r->failed = true;
		return;
	}
	memcpy(address, text, size);
	if (strlen(address) != size || endpoint_parse(address, &endpoint, NULL) < 0)
		r->failed = true;
}

static int fields_read(struct reader *r, struct token *token)
{
	uuid_read(r, token->cluster);
	hex_read(r, 32, token->fingerprint);
	token->id = reader_u64(r);
	const uint8_t *secret = reader_bytes(r, sizeof(token->secret));
	if (secret)
		memcpy(token->secret, secret, sizeof(token->secret));
	token->n_addresses = reader_u8(r);
	if (token->n_addresses < 1 || token->n_addresses > TOKEN_ADDRESSES_MAX)
		return -EBADMSG;
	for (unsigned i = 0; i < token->n_addresses && !r->failed; i++)
		address_read(r, token->addresses[i]);
	return r->failed || reader_left(r) > 0 ? -EBADMSG : 0;
}

static bool checksum_right(const struct buffer *bytes)
{
	uint8_t digest[32];
	if (bytes->size < CHECKSUM_SIZE)
		return false;
	size_t size = bytes->size - CHECKSUM_SIZE;
	identity_sha256(bytes->data, size, digest);
	return memcmp(bytes->data + size, digest, CHECKSUM_SIZE) == 0;
}

static int prefix_check(const char *text, size_t size, struct err *err)
{
	if (size >= PREFIX_SIZE && memcmp(text, PREFIX, PREFIX_SIZE) == 0)
		return 0;
	if (size >= PREFIX_SIZE && memcmp(text, "pvc", 3) == 0 && text[4] == '.' &&
	    isdigit((unsigned char)text[3]))
		return err_set(err, -EPROTONOSUPPORT,
		    "the join token is of version %c; this pvc knows version 1", text[3]);
	return err_set(err, -EINVAL, "not a join token: one begins with '" PREFIX "'");
}

static int body_read(const char *text, size_t size, struct token *token, struct err *err)
{
	struct buffer bytes = {0};
	int rv = 0;
	if (base64_read(text, size, &bytes) < 0 || !checksum_right(&bytes)) {
		rv = err_set(err, -EBADMSG,
		    "the join token is damaged: was all of it copied, without a break?");
	} else {
		struct reader r = reader_of(bytes.data, bytes.size - CHECKSUM_SIZE);
		if (fields_read(&r, token) < 0)
			rv = err_set(err, -EBADMSG, "the join token has contents that cannot be");
	}
	identity_wipe(&bytes);
	return rv;
}

int token_decode(const char *text, size_t size, struct token *token, struct err *err)
{
	*token = (struct token){0};
	for (; size > 0 && isspace((unsigned char)text[0]); size--)
		text++;
	while (size > 0 && isspace((unsigned char)text[size - 1]))
		size--;
	int rv = prefix_check(text, size, err);
	if (rv == 0 && size > TOKEN_TEXT_MAX)
		rv = err_set(err, -EINVAL, "not a join token: it is %zu characters long", size);
	if (rv == 0)
		rv = body_read(text + PREFIX_SIZE, size - PREFIX_SIZE, token, err);
	if (rv < 0)
		*token = (struct token){0};
	return rv;
}
