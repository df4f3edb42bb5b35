/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* One hardware queue of the zip engine, reached through Linux's uacce interface. Uses uapi headers only. */
#ifndef GUEST_QUEUE_H
#define GUEST_QUEUE_H

#include <stddef.h>
#include <stdint.h>

enum direction { COMPRESS = 0, DECOMPRESS = 1 };
enum format { RAW_DEFLATE = 1, ZLIB = 2, GZIP = 3 };

#define SQE_DWORDS 32
#define STATUS_OK 0x00
#define STATUS_NEGATIVE_COMPRESSION 0x0d
#define STATUS_DESTINATION_TOO_SMALL 0x0e
#define STATUS_CHECKSUM_MISMATCH 0x10
#define STATUS_STREAM_END 0x13

struct queue {
	int fd;
	enum direction direction;
	unsigned int version; /* from the api string: 2 or 3 */
	unsigned int id, sq_depth, cq_depth;
	uint8_t *dus, *mmio;
	size_t dus_bytes, mmio_bytes;
	unsigned int sq_tail, cq_head, phase, tag;
};

/* State of a stream between its requests. `context` is 64 KiB of zeros at the beginning. */
struct stream {
	uint8_t *context;
	int begun;
	uint32_t words[3], isize, checksum;
};

struct request {
	enum format format;
	const void *source;
	uint32_t source_bytes;
	void *destination;
	uint32_t destination_bytes;
	/* NULL: stateless */
	struct stream *stream;
	/* more of the stream will follow */
	int unfinished;
	/* filled in by the engine */
	uint32_t consumed, produced, status, checksum, tag;
};

/* Each returns 0, or a negative errno; -ENODEV once the kernel has stopped the queue. */
int queue_open(struct queue *q, const char *name, enum direction direction);
void queue_close(struct queue *q);
int queue_send(struct queue *q, const struct request *r);
/* -EAGAIN if nothing has completed. */
int queue_receive(struct queue *q, struct request *r);
/* Waits up to 10 s for the next completion; by spinning, or in poll(2) when `sleep` is set. -ETIMEDOUT if none came. */
int queue_wait(struct queue *q, struct request *r, int sleep);
/* Sends, then waits as above. */
int queue_run(struct queue *q, struct request *r, int sleep);

/* Reads an attribute of /sys/class/uacce/NAME into `out`, without the final newline. */
int attribute(const char *name, const char *file, char *out, size_t out_bytes);

#endif
