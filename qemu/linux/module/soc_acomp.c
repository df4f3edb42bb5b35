// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Kernel-side jobs: scatter lists of 1, 2 and 10 entries with random cuts on both sides, through the crypto API's asynchronous compression and
 * hisi-deflate-acomp. The kernel's own zlib judges what the engine wrote. Says one line per list length, and then unloads by hand.
 */
#include <crypto/acompress.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/zlib.h>

#define BYTES 20000u
#define ROOM (2 * BYTES)
#define MOST_ENTRIES 10
#define ROUNDS 40

static struct rnd_state seeded;

/* A buffer in pieces: each has its own allocation, so that nothing is contiguous by chance. */
struct pieces {
	struct scatterlist list[MOST_ENTRIES];
	void *part[MOST_ENTRIES];
	unsigned int length[MOST_ENTRIES];
	unsigned int count;
};

static void free_pieces(struct pieces *p)
{
	while (p->count)
		kfree(p->part[--p->count]);
}

static int make_pieces(struct pieces *p, unsigned int bytes, unsigned int count)
{
	unsigned int left = bytes, i;

	p->count = 0;
	sg_init_table(p->list, count);
	for (i = 0; i < count; i++) {
		unsigned int rest = count - i - 1;
		unsigned int length = rest ? 1 + prandom_u32_state(&seeded) % min(left - rest, 2 * left / (rest + 1)) : left;

		p->part[i] = kmalloc(length, GFP_KERNEL);
		if (!p->part[i]) {
			free_pieces(p);
			return -ENOMEM;
		}
		p->count++;
		p->length[i] = length;
		sg_set_buf(&p->list[i], p->part[i], length);
		left -= length;
	}
	return 0;
}

static void copy_pieces(struct pieces *p, u8 *flat, unsigned int bytes, bool into_pieces)
{
	unsigned int i, at = 0;

	for (i = 0; i < p->count && at < bytes; i++) {
		unsigned int n = min(p->length[i], bytes - at);

		if (into_pieces)
			memcpy(p->part[i], flat + at, n);
		else
			memcpy(flat + at, p->part[i], n);
		at += n;
	}
}

static void fill(u8 *out, unsigned int bytes)
{
	static const char * const words[] = { "kernel ", "scatter ", "gather ", "list ", "entry ", "dma " };
	unsigned int at = 0;

	while (at < bytes) {
		const char *word = words[prandom_u32_state(&seeded) % ARRAY_SIZE(words)];

		while (*word && at < bytes)
			out[at++] = *word++;
		if (at < bytes && prandom_u32_state(&seeded) % 3 == 0)
			out[at++] = prandom_u32_state(&seeded);
	}
}

static int run(struct crypto_acomp *tfm, bool compress, struct pieces *from, unsigned int bytes, struct pieces *to, unsigned int room, unsigned int *produced)
{
	struct acomp_req *request = acomp_request_alloc(tfm);
	DECLARE_CRYPTO_WAIT(wait);
	int error;

	if (!request)
		return -ENOMEM;
	acomp_request_set_params(request, from->list, to->list, bytes, room);
	acomp_request_set_callback(request, CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done, &wait);
	error = crypto_wait_req(compress ? crypto_acomp_compress(request) : crypto_acomp_decompress(request), &wait);
	*produced = request->dlen;
	acomp_request_free(request);
	return error;
}

/* The kernel's zlib: raw deflate, 32 KiB window. */
static int judge(const u8 *packed, unsigned int length, u8 *out, unsigned int room)
{
	struct z_stream_s z = { .next_in = packed, .avail_in = length, .next_out = out, .avail_out = room };
	int result = -ENOMEM;

	z.workspace = vzalloc(zlib_inflate_workspacesize());
	if (!z.workspace)
		return -ENOMEM;
	if (zlib_inflateInit2(&z, -MAX_WBITS) == Z_OK)
		result = zlib_inflate(&z, Z_FINISH) == Z_STREAM_END ? (int)z.total_out : -EBADMSG;
	vfree(z.workspace);
	return result;
}

static int one_round(struct crypto_acomp *tfm, unsigned int entries, u8 *plain, u8 *packed, u8 *back)
{
	struct pieces from = { }, to = { };
	unsigned int bytes = MOST_ENTRIES * 100 + prandom_u32_state(&seeded) % (BYTES - MOST_ENTRIES * 100), length = 0, produced = 0;
	int error;

	fill(plain, bytes);
	error = make_pieces(&from, bytes, entries) ?: make_pieces(&to, ROOM, entries);
	if (error)
		goto out;
	copy_pieces(&from, plain, bytes, true);
	error = run(tfm, true, &from, bytes, &to, ROOM, &length);
	if (error)
		goto out;
	copy_pieces(&to, packed, length, false);
	memset(back, 0, bytes);
	if (judge(packed, length, back, BYTES) != bytes || memcmp(plain, back, bytes)) {
		pr_err("soc_acomp: the kernel's zlib rejects %u bytes made of %u\n", length, bytes);
		error = -EBADMSG;
		goto out;
	}
	free_pieces(&from);
	free_pieces(&to);
	error = make_pieces(&from, length, entries) ?: make_pieces(&to, bytes, entries);
	if (error)
		goto out;
	copy_pieces(&from, packed, length, true);
	error = run(tfm, false, &from, length, &to, bytes, &produced);
	if (error)
		goto out;
	memset(back, 0, bytes);
	copy_pieces(&to, back, bytes, false);
	if (produced != bytes || memcmp(plain, back, bytes)) {
		pr_err("soc_acomp: %u bytes back, %u expected, or others\n", produced, bytes);
		error = -EBADMSG;
	}
out:
	free_pieces(&from);
	free_pieces(&to);
	return error;
}

static int __init soc_acomp_init(void)
{
	static const unsigned int entries[] = { 1, 2, 10 };
	struct crypto_acomp *tfm = crypto_alloc_acomp("hisi-deflate-acomp", 0, 0);
	u8 *plain = vmalloc(BYTES), *packed = vmalloc(ROOM), *back = vmalloc(BYTES);
	unsigned int i, round;
	int error = 0;

	if (IS_ERR(tfm)) {
		pr_err("soc_acomp: no hisi-deflate-acomp (%ld)\n", PTR_ERR(tfm));
		error = PTR_ERR(tfm);
		goto out;
	}
	prandom_seed_state(&seeded, 0x50c);
	for (i = 0; plain && packed && back && i < ARRAY_SIZE(entries) && !error; i++) {
		for (round = 0; round < ROUNDS && !error; round++)
			error = one_round(tfm, entries[i], plain, packed, back);
		if (error)
			pr_err("soc_acomp: lists of %u: round %u: error %d\n", entries[i], round, error);
		else
			pr_info("soc_acomp: lists of %u: %u rounds passed\n", entries[i], ROUNDS);
	}
	crypto_free_acomp(tfm);
out:
	vfree(plain);
	vfree(packed);
	vfree(back);
	return error;
}

static void __exit soc_acomp_exit(void)
{
}

module_init(soc_acomp_init);
module_exit(soc_acomp_exit);
MODULE_LICENSE("Dual MIT/GPL");
MODULE_DESCRIPTION("Kernel-side jobs with scatter lists for the modelled zip engine");
