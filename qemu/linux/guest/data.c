/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Formats, errors in the data, and an outside judge. */
#define _GNU_SOURCE
#include "check.h"

#include <stdlib.h>
#include <sys/mman.h>

int round_trip(enum format format, size_t bytes, int sleep)
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

static int check_deflate(void)
{
	if (version() < 3) {
		printf("  (revision 0x21 offers no raw deflate)\n");
		return 0;
	}
	return round_trip(RAW_DEFLATE, 300000, 0);
}

static int check_small(void) { return round_trip(ZLIB, 1, 0) || round_trip(GZIP, 17, 0) || round_trip(ZLIB, PAGE, 0); }

static int check_poll(void)
{
	for (int i = 0; i < 20; i++)
		if (round_trip(i & 1 ? GZIP : ZLIB, 1000 + random32() % 70000, 1))
			return -1;
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
	CHECK(!write_gzip("/scratch/plain", "/scratch/packed.gz"), "no stream");
	CHECK(!system("gunzip -c /scratch/packed.gz | cmp - /scratch/plain"), "gunzip disagrees");
	return 0;
}

const struct check data_checks[] = {
	{ "attributes", check_attributes },
	{ "zlib_round_trip_into_untouched_memory", check_zlib },
	{ "gzip_round_trip_into_untouched_memory", check_gzip },
	{ "deflate_round_trip_into_untouched_memory", check_deflate },
	{ "small_requests", check_small },
	{ "completion_awaited_by_poll", check_poll },
	{ "bad_crc_is_detected", check_bad_crc },
	{ "destination_too_small", check_destination_too_small },
	{ "gzip_stream_accepted_by_gunzip", check_outside_gunzip },
	{ 0 },
};
