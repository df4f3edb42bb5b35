/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#define _GNU_SOURCE
#include "queue.h"

#include <errno.h>
#include <fcntl.h>
#include <misc/uacce/hisi_qm.h>
#include <misc/uacce/uacce.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define DOORBELL_OFFSET 0x1000
#define DOORBELL_SQ 0ull
#define DOORBELL_CQ 1ull
#define ARM 1ull

static void ring(struct queue *q, uint64_t command, uint64_t index, uint64_t priority)
{
	uint64_t word = q->id | command << 12 | index << 32 | priority << 48;

	__asm__ volatile("dmb oshst" ::: "memory");
	*(volatile uint64_t *)(q->mmio + DOORBELL_OFFSET) = word;
}

int attribute(const char *name, const char *file, char *out, size_t out_bytes)
{
	char path[256];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/class/uacce/%s/%s", name, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, out, out_bytes - 1);
	close(fd);
	if (n < 0)
		return -EIO;
	while (n > 0 && out[n - 1] == '\n')
		n--;
	out[n] = 0;
	return 0;
}

int queue_open(struct queue *q, const char *name, enum direction direction)
{
	struct hisi_qp_ctx context = { .qc_type = direction };
	struct hisi_qp_info info = { 0 };
	char text[256], path[256];
	int error;

	memset(q, 0, sizeof(*q));
	q->fd = -1;
	q->direction = direction;
	if (attribute(name, "api", text, sizeof(text)) || strncmp(text, "hisi_qm_v", 9))
		return -ENODEV;
	q->version = atoi(text + 9);
	if (attribute(name, "region_mmio_size", text, sizeof(text)))
		return -ENODEV;
	q->mmio_bytes = strtoul(text, NULL, 0);
	if (attribute(name, "region_dus_size", text, sizeof(text)))
		return -ENODEV;
	q->dus_bytes = strtoul(text, NULL, 0);

	snprintf(path, sizeof(path), "/dev/%s", name);
	q->fd = open(path, O_RDWR | O_CLOEXEC);
	if (q->fd < 0)
		return -errno;
	if (ioctl(q->fd, UACCE_CMD_QM_SET_QP_CTX, &context) || ioctl(q->fd, UACCE_CMD_QM_SET_QP_INFO, &info))
		goto failed;
	q->id = context.id;
	q->sq_depth = info.sq_depth;
	q->cq_depth = info.cq_depth;
	if (info.sqe_size != SQE_DWORDS * 4 || !q->sq_depth || !q->cq_depth) {
		errno = EPROTO;
		goto failed;
	}
	q->dus = mmap(NULL, q->dus_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, UACCE_QFRT_DUS * sysconf(_SC_PAGESIZE));
	if (q->dus == MAP_FAILED) {
		q->dus = NULL;
		goto failed;
	}
	q->mmio = mmap(NULL, q->mmio_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, q->fd, UACCE_QFRT_MMIO * sysconf(_SC_PAGESIZE));
	if (q->mmio == MAP_FAILED) {
		q->mmio = NULL;
		goto failed;
	}
	if (ioctl(q->fd, UACCE_CMD_START_Q))
		goto failed;
	q->phase = 1;
	return 0;
failed:
	error = -errno;
	queue_close(q);
	return error;
}

void queue_close(struct queue *q)
{
	if (q->mmio)
		munmap(q->mmio, q->mmio_bytes);
	if (q->dus)
		munmap(q->dus, q->dus_bytes);
	if (q->fd >= 0)
		close(q->fd);
	memset(q, 0, sizeof(*q));
	q->fd = -1;
}

/* The kernel's words at the end of the shared region: no more requests (last word), no more completions (the one before). */
static int stopped(const struct queue *q, size_t words_from_end)
{
	return ((volatile uint32_t *)(q->dus + q->dus_bytes))[-(ptrdiff_t)words_from_end] != 0;
}

