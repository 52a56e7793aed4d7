/* Any bytes: a token that is written as it was read, or a refusal with a reason. */
#include <stdlib.h>
#include <string.h>

#include "raft/guest.h"
#include "raft/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void token_check(const uint8_t *data, size_t size)
{
	struct token token, again;
	struct err err = {""};
	struct buffer text = {0};
	if (token_decode((const char *)data, size, &token, &err) < 0) {
		if (!err.text[0])
			abort();
		return;
	}
	if (token_encode(&token, &text, &err) < 0 ||
	    token_decode((const char *)text.data, text.size, &again, &err) < 0 ||
	    memcmp(&token, &again, sizeof(token)) != 0)
		abort();
	buffer_close(&text);
}

/* The checksum keeps a fuzzer out: let it choose what is behind it. */
static void token_check_inside(const uint8_t *data, size_t size)
{
	static const char alphabet[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
	struct buffer bytes = {0}, text = {0};
	uint8_t digest[32];
	if (size > 1024)
		return;
	buffer_append(&bytes, data, size);
	identity_sha256(data, size, digest);
	buffer_append(&bytes, digest, 4);
	buffer_append(&text, "pvc1.", 5);
	for (size_t bit = 0; bit < bytes.size * 8; bit += 6) {
		unsigned pair = bytes.data[bit / 8] << 8;
		if (bit / 8 + 1 < bytes.size)
			pair |= bytes.data[bit / 8 + 1];
		buffer_append_u8(&text, (uint8_t)alphabet[pair >> (10 - bit % 8) & 63]);
	}
	token_check(text.data, text.size);
	buffer_close(&bytes);
	buffer_close(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	token_check(data, size);
	token_check_inside(data, size);
	return 0;
}
