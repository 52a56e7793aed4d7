/* main() of a fuzz target without libFuzzer: each file named is one input and one test case. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fsm/buffer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Exactly as many bytes as the file has, so that the sanitizer sees a read of one more. */
static uint8_t *file_read(const char *path, size_t *size)
{
	FILE *file = fopen(path, "rb");
	if (!file || fseek(file, 0, SEEK_END) != 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(2);
	}
	*size = (size_t)ftell(file);
	rewind(file);
	uint8_t *data = must_alloc(*size ? *size : 1);
	if (fread(data, 1, *size, file) != *size) {
		fprintf(stderr, "%s: cannot read it whole\n", path);
		exit(2);
	}
	fclose(file);
	return data;
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		size_t size;
		uint8_t *data = file_read(argv[i], &size);
		fprintf(stderr, "%s\n", argv[i]);
		LLVMFuzzerTestOneInput(data, size);
		free(data);
	}
	printf("%d passed, 0 failed, 0 skipped\n", argc - 1);
	return argc > 1 ? 0 : 1;
}