int queue_send(struct queue *q, const struct request *r)
{
	volatile uint32_t *slot = (volatile uint32_t *)(q->dus + (size_t)q->sq_tail * SQE_DWORDS * 4);
	uint32_t sqe[SQE_DWORDS] = { 0 };
	uint64_t source = (uintptr_t)r->source, destination = (uintptr_t)r->destination;
	uint32_t type = q->version >= 3 ? 3 : 0;

	if (stopped(q, 1))
		return -ENODEV;
	sqe[4] = r->source_bytes;
	/* type, stream-new and finish: what the public user library puts into a one-shot request */
	sqe[7] = type << 28 | (uint32_t)!(r->stream && r->stream->begun) << 27 | (uint32_t)!r->unfinished << 25;
	if (r->stream) {
		/* the first 64 bytes of the context are software's own */
		uint64_t context = (uintptr_t)r->stream->context + 64;

		sqe[7] |= 1u << 26;
		sqe[15] = r->stream->words[0];
		sqe[22] = (uint32_t)context;
		sqe[23] = context >> 32;
		sqe[28] = r->stream->words[1];
		sqe[29] = r->stream->words[2];
		sqe[30] = r->stream->isize;
		sqe[31] = r->stream->checksum;
	}
	sqe[9] = r->format;
	sqe[14] = r->destination_bytes;
	sqe[18] = (uint32_t)source;
	sqe[19] = source >> 32;
	sqe[20] = (uint32_t)destination;
	sqe[21] = destination >> 32;
	sqe[type == 3 ? 26 : 13] = ++q->tag;
	for (int i = 0; i < SQE_DWORDS; i++)
		slot[i] = sqe[i];
	q->sq_tail = (q->sq_tail + 1) % q->sq_depth;
	ring(q, DOORBELL_SQ, q->sq_tail, 0);
	return 0;
}

int queue_receive(struct queue *q, struct request *r)
{
	volatile uint32_t *cqe = (volatile uint32_t *)(q->dus + (size_t)q->sq_depth * SQE_DWORDS * 4 + (size_t)q->cq_head * 16);
	volatile uint32_t *sqe;
	uint32_t sq_head;

	if (((cqe[3] >> 16) & 1) != q->phase)
		return -EAGAIN;
	__asm__ volatile("dmb oshld" ::: "memory");
	sq_head = cqe[2] & 0xffff;
	if (sq_head >= q->sq_depth || cqe[2] >> 16 != q->id)
		return -EIO;
	sqe = (volatile uint32_t *)(q->dus + (size_t)sq_head * SQE_DWORDS * 4);
	r->consumed = sqe[0];
	r->produced = sqe[1];
	r->status = sqe[3] & 0xff;
	r->checksum = sqe[31];
	r->tag = sqe[q->version >= 3 ? 26 : 13];
	if (r->stream) {
		r->stream->words[0] = sqe[15];
		r->stream->words[1] = sqe[28];
		r->stream->words[2] = sqe[29];
		r->stream->isize = sqe[30];
		r->stream->checksum = sqe[31];
	}
	if (++q->cq_head == q->cq_depth) {
		q->cq_head = 0;
		q->phase ^= 1;
	}
	ring(q, DOORBELL_CQ, q->cq_head, ARM);
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

int queue_wait(struct queue *q, struct request *r, int sleep)
{
	double deadline = now() + 10;

	for (unsigned int round = 0;; round++) {
		int error = queue_receive(q, r);

		if (error != -EAGAIN)
			return error;
		if (stopped(q, 2))
			return -ENODEV;
		if (now() > deadline)
			return -ETIMEDOUT;
		if (sleep) {
			struct pollfd p = { .fd = q->fd, .events = POLLIN };

			if (poll(&p, 1, 1000) < 0)
				return -errno;
		} else if (round % 64 == 63) {
			sched_yield();
		} else {
			__asm__ volatile("yield");
		}
	}
}

int queue_run(struct queue *q, struct request *r, int sleep)
{
	int error = queue_send(q, r);

	return error ? error : queue_wait(q, r, sleep);
}
