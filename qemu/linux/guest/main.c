/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Checks, from Linux user space, that the modelled silicon serves Linux's own drivers: one line per check, one closing line, exit 0 if all passed. */
#define _GNU_SOURCE
#include "queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096u
static const char *device = "hisi_zip-0";
static unsigned int passed, failed;
static uint32_t seed = 1;

#define CHECK(condition, ...)                                                                                                              \
	do {                                                                                                                               \
		if (!(condition)) {                                                                                                        \
			printf("  %s:%d: %s: ", __FILE__, __LINE__, #condition);                                                           \
			printf(__VA_ARGS__);                                                                                               \
			printf("\n");                                                                                                      \
			return -1;                                                                                                         \
		}                                                                                                                          \
	} while (0)

static uint32_t random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

/* Pages that nobody has touched yet: the device is the first. */
static uint8_t *untouched(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* Text-like bytes: words of a small vocabulary, so that matches and literals both occur. */
static void fill_text(uint8_t *out, size_t bytes)
{
	static const char *const words[] = { "queue ", "doorbell ", "stream ", "table ", "fault ", "stall ", "engine ", "page\n", "zip ", "0x", "walk " };

	for (size_t at = 0; at < bytes;) {
		const char *word = words[random32() % (sizeof(words) / sizeof(*words))];

		while (*word && at < bytes)
			out[at++] = *word++;
		if (random32() % 4 == 0 && at < bytes)
			out[at++] = 'a' + random32() % 26;
	}
}


static int round_trip(enum format format, size_t bytes, int sleep)
{
	struct queue c, d;
	const size_t room = 2 * bytes + PAGE;
	uint8_t *plain = untouched(bytes), *packed = untouched(room), *back = untouched(bytes + PAGE);
	struct request r;
	int error;

	CHECK(plain && packed && back, "out of memory");
	fill_text(plain, bytes);
	CHECK(!(error = queue_open(&c, device, COMPRESS)), "error %d", error);
	CHECK(!(error = queue_open(&d, device, DECOMPRESS)), "error %d", error);
	r = (struct request){ .format = format, .source = plain, .source_bytes = bytes, .destination = packed, .destination_bytes = room };
	CHECK(!(error = queue_run(&c, &r, sleep)), "error %d", error);
	CHECK((r.status == STATUS_OK || r.status == STATUS_NEGATIVE_COMPRESSION) && r.consumed == bytes && r.produced > 0, "status %#x consumed %u produced %u", r.status, r.consumed, r.produced);
	CHECK(bytes < PAGE || r.produced < bytes, "%u bytes out of %zu", r.produced, bytes);
	r = (struct request){ .format = format, .source = packed, .source_bytes = r.produced, .destination = back, .destination_bytes = bytes };
	CHECK(!(error = queue_run(&d, &r, sleep)), "error %d", error);
	CHECK(r.status == STATUS_OK && r.produced == bytes, "status %#x produced %u", r.status, r.produced);
	CHECK(r.consumed == r.source_bytes, "consumed %u of %u", r.consumed, r.source_bytes);
	CHECK(!memcmp(plain, back, bytes), "data differ");
	queue_close(&c);
	queue_close(&d);
	munmap(plain, bytes);
	munmap(packed, room);
	munmap(back, bytes + PAGE);
	return 0;
}

static unsigned int version(void)
{
	char api[64] = "";

	return attribute(device, "api", api, sizeof(api)) || strlen(api) < 10 ? 0 : atoi(api + 9);
}

static int check_attributes(void)
{
	static const char *const names[] = { "api", "flags", "algorithms", "region_mmio_size", "region_dus_size", "available_instances" };
	char text[256];
	int error;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		CHECK(!(error = attribute(device, names[i], text, sizeof(text))), "%s: error %d", names[i], error);
		for (char *p = text; *p; p++)
			if (*p == '\n')
				*p = ' ';
		printf("  %s: %s\n", names[i], text);
		if (!strcmp(names[i], "flags"))
			CHECK(!strcmp(text, "1"), "no SVA");
	}
	return 0;
}

static int check_zlib(void) { return round_trip(ZLIB, 300000, 0); }
static int check_gzip(void) { return round_trip(GZIP, 300000, 0); }
static int check_deflate(void) { return version() < 3 ? 0 : round_trip(RAW_DEFLATE, 300000, 0); }
static int check_small(void) { return round_trip(ZLIB, 1, 0) || round_trip(GZIP, 17, 0) || round_trip(ZLIB, PAGE, 0); }
static int check_poll(void) { return round_trip(ZLIB, 70000, 1); }

/* An address that the process does not have: the request ends in an error, and the queue serves the next one. */
static int check_unmapped_source(void)
{
	struct queue q;
	uint8_t *good = untouched(PAGE), *out = untouched(2 * PAGE), *hole = untouched(PAGE);
	struct request r;
	int error;

	CHECK(good && out && hole, "out of memory");
	fill_text(good, PAGE);
	CHECK(!(error = queue_open(&q, device, COMPRESS)), "error %d", error);
	/* only now: opening a queue maps memory, perhaps just there */
	CHECK(!munmap(hole, PAGE), "errno %d", errno);
	r = (struct request){ .format = ZLIB, .source = hole, .source_bytes = PAGE, .destination = out, .destination_bytes = 2 * PAGE };
	CHECK(!(error = queue_run(&q, &r, 0)), "error %d", error);
	CHECK(r.status != STATUS_OK, "accepted a hole");
	r = (struct request){ .format = ZLIB, .source = good, .source_bytes = PAGE, .destination = out, .destination_bytes = 2 * PAGE };
	CHECK(!(error = queue_run(&q, &r, 0)), "error %d", error);
	CHECK(r.status == STATUS_OK && r.consumed == PAGE, "status %#x after a fault", r.status);
	queue_close(&q);
	return 0;
}

/* A destination that the process may only read. */
static int check_read_only_destination(void)
{
	struct queue q;
	uint8_t *good = untouched(PAGE), *out = untouched(2 * PAGE);
	struct request r;
	int error;

	CHECK(good && out, "out of memory");
	fill_text(good, PAGE);
	memset(out, 0x5a, 2 * PAGE);
	CHECK(!mprotect(out, 2 * PAGE, PROT_READ), "errno %d", errno);
	CHECK(!(error = queue_open(&q, device, COMPRESS)), "error %d", error);
	r = (struct request){ .format = ZLIB, .source = good, .source_bytes = PAGE, .destination = out, .destination_bytes = 2 * PAGE };
	CHECK(!(error = queue_run(&q, &r, 0)), "error %d", error);
	CHECK(r.status != STATUS_OK, "wrote to a read-only page");
	for (unsigned int i = 0; i < 2 * PAGE; i++)
		CHECK(out[i] == 0x5a, "byte %u changed", i);
	queue_close(&q);
	return 0;
}

static int check_bad_crc(void)
{
	struct queue c, d;
	uint8_t *plain = untouched(PAGE), *packed = untouched(2 * PAGE), *back = untouched(2 * PAGE);
	struct request r;
	uint32_t length;
	int error;

	CHECK(plain && packed && back, "out of memory");
	fill_text(plain, PAGE);
	CHECK(!(error = queue_open(&c, device, COMPRESS)), "error %d", error);
	CHECK(!(error = queue_open(&d, device, DECOMPRESS)), "error %d", error);
	r = (struct request){ .format = GZIP, .source = plain, .source_bytes = PAGE, .destination = packed, .destination_bytes = 2 * PAGE };
	CHECK(!(error = queue_run(&c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	length = r.produced;
	packed[length - 8] ^= 1; /* the trailer is CRC-32 then ISIZE */
	r = (struct request){ .format = GZIP, .source = packed, .source_bytes = length, .destination = back, .destination_bytes = 2 * PAGE };
	CHECK(!(error = queue_run(&d, &r, 0)), "error %d", error);
	CHECK(r.status == STATUS_CHECKSUM_MISMATCH, "status %#x", r.status);
	packed[length - 8] ^= 1;
	r = (struct request){ .format = GZIP, .source = packed, .source_bytes = length, .destination = back, .destination_bytes = 2 * PAGE };
	CHECK(!(error = queue_run(&d, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	queue_close(&c);
	queue_close(&d);
	return 0;
}

static int check_destination_too_small(void)
{
	struct queue c, d;
	uint8_t *plain = untouched(8 * PAGE), *packed = untouched(16 * PAGE), *back = untouched(PAGE);
	struct request r;
	int error;

	CHECK(plain && packed && back, "out of memory");
	fill_text(plain, 8 * PAGE);
	CHECK(!(error = queue_open(&c, device, COMPRESS)), "error %d", error);
	CHECK(!(error = queue_open(&d, device, DECOMPRESS)), "error %d", error);
	r = (struct request){ .format = ZLIB, .source = plain, .source_bytes = 8 * PAGE, .destination = packed, .destination_bytes = 16 * PAGE };
	CHECK(!(error = queue_run(&c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	memset(back, 0xa5, PAGE);
	r = (struct request){ .format = ZLIB, .source = packed, .source_bytes = r.produced, .destination = back, .destination_bytes = PAGE / 2 };
	CHECK(!(error = queue_run(&d, &r, 0)), "error %d", error);
	CHECK(r.status == STATUS_DESTINATION_TOO_SMALL, "status %#x", r.status);
	for (unsigned int i = PAGE / 2; i < PAGE; i++)
		CHECK(back[i] == 0xa5, "wrote past the end at %u", i);
	queue_close(&c);
	queue_close(&d);
	return 0;
}

/* More requests than the rings have slots: every index and both phases come round. */
static int check_wrap(void)
{
	struct queue q;
	uint8_t *plain = untouched(PAGE), *out = untouched(2 * PAGE);
	struct request r;
	int error;

	CHECK(plain && out, "out of memory");
	fill_text(plain, PAGE);
	CHECK(!(error = queue_open(&q, device, COMPRESS)), "error %d", error);
	for (unsigned int i = 0; i < 2 * q.sq_depth + 100; i++) {
		uint32_t bytes = 64 + i % 128;

		r = (struct request){ .format = ZLIB, .source = plain, .source_bytes = bytes, .destination = out, .destination_bytes = 2 * PAGE };
		error = queue_run(&q, &r, 0);
		CHECK(!error && r.status <= STATUS_NEGATIVE_COMPRESSION && r.consumed == bytes, "job %u: error %d status %#x consumed %u", i, error, r.status, r.consumed);
	}
	queue_close(&q);
	return 0;
}

/* Two processes, the same addresses, different data: each must see its own. */
static int check_equal_addresses(void)
{
	uint8_t *const at = (uint8_t *)0x200000000ull;
	const size_t bytes = 16 * PAGE;
	pid_t child[2];
	int ok = 1;

	fflush(stdout);
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		CHECK(child[i] >= 0, "fork: errno %d", errno);
		if (child[i])
			continue;
		seed = 0x1000 + i;
		for (int round = 0; round < 20; round++) {
			struct queue c, d;
			struct request r;
			uint8_t *p = mmap(at, 6 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

			if (p != at || queue_open(&c, device, COMPRESS) || queue_open(&d, device, DECOMPRESS))
				_exit(10);
			fill_text(p, bytes);
			r = (struct request){ .format = ZLIB, .source = p, .source_bytes = bytes, .destination = p + 2 * bytes, .destination_bytes = 2 * bytes };
			if (queue_run(&c, &r, 0) || r.status)
				_exit(11);
			r = (struct request){ .format = ZLIB, .source = p + 2 * bytes, .source_bytes = r.produced, .destination = p + 4 * bytes, .destination_bytes = bytes };
			if (queue_run(&d, &r, 0) || r.status || memcmp(p, p + 4 * bytes, bytes))
				_exit(12);
			queue_close(&c);
			queue_close(&d);
		}
		_exit(0);
	}
	for (int i = 0; i < 2; i++) {
		int status = -1;

		waitpid(child[i], &status, 0);
		if (status) {
			printf("  process %d: wait status %#x\n", i, status);
			ok = 0;
		}
	}
	return ok ? 0 : -1;
}

/* The same address, another page behind it: a stale translation would read the old bytes. */
static int check_remapped_source(void)
{
	struct queue c, d;
	uint8_t *out = untouched(4 * PAGE), *back = untouched(2 * PAGE), *at = untouched(PAGE);
	struct request r;
	int error;

	CHECK(out && back && at, "out of memory");
	CHECK(!(error = queue_open(&c, device, COMPRESS)), "error %d", error);
	CHECK(!(error = queue_open(&d, device, DECOMPRESS)), "error %d", error);
	for (int i = 0; i < 20; i++) {
		uint8_t *again = mmap(at, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		CHECK(again == at, "mmap moved");
		memset(at, 'A' + i, PAGE);
		r = (struct request){ .format = ZLIB, .source = at, .source_bytes = PAGE, .destination = out, .destination_bytes = 4 * PAGE };
		CHECK(!(error = queue_run(&c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
		r = (struct request){ .format = ZLIB, .source = out, .source_bytes = r.produced, .destination = back, .destination_bytes = 2 * PAGE };
		CHECK(!(error = queue_run(&d, &r, 0)) && r.status == STATUS_OK && r.produced == PAGE, "error %d status %#x", error, r.status);
		CHECK(!memcmp(at, back, PAGE), "round %d: old page read", i);
	}
	queue_close(&c);
	queue_close(&d);
	return 0;
}

/* Writes the engine's gzip stream, header added, to a file for an outside program to judge. */
static int write_gzip(const char *plain_path, const char *gzip_path)
{
	static const uint8_t header[10] = { 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3 };
	struct queue q;
	const size_t bytes = 200000;
	uint8_t *plain = untouched(bytes), *packed = untouched(2 * bytes);
	struct request r;
	FILE *f;
	int error;

	CHECK(plain && packed, "out of memory");
	fill_text(plain, bytes);
	CHECK(!(error = queue_open(&q, device, COMPRESS)), "error %d", error);
	r = (struct request){ .format = GZIP, .source = plain, .source_bytes = bytes, .destination = packed, .destination_bytes = 2 * bytes };
	CHECK(!(error = queue_run(&q, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	queue_close(&q);
	CHECK((f = fopen(plain_path, "wb")) && fwrite(plain, 1, bytes, f) == bytes && !fclose(f), "errno %d", errno);
	CHECK((f = fopen(gzip_path, "wb")) && fwrite(header, 1, 10, f) == 10 && fwrite(packed, 1, r.produced, f) == r.produced && !fclose(f), "errno %d", errno);
	return 0;
}

static int check_outside_gunzip(void)
{
	CHECK(!write_gzip("/tmp/plain", "/tmp/packed.gz"), "no stream");
	CHECK(!system("gunzip -c /tmp/packed.gz | cmp - /tmp/plain"), "gunzip disagrees");
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} checks[] = {
	{ "attributes", check_attributes },
	{ "zlib_round_trip_into_untouched_memory", check_zlib },
	{ "gzip_round_trip_into_untouched_memory", check_gzip },
	{ "deflate_round_trip_into_untouched_memory", check_deflate },
	{ "small_requests", check_small },
	{ "completion_awaited_by_poll", check_poll },
	{ "unmapped_source_is_an_error_and_the_queue_lives_on", check_unmapped_source },
	{ "read_only_destination_is_an_error", check_read_only_destination },
	{ "bad_crc_is_detected", check_bad_crc },
	{ "destination_too_small", check_destination_too_small },
	{ "rings_wrap", check_wrap },
	{ "two_processes_with_equal_addresses", check_equal_addresses },
	{ "remapped_source_is_read_afresh", check_remapped_source },
	{ "gzip_stream_accepted_by_gunzip", check_outside_gunzip },
};

int main(int argc, char **argv)
{
	if (argc > 1)
		device = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
		int bad;

		if (argc > 2 && !strstr(checks[i].name, argv[2]))
			continue;
		seed = 0x9e3779b9u + i;
		bad = checks[i].run();
		printf("%s %s\n", bad ? "FAIL" : "PASS", checks[i].name);
		bad ? failed++ : passed++;
	}
	printf("guest: %u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
