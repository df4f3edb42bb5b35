/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What the checks share: one check is a function that returns 0, or -1 after it has printed why. */
#ifndef GUEST_CHECK_H
#define GUEST_CHECK_H

#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PAGE 4096u

#define CHECK(condition, ...)                                                                                                              \
	do {                                                                                                                               \
		if (!(condition)) {                                                                                                        \
			printf("  %s:%d: %s: ", __FILE__, __LINE__, #condition);                                                           \
			printf(__VA_ARGS__);                                                                                               \
			printf("\n");                                                                                                      \
			return -1;                                                                                                         \
		}                                                                                                                          \
	} while (0)

struct check {
	const char *name;
	int (*run)(void);
};

/* One table per file; the entry without a name is the last. */
extern const struct check data_checks[], memory_checks[], process_checks[], ring_checks[], stream_checks[], pasid_checks[];

/* The device under test, as in /dev and /sys/class/uacce. */
extern const char *device;
/* Generator of the check at hand; each thread has its own, each check begins with its own seed. */
extern _Thread_local uint32_t seed;

uint32_t random32(void);
/* Pages that nobody has touched yet, so that the device is the first. NULL without memory. */
uint8_t *untouched(size_t bytes);
/* Text-like bytes: words of a small vocabulary, so that matches and literals both occur. */
void fill_text(uint8_t *out, size_t bytes);
/* 2 or 3 from the api attribute; 0 if there is none. */
unsigned int version(void);
/* Free queue pairs from the attribute, or a negative errno. */
int available_instances(void);
/* Compresses text through one queue and decompresses it through another; with `sleep` the process waits in poll(2). */
int round_trip(enum format format, size_t bytes, int sleep);
/* Compresses `bytes` at `source` with zlib and back again into `back`; both queues are the caller's. */
int there_and_back(struct queue *c, struct queue *d, const uint8_t *source, uint32_t bytes, uint8_t *packed, uint32_t room, uint8_t *back);

#endif
