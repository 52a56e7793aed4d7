#include "storage/volume.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* IPv4 is kept as IPv6 has it. */
struct ip {
	uint8_t bytes[16];
};

struct span { /* of a text */
	const char *at;
	size_t size;
};

static bool part_is_good(struct span part)
{
	if (part.size == 0)
		return false;
	for (size_t i = 0; i < part.size; i++)
		if (iscntrl((unsigned char)part.at[i]) || part.at[i] == '@')
			return false;
	return true;
}

static void part_copy(char *text, struct span part)
{
	memcpy(text, part.at, part.size);
	text[part.size] = '\0';
}

int volume_parse(struct volume *volume, const char *name)
{
	struct span parts[3];
	unsigned n = 0;
	if (strlen(name) >= VOLUME_NAME_MAX)
		return -EINVAL;
	for (const char *at = name;; n++) {
		if (n == 3)
			return -EINVAL;
		parts[n] = (struct span){at, strcspn(at, "/")};
		if (!part_is_good(parts[n]))
			return -EINVAL;
		at += parts[n].size;
		if (!*at++)
			break;
	}
	if (n == 0)
		return -EINVAL;
	part_copy(volume->pool, parts[0]);
	part_copy(volume->space, n == 2 ? parts[1] : (struct span){"", 0});
	part_copy(volume->image, parts[n]);
	return 0;
}

int volumes_add(struct volumes *volumes, const char *name, struct err *err)
{
	struct volume volume;
	if (volume_parse(&volume, name))
		return err_set(err, -EINVAL, "'%.100s' is no volume: POOL/IMAGE is", name);
	for (unsigned i = 0; i < volumes->count; i++)
		if (!strcmp(volumes->names[i], name))
			return 0;
	if (volumes->count == VOLUMES_MAX)
		return err_set(err, -ENOSPC, "more than %u volumes", VOLUMES_MAX);
	snprintf(volumes->names[volumes->count++], VOLUME_NAME_MAX, "%s", name);
	return 0;
}

/* 0, or -EINVAL; an address that stands for none or any is none. */
static int ip_parse(struct span text, struct ip *ip)
{
	static const struct ip nowhere[] = {{{0}}, {{[10] = 0xff, 0xff}}};
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
	char address[64];
	if (text.size >= sizeof(address))
		return -EINVAL;
	part_copy(address, text);
	memcpy(ip->bytes, mapped, sizeof(mapped));
	if (inet_pton(AF_INET, address, ip->bytes + sizeof(mapped)) != 1 &&
	    inet_pton(AF_INET6, address, ip->bytes) != 1)
		return -EINVAL;
	for (unsigned i = 0; i < 2; i++)
		if (!memcmp(ip, &nowhere[i], sizeof(*ip)))
			return -EINVAL;
	return 0;
}

static struct span span_from(struct span whole, size_t start)
{
	return (struct span){whole.at + start, whole.size - start};
}

/* How much of text, from its beginning, has none of these letters. */
static size_t span_until(struct span text, const char *letters)
{
	size_t n = 0;
	while (n < text.size && !strchr(letters, text.at[n]))
		n++;
	return n;
}

static struct span without_kind(struct span text)
{
	static const char *const kinds[] = {"v1:", "v2:", "any:"};
	for (unsigned i = 0; i < 3; i++) {
		size_t size = strlen(kinds[i]);
		if (text.size > size && !memcmp(text.at, kinds[i], size))
			return span_from(text, size);
	}
	return text;
}

/* Is it nothing, ":PORT", "/NONCE" or both? */
static bool is_tail(struct span text)
{
	static const char letters[] = ":/";
	for (unsigned i = 0; i < 2; i++) {
		if (text.size == 0 || *text.at != letters[i])
			continue;
		size_t digits = 1;
		while (digits < text.size && isdigit((unsigned char)text.at[digits]))
			digits++;
		if (digits == 1)
			return false;
		text = span_from(text, digits);
	}
	return text.size == 0;
}

