/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Rings that come round, one by one and full. */
#include "check.h"

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


/* As many requests in flight as the ring holds, several times over; every completion is this queue's and in order. */
static int check_full_ring(void)
{
	struct queue q;
	uint8_t *plain = untouched(PAGE), *out = untouched(2 * PAGE);
	struct request r;
	int error;

	CHECK(plain && out, "out of memory");
	fill_text(plain, PAGE);
	CHECK(!(error = queue_open(&q, device, COMPRESS)), "error %d", error);
	for (unsigned int round = 0; round < 3; round++) {
		unsigned int batch = q.sq_depth - 1 - random32() % 100, first = q.tag + 1;

		for (unsigned int i = 0; i < batch; i++) {
			r = (struct request){ .format = ZLIB, .source = plain, .source_bytes = 16 + (first + i) % 64, .destination = out, .destination_bytes = 2 * PAGE };
			CHECK(!(error = queue_send(&q, &r)), "error %d", error);
		}
		for (unsigned int i = 0; i < batch; i++) {
			CHECK(!(error = queue_wait(&q, &r, i & 1)), "round %u, request %u: error %d", round, i, error);
			CHECK(r.tag == first + i, "round %u: tag %u, not %u", round, r.tag, first + i);
			CHECK(r.consumed == 16 + (first + i) % 64, "round %u: consumed %u", round, r.consumed);
		}
		CHECK(queue_receive(&q, &r) == -EAGAIN, "round %u: more completions than requests", round);
	}
	queue_close(&q);
	return 0;
}

const struct check ring_checks[] = {
	{ "rings_wrap", check_wrap },
	{ "full_ring_completes_in_order", check_full_ring },
	{ 0 },
};
