/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Who owns a page, and what it may do: the device must see what the process sees. */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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


/* Where the check's two queues and buffers stand. */
struct pair {
	struct queue c, d;
	uint8_t *packed, *back;
};
#define ROOM (16 * PAGE)

static int pair_open(struct pair *p)
{
	int error;

	CHECK((p->packed = untouched(ROOM)) && (p->back = untouched(ROOM)), "out of memory");
	CHECK(!(error = queue_open(&p->c, device, COMPRESS)), "error %d", error);
	CHECK(!(error = queue_open(&p->d, device, DECOMPRESS)), "error %d", error);
	return 0;
}

static void pair_close(struct pair *p)
{
	queue_close(&p->c);
	queue_close(&p->d);
	munmap(p->packed, ROOM);
	munmap(p->back, ROOM);
}

/* Asks the device to write over pages that a child shares: the child keeps what it had. Then the parent's CPU writes over pages that the device
 * has just read: the device must see the new bytes, and no page of the other process. */
static int check_copy_on_write(void)
{
	for (int round = 0; round < 10; round++) {
		struct pair p;
		uint8_t *source = untouched(4 * PAGE), *target = untouched(4 * PAGE);
		int go[2], status = -1;
		struct request r;
		pid_t child;
		char byte = 0;
		int error;

		CHECK(source && target && !pipe(go), "no memory, no pipe");
		CHECK(!pair_open(&p), "no queues");
		fill_text(source, 4 * PAGE);
		memset(target, 0xc0 + round, 4 * PAGE);
		/* the device knows both ranges as writable and readable now */
		CHECK(!there_and_back(&p.c, &p.d, source, 4 * PAGE, p.packed, ROOM, target), "before the fork");
		memset(target, 0xc0 + round, 4 * PAGE);
		fflush(stdout);
		child = fork();
		CHECK(child >= 0, "fork: errno %d", errno);
		if (!child) {
			uint32_t sum = 0;

			if (read(go[0], &byte, 1) != 1)
				_exit(2);
			for (unsigned int i = 0; i < 4 * PAGE; i++)
				sum |= target[i] ^ (0xc0 + round);
			for (unsigned int i = 0; i < 4 * PAGE; i++)
				if (source[i] == 0xee)
					_exit(3);
			_exit(sum != 0);
		}
		r = (struct request){ .format = ZLIB, .source = source, .source_bytes = 4 * PAGE, .destination = p.packed, .destination_bytes = ROOM };
		CHECK(!(error = queue_run(&p.c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
		r = (struct request){ .format = ZLIB, .source = p.packed, .source_bytes = r.produced, .destination = target, .destination_bytes = 4 * PAGE };
		CHECK(!(error = queue_run(&p.d, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
		CHECK(!memcmp(source, target, 4 * PAGE), "round %d: the parent misses the device's bytes", round);
		/* now the processor breaks the sharing of pages that the device has in its TLB */
		memset(source, 0xee, 4 * PAGE);
		CHECK(!there_and_back(&p.c, &p.d, source, 4 * PAGE, p.packed, ROOM, p.back), "round %d: old bytes after the processor's copy", round);
		CHECK(write(go[1], &byte, 1) == 1, "errno %d", errno);
		waitpid(child, &status, 0);
		CHECK(!status, "round %d: the child's pages changed, wait status %#x", round, status);
		close(go[0]);
		close(go[1]);
		pair_close(&p);
		munmap(source, 4 * PAGE);
		munmap(target, 4 * PAGE);
	}
	return 0;
}

/* Memory that was only read is the zero page, mapped read-only: as a source it gives zeros, as a destination it must become a page of its own. */
static int check_zero_page(void)
{
	struct pair p;
	uint8_t *zeros = untouched(4 * PAGE), *other = untouched(4 * PAGE), *text = untouched(4 * PAGE);
	volatile uint8_t sink = 0;
	struct request r;
	int error;

	CHECK(zeros && other && text, "out of memory");
	CHECK(!pair_open(&p), "no queues");
	for (unsigned int at = 0; at < 4 * PAGE; at += PAGE)
		sink |= zeros[at] | other[at];
	CHECK(!there_and_back(&p.c, &p.d, zeros, 4 * PAGE, p.packed, ROOM, p.back), "zeros as a source");
	for (unsigned int i = 0; i < 4 * PAGE; i++)
		CHECK(!p.back[i], "byte %u is %#x", i, p.back[i]);
	fill_text(text, 4 * PAGE);
	r = (struct request){ .format = ZLIB, .source = text, .source_bytes = 4 * PAGE, .destination = p.packed, .destination_bytes = ROOM };
	CHECK(!(error = queue_run(&p.c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	r = (struct request){ .format = ZLIB, .source = p.packed, .source_bytes = r.produced, .destination = zeros, .destination_bytes = 4 * PAGE };
	CHECK(!(error = queue_run(&p.d, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	CHECK(!memcmp(zeros, text, 4 * PAGE), "the device's bytes are missing");
	for (unsigned int i = 0; i < 4 * PAGE; i++)
		CHECK(!other[i] && !sink, "the shared zero page has byte %u = %#x", i, other[i]);
	pair_close(&p);
	munmap(zeros, 4 * PAGE);
	munmap(other, 4 * PAGE);
	munmap(text, 4 * PAGE);
	return 0;
}

/* Kilobytes that smaps calls referenced in the mapping that begins at `start`; -1 without it. */
static long referenced(const void *start)
{
	char line[256], head[32];
	FILE *f = fopen("/proc/self/smaps", "r");
	long kib = -1;
	int inside = 0;

	snprintf(head, sizeof(head), "%lx-", (unsigned long)start);
	while (f && kib < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, head, strlen(head)))
			inside = 1;
		else if (inside)
			sscanf(line, "Referenced: %ld", &kib);
	}
	if (f)
		fclose(f);
	return kib;
}

/* A page made old by madvise: the device's access faults on the access flag, the kernel sets it, the request goes on. */
static int check_access_flag(void)
{
	struct pair p;
	const size_t bytes = 8 * PAGE;
	/* A mapping of its own: a shared one does not merge with its neighbours. */
	uint8_t *text = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct request r;
	int error;

	CHECK(text != MAP_FAILED, "out of memory");
	CHECK(!pair_open(&p), "no queues");
	for (int round = 0; round < 20; round++) {
		fill_text(text, bytes);
		CHECK(!madvise(text, bytes, MADV_COLD), "errno %d", errno);
		CHECK(referenced(text) == 0, "%ld KiB referenced after madvise", referenced(text));
		r = (struct request){ .format = ZLIB, .source = text, .source_bytes = bytes, .destination = p.packed, .destination_bytes = ROOM };
		CHECK(!(error = queue_run(&p.c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
		CHECK(referenced(text) == (long)bytes / 1024, "%ld KiB referenced after the device has read all", referenced(text));
		CHECK(!there_and_back(&p.c, &p.d, text, bytes, p.packed, ROOM, p.back), "round %d", round);
	}
	pair_close(&p);
	munmap(text, bytes);
	return 0;
}

/* Write permission taken and given back while the device knows the page. */
static int check_permission_changes(void)
{
	struct pair p;
	uint8_t *text = untouched(4 * PAGE), *target = untouched(4 * PAGE);
	struct request r;
	uint32_t length;
	int error;

	CHECK(text && target, "out of memory");
	CHECK(!pair_open(&p), "no queues");
	fill_text(text, 4 * PAGE);
	r = (struct request){ .format = ZLIB, .source = text, .source_bytes = 4 * PAGE, .destination = p.packed, .destination_bytes = ROOM };
	CHECK(!(error = queue_run(&p.c, &r, 0)) && r.status == STATUS_OK, "error %d status %#x", error, r.status);
	length = r.produced;
	for (int round = 0; round < 20; round++) {
		memset(target, round, 4 * PAGE);
		r = (struct request){ .format = ZLIB, .source = p.packed, .source_bytes = length, .destination = target, .destination_bytes = 4 * PAGE };
		CHECK(!(error = queue_run(&p.d, &r, 0)) && r.status == STATUS_OK && !memcmp(target, text, 4 * PAGE), "error %d status %#x", error, r.status);
		memset(target, round, 4 * PAGE);
		CHECK(!mprotect(target, 4 * PAGE, PROT_READ), "errno %d", errno);
		CHECK(!(error = queue_run(&p.d, &r, 0)), "error %d", error);
		CHECK(r.status != STATUS_OK, "round %d: wrote to a page that has become read-only", round);
		for (unsigned int i = 0; i < 4 * PAGE; i++)
			CHECK(target[i] == round, "round %d: byte %u changed", round, i);
		CHECK(!mprotect(target, 4 * PAGE, PROT_READ | PROT_WRITE), "errno %d", errno);
	}
	pair_close(&p);
	munmap(text, 4 * PAGE);
	munmap(target, 4 * PAGE);
	return 0;
}

/* A page that has gone while the device still has its translation: an error, not the old page, which is somebody else's by now. */
static int check_unmapped_destination(void)
{
	struct pair p;
	uint8_t *text = untouched(4 * PAGE);
	struct request r;
	int error;

	CHECK(text, "out of memory");
	CHECK(!pair_open(&p), "no queues");
	fill_text(text, 4 * PAGE);
	for (int round = 0; round < 10; round++) {
		uint8_t *target = untouched(4 * PAGE);

		CHECK(target, "out of memory");
		CHECK(!there_and_back(&p.c, &p.d, text, 4 * PAGE, p.packed, ROOM, target), "round %d", round);
		r = (struct request){ .format = ZLIB, .source = text, .source_bytes = 4 * PAGE, .destination = target, .destination_bytes = 4 * PAGE };
		CHECK(!munmap(target, 4 * PAGE), "errno %d", errno);
		CHECK(!(error = queue_run(&p.c, &r, 0)), "error %d", error);
		CHECK(r.status != STATUS_OK, "round %d: wrote to pages that are gone", round);
	}
	pair_close(&p);
	munmap(text, 4 * PAGE);
	return 0;
}

const struct check memory_checks[] = {
	{ "unmapped_source_is_an_error_and_the_queue_lives_on", check_unmapped_source },
	{ "unmapped_destination_is_an_error_after_use", check_unmapped_destination },
	{ "read_only_destination_is_an_error", check_read_only_destination },
	{ "remapped_source_is_read_afresh", check_remapped_source },
	{ "copy_on_write_after_fork", check_copy_on_write },
	{ "zero_page_as_source_and_destination", check_zero_page },
	{ "old_pages_fault_on_the_access_flag", check_access_flag },
	{ "permission_taken_and_given_back", check_permission_changes },
	{ 0 },
};