/* One address in any of its shapes. 0 or -EINVAL. */
static int element_parse(struct span text, struct ip *ip)
{
	text = without_kind(text);
	if (text.size && *text.at == '[') {
		struct span inner = span_from(text, 1);
		inner.size = span_until(inner, "]");
		if (inner.size + 2 > text.size || !is_tail(span_from(text, inner.size + 2)))
			return -EINVAL;
		return ip_parse(inner, ip);
	}
	struct span host = {text.at, span_until(text, "/")};
	struct span first = {host.at, span_until(host, ":")};
	struct span rest = span_from(host, first.size);
	/* More than one colon: IPv6 without brackets, which has no port then. */
	if (rest.size && span_until(span_from(rest, 1), ":") + 1 < rest.size)
		first = host;
	return is_tail(span_from(text, first.size)) ? ip_parse(first, ip) : -EINVAL;
}

struct elements {
	struct span items[VOLUME_CLIENTS_MAX];
	unsigned count;
};

/* "[v2:...,v1:...]" has several. None when there are too many. */
static struct elements elements_of(const char *address)
{
	struct span text = {address, strlen(address)};
	struct elements elements = {.count = 0};
	bool many = text.size > 3 && text.at[0] == '[' && text.at[1] == 'v' &&
		    text.at[text.size - 1] == ']';
	if (!many) {
		elements.items[elements.count++] = text;
		return elements;
	}
	for (text = (struct span){text.at + 1, text.size - 2};;) {
		struct span item = {text.at, span_until(text, ",")};
		if (elements.count == VOLUME_CLIENTS_MAX)
			return (struct elements){.count = 0};
		elements.items[elements.count++] = item;
		if (item.size == text.size)
			return elements;
		text = span_from(text, item.size + 1);
	}
}

static bool is_among(const struct ip *ip, const char *addresses)
{
	struct span text = {addresses, strlen(addresses)};
	while (text.size) {
		struct span item = {text.at, span_until(text, " ")};
		struct ip other;
		if (!element_parse(item, &other) && !memcmp(ip, &other, sizeof(other)))
			return true;
		text = span_from(text, item.size < text.size ? item.size + 1 : text.size);
	}
	return false;
}

enum lock_holder lock_judge(const char *address, const char *own, const char *proven)
{
	struct elements elements = elements_of(address);
	bool ours = elements.count > 0, off = elements.count > 0;
	for (unsigned i = 0; i < elements.count; i++) {
		struct ip ip;
		if (element_parse(elements.items[i], &ip))
			return LOCK_FOREIGN;
		ours = ours && is_among(&ip, own);
		off = off && is_among(&ip, proven);
	}
	return ours ? LOCK_OURS : off ? LOCK_PROVEN_OFF : LOCK_FOREIGN;
}

void lock_address_print(const char *address, char text[VOLUME_CLIENT_MAX])
{
	static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
	struct elements elements = elements_of(address);
	struct ip ip;
	snprintf(text, VOLUME_CLIENT_MAX, "%s", address);
	if (!elements.count || element_parse(elements.items[0], &ip))
		return;
	if (!memcmp(ip.bytes, mapped, sizeof(mapped)))
		inet_ntop(AF_INET, ip.bytes + sizeof(mapped), text, VOLUME_CLIENT_MAX);
	else
		inet_ntop(AF_INET6, ip.bytes, text, VOLUME_CLIENT_MAX);
}

static bool has_nonce(struct span text)
{
	text = span_from(text, span_until(text, "/"));
	for (size_t i = 1; i < text.size; i++)
		if (text.at[i] != '0')
			return true;
	return false;
}

unsigned lock_clients(const char *address, char clients[VOLUME_CLIENTS_MAX][VOLUME_CLIENT_MAX])
{
	struct elements elements = elements_of(address);
	for (unsigned i = 0; i < elements.count; i++) {
		struct span item = elements.items[i];
		struct ip ip;
		if (element_parse(item, &ip) || !has_nonce(item) || item.size >= VOLUME_CLIENT_MAX)
			return 0;
		part_copy(clients[i], item);
	}
	return elements.count;
}
