/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Stateful requests: a stream in pieces, its state in the context that the request names. */
#define _GNU_SOURCE
#include "check.h"

#include <sys/mman.h>

#define STREAM_BYTES (40 * PAGE)

/* Runs one piece; carries the three context words, isize and checksum on, as the public user library does. */
static int piece(struct queue *q, struct stream *s, struct request *r)
{
	int error;

	r->stream = s;
	error = queue_run(q, r, 0);
	s->begun = 1;
	return error;
}

/* Compresses in pieces of random size, decompresses in pieces of random size into pieces of random room. */
static int stream_round_trip(enum format format)
{
	struct queue c, d;
	uint8_t *plain = untouched(STREAM_BYTES), *packed = untouched(2 * STREAM_BYTES), *back = untouched(STREAM_BYTES + PAGE);
	struct stream there = { .context = untouched(65536) }, here = { .context = untouched(65536) };
	uint32_t at = 0, length = 0, taken = 0, given = 0;
	struct request r;
	int error, ended = 0;

	CHECK(plain && packed && back && there.context && here.context, "out of memory");
	fill_text(plain, STREAM_BYTES);
	CHECK(!(error = queue_open(&c, device, COMPRESS)), "error %d", error);
	CHECK(!(error = queue_open(&d, device, DECOMPRESS)), "error %d", error);
	while (at < STREAM_BYTES) {
		uint32_t bytes = 1 + random32() % (5 * PAGE);
		int last = at + bytes >= STREAM_BYTES;

		if (last)
			bytes = STREAM_BYTES - at;
		r = (struct request){ .format = format, .source = plain + at, .source_bytes = bytes, .destination = packed + length, .destination_bytes = 2 * bytes + PAGE, .unfinished = !last };
		CHECK(!(error = piece(&c, &there, &r)), "error %d", error);
		CHECK(r.status == STATUS_OK || r.status == STATUS_NEGATIVE_COMPRESSION, "status %#x at %u", r.status, at);
		CHECK(r.consumed == bytes, "consumed %u of %u", r.consumed, bytes);
		at += bytes;
		length += r.produced;
	}
	for (int rounds = 0; !ended; rounds++) {
		uint32_t bytes = 1 + random32() % (2 * PAGE), room = 256 + random32() % (3 * PAGE);

		CHECK(rounds < 2000, "no end after %d pieces: %u of %u taken, %u given", rounds, taken, length, given);
		if (bytes > length - taken)
			bytes = length - taken;
		if (room > STREAM_BYTES + PAGE - given)
			room = STREAM_BYTES + PAGE - given;
		r = (struct request){ .format = format, .source = packed + taken, .source_bytes = bytes, .destination = back + given, .destination_bytes = room, .unfinished = 1 };
		CHECK(!(error = piece(&d, &here, &r)), "error %d", error);
		CHECK(r.status == STATUS_OK || r.status == STATUS_STREAM_END || r.status == STATUS_DESTINATION_TOO_SMALL, "status %#x at %u", r.status, taken);
		CHECK(r.consumed <= bytes && r.produced <= room, "consumed %u of %u, produced %u of %u", r.consumed, bytes, r.produced, room);
		taken += r.consumed;
		given += r.produced;
		ended = r.status == STATUS_STREAM_END;
	}
	CHECK(taken == length && given == STREAM_BYTES, "%u of %u taken, %u of %u given", taken, length, given, STREAM_BYTES);
	CHECK(!memcmp(plain, back, STREAM_BYTES), "data differ");
	/* what the pieces make together is one ordinary stream */
	memset(back, 0, STREAM_BYTES);
	r = (struct request){ .format = format, .source = packed, .source_bytes = length, .destination = back, .destination_bytes = STREAM_BYTES };
	CHECK(!(error = queue_run(&d, &r, 0)) && r.status == STATUS_OK && r.produced == STREAM_BYTES, "error %d status %#x produced %u", error, r.status, r.produced);
	CHECK(!memcmp(plain, back, STREAM_BYTES), "data differ in one shot");
	queue_close(&c);
	queue_close(&d);
	munmap(plain, STREAM_BYTES);
	munmap(packed, 2 * STREAM_BYTES);
	munmap(back, STREAM_BYTES + PAGE);
	munmap(there.context, 65536);
	munmap(here.context, 65536);
	return 0;
}

static int check_zlib_stream(void) { return stream_round_trip(ZLIB); }
static int check_gzip_stream(void) { return stream_round_trip(GZIP); }

const struct check stream_checks[] = {
	{ "zlib_stream_in_pieces", check_zlib_stream },
	{ "gzip_stream_in_pieces", check_gzip_stream },
	{ 0 },
};
