/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Checks, from Linux user space, that the modelled silicon serves Linux's own drivers: one line per check, one closing line, exit 0 if all passed.
 *
 *     uacce-zip [-s SEED] [-n] DEVICE [ONLY]   the checks whose names contain ONLY; -n: PASIDs are 5 bits wide
 *     uacce-zip DEVICE jobs N               N round trips
 *     uacce-zip - poke FILE OFFSET VALUE    stores a word through a mapped file: a BAR in sysfs
 *     uacce-zip DEVICE hold                 jobs on open queues until one fails; then says so
 */
#define _GNU_SOURCE
#include "check.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

const char *device = "hisi_zip-0";
_Thread_local uint32_t seed = 1;
static unsigned int passed, failed;

uint32_t random32(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed;
}

uint8_t *untouched(size_t bytes)
{
	uint8_t *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

void fill_text(uint8_t *out, size_t bytes)
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

unsigned int version(void)
{
	char api[64] = "";

	return attribute(device, "api", api, sizeof(api)) || strlen(api) < 10 ? 0 : atoi(api + 9);
}

int available_instances(void)
{
	char text[32];
	int error = attribute(device, "available_instances", text, sizeof(text));

	return error ? error : atoi(text);
}

int there_and_back(struct queue *c, struct queue *d, const uint8_t *source, uint32_t bytes, uint8_t *packed, uint32_t room, uint8_t *back)
{
	struct request r = { .format = ZLIB, .source = source, .source_bytes = bytes, .destination = packed, .destination_bytes = room };
	int error;

	CHECK(!(error = queue_run(c, &r, 0)) && r.status == STATUS_OK && r.consumed == bytes, "error %d status %#x consumed %u", error, r.status, r.consumed);
	r = (struct request){ .format = ZLIB, .source = packed, .source_bytes = r.produced, .destination = back, .destination_bytes = bytes };
	CHECK(!(error = queue_run(d, &r, 0)) && r.status == STATUS_OK && r.produced == bytes, "error %d status %#x produced %u", error, r.status, r.produced);
	CHECK(!memcmp(source, back, bytes), "data differ");
	return 0;
}

static void run_table(const struct check *table, const char *only, uint32_t first_seed)
{
	for (size_t i = 0; table[i].name; i++) {
		int bad;

		if (only && !strstr(table[i].name, only))
			continue;
		seed = first_seed + 0x9e3779b9u * (uint32_t)(i + 1);
		bad = table[i].run();
		printf("%s %s\n", bad ? "FAIL" : "PASS", table[i].name);
		bad ? failed++ : passed++;
	}
}

static void lost_mapping(int number)
{
	static const char words[] = "guest: held queues lost their doorbell\n";

	(void)number;
	_exit(write(1, words, sizeof(words) - 1) < 0);
}

/* Jobs until one fails, on queues that stay open: for what is done to the device meanwhile. */
static int hold(void)
{
	uint8_t *plain = untouched(4 * PAGE), *packed = untouched(8 * PAGE), *back = untouched(4 * PAGE);
	struct queue c, d;

	if (!plain || !packed || !back || queue_open(&c, device, COMPRESS) || queue_open(&d, device, DECOMPRESS)) {
		printf("guest: no queue to hold\n");
		return 1;
	}
	/* what the kernel does to the mapped doorbell of a device that goes away */
	signal(SIGBUS, lost_mapping);
	printf("guest: holding queues %u and %u\n", c.id, d.id);
	for (unsigned int n = 0;; n++) {
		fill_text(plain, 4 * PAGE);
		if (there_and_back(&c, &d, plain, 4 * PAGE, packed, 8 * PAGE, back)) {
			printf("guest: held queues ended after %u round trips\n", n);
			return 0;
		}
		usleep(1000);
	}
}

/* Stores 32 bits at `offset` of a file that is mapped for it. */
static int poke(const char *path, unsigned long offset, uint32_t value)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_SYNC);
	uint8_t *page = fd < 0 ? MAP_FAILED : mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset & ~(PAGE - 1ul));

	if (page == MAP_FAILED) {
		perror(path);
		return 1;
	}
	*(volatile uint32_t *)(page + offset % PAGE) = value;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct check *const tables[] = { data_checks, memory_checks, ring_checks, process_checks, stream_checks };
	uint32_t first_seed = 1;
	int narrow = 0, option;

	setvbuf(stdout, NULL, _IOLBF, 0);
	while ((option = getopt(argc, argv, "s:n")) != -1) {
		if (option == 's')
			first_seed = strtoul(optarg, NULL, 0);
		else if (option == 'n')
			narrow = 1;
		else
			return 2;
	}
	argv += optind;
	argc -= optind;
	if (argc > 0)
		device = argv[0];
	if (argc > 1 && !strcmp(argv[1], "hold"))
		return hold();
	if (argc > 4 && !strcmp(argv[1], "poke"))
		return poke(argv[2], strtoul(argv[3], NULL, 0), strtoul(argv[4], NULL, 0));
	if (argc > 2 && !strcmp(argv[1], "jobs")) {
		seed = first_seed;
		for (int n = atoi(argv[2]); n > 0; n--)
			if (round_trip(n & 1 ? ZLIB : GZIP, 1 + random32() % 50000, n & 2))
				return 1;
		printf("guest: %s: %s jobs\n", device, argv[2]);
		return 0;
	}
	if (narrow)
		run_table(pasid_checks, argc > 1 ? argv[1] : NULL, first_seed);
	for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
		run_table(tables[i], argc > 1 ? argv[1] : NULL, first_seed + 1000 * (uint32_t)i);
	printf("guest: %u passed, %u failed\n", passed, failed);
	return failed || !passed;
}
