// SPDX-License-Identifier: GPL-2.0
/*
 * Rings of asynchronous input and output. What is in flight in one the kernel
 * shows to nobody, and of an io_uring neither how it was made. Whoever restores
 * one has to let it count on from where it was.
 */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/percpu-refcount.h>
#include <linux/uaccess.h>

#include "compat.h"
#include "session.h"

#ifdef CKPT_HAS_RINGS
#include <linux/io_uring_types.h>
#include <uapi/linux/io_uring.h>
#endif

/* By which the count of who has switched to counting by processor is ahead: PERCPU_COUNT_BIAS of lib/percpu-refcount.c. */
#define CKPT_COUNT_BIAS	(1UL << (BITS_PER_LONG - 1))

/*
 * Of references that are only given back while it is looked at, since who takes
 * them stands: then it is not less than what there are at the end.
 */
static u64 ckpt_count(struct percpu_ref *ref)
{
	unsigned long __percpu *counts;
	unsigned long sum;
	int cpu;

	rcu_read_lock();
	sum = atomic_long_read(&ref->data->count);
	if (__ref_is_percpu(ref, &counts)) {
		sum -= CKPT_COUNT_BIAS;
		for_each_possible_cpu(cpu)
			sum += READ_ONCE(*per_cpu_ptr(counts, cpu));
	}
	rcu_read_unlock();
	return sum;
}

/* Whether there is one: whoever has it says so himself. The kernel keeps its structures to itself, and they could be others than ours. */
static bool ckpt_is_counter(struct percpu_ref *ref)
{
	struct percpu_ref_data *data, copy;

	return !copy_from_kernel_nofault(&data, &ref->data, sizeof(data)) && data &&
	       !copy_from_kernel_nofault(&copy, data, sizeof(copy)) && copy.ref == ref;
}

#ifdef CKPT_HAS_RINGS
static struct io_ring_ctx *ckpt_ring_of(struct file *file)
{
	struct io_ring_ctx *ctx = file->private_data;

	if (file_inode(file)->i_sb->s_magic != ANON_INODE_FS_MAGIC ||
	    strcmp(file->f_path.dentry->d_name.name, "[io_uring]"))
		return NULL;
	return ctx && ckpt_is_counter(&ctx->refs) ? ctx : NULL;
}

/* All requests, those that wait to be used again included, have a reference. */
static u64 ckpt_ring_in_flight(struct io_ring_ctx *ctx)
{
	u64 count = ckpt_count(&ctx->refs) - 1;
	const struct io_wq_work_node *free;

	lockdep_assert_held(&ctx->uring_lock);
	lockdep_assert_held(&ctx->completion_lock);
	for (free = ctx->submit_state.free_list.next; free; free = free->next)
		count--;
	return count - ckpt_ring_freed_under_lock(ctx);
}

static u32 ckpt_ring_has(struct io_ring_ctx *ctx)
{
	u32 has = 0;

	if (ctx->nr_user_files)
		has |= CKPT_RING_FILES;
	if (ctx->nr_user_bufs)
		has |= CKPT_RING_BUFFERS;
	if (ckpt_ring_has_provided(ctx))
		has |= CKPT_RING_PROVIDED;
	if (!xa_empty(&ctx->personalities))
		has |= CKPT_RING_PERSONALITIES;
	if (rcu_access_pointer(ctx->io_ev_fd))
		has |= CKPT_RING_EVENTFD;
	if (ctx->restricted || ctx->restrictions.registered)
		has |= CKPT_RING_RESTRICTIONS;
	if (!list_empty(&ctx->cq_overflow_list))
		has |= CKPT_RING_OVERFLOW;
	if (ctx->iowq_limits_set)
		has |= CKPT_RING_WORKERS;
	if (ckpt_ring_has_clock(ctx))
		has |= CKPT_RING_CLOCK;
	if (ckpt_ring_has_napi(ctx))
		has |= CKPT_RING_NAPI;
	return has;
}

static void ckpt_ring_layout(const struct io_ring_ctx *ctx, struct ckpt_ring *call)
{
	call->sq_head_at = offsetof(struct io_rings, sq.head);
	call->sq_tail_at = offsetof(struct io_rings, sq.tail);
	call->sq_mask_at = offsetof(struct io_rings, sq_ring_mask);
	call->sq_entries_at = offsetof(struct io_rings, sq_ring_entries);
	call->sq_flags_at = offsetof(struct io_rings, sq_flags);
	call->sq_dropped_at = offsetof(struct io_rings, sq_dropped);
	call->sq_array_at = ctx->sq_array ? (u8 *)ctx->sq_array - (u8 *)ctx->rings : CKPT_RING_NO_ARRAY;
	call->cq_head_at = offsetof(struct io_rings, cq.head);
	call->cq_tail_at = offsetof(struct io_rings, cq.tail);
	call->cq_mask_at = offsetof(struct io_rings, cq_ring_mask);
	call->cq_entries_at = offsetof(struct io_rings, cq_ring_entries);
	call->cq_overflow_at = offsetof(struct io_rings, cq_overflow);
	call->cq_flags_at = offsetof(struct io_rings, cq_flags);
	call->cqes_at = offsetof(struct io_rings, cqes);
}

static void ckpt_ring_read(const struct ckpt_session *session, struct io_ring_ctx *ctx, struct ckpt_ring *call)
{
	/* Before its counters: who ends meanwhile has given his completion by then. */
	call->in_flight = ckpt_ring_in_flight(ctx);
	call->has = ckpt_ring_has(ctx);
	call->setup = ctx->flags;
	call->sq_entries = ctx->sq_entries;
	call->cq_entries = ctx->cq_entries;
	call->sq_head = ctx->cached_sq_head;
	call->cq_tail = ctx->cached_cq_tail;
	if (ctx->submitter_task)
		call->issuer = task_pid_nr_ns(ctx->submitter_task, session->pids);
	ckpt_ring_layout(ctx, call);
}

/* It counts on from there. All are numbers modulo the size of the ring, whatever they are. */
static long ckpt_ring_set(struct io_ring_ctx *ctx, const struct ckpt_ring *call)
{
	if (ctx->cached_sq_head || ctx->cached_cq_tail || ctx->cq_extra || ckpt_ring_in_flight(ctx))
		return -EBUSY;
	ctx->cached_sq_head = call->sq_head;
	WRITE_ONCE(ctx->rings->sq.head, call->sq_head);
	ctx->cached_cq_tail = call->cq_tail;
	WRITE_ONCE(ctx->rings->cq.tail, call->cq_tail);
	/* Completions that have no request of their own, or the other way round: who drains the ring compares the sum. */
	ctx->cq_extra = call->cq_tail - call->sq_head;
	/* Places that it had looked at. */
	ctx->cqe_cached = NULL;
	ctx->cqe_sentinel = NULL;
	return 0;
}

static long ckpt_uring(struct ckpt_session *session, struct ckpt_ring *call)
{
	struct io_ring_ctx *ctx;
	struct file *file;
	long ret;

	if (call->pid || call->address)
		return -EINVAL;
	file = fget(call->fd);
	if (!file)
		return -EBADF;
	ret = -EOPNOTSUPP;
	ctx = ckpt_ring_of(file);
	if (!ctx)
		goto out;
	ret = -EINTR;
	if (mutex_lock_killable(&ctx->uring_lock))
		goto out;
	spin_lock(&ctx->completion_lock);
	ret = 0;
	if (call->flags & CKPT_RING_SET)
		ret = ckpt_ring_set(ctx, call);
	else
		ckpt_ring_read(session, ctx, call);
	spin_unlock(&ctx->completion_lock);
	mutex_unlock(&ctx->uring_lock);
	/* Without ours. */
	call->references = file_count(file) - 1;
out:
	fput(file);
	return ret;
}
#else
static long ckpt_uring(struct ckpt_session *session, struct ckpt_ring *call)
{
	return -EOPNOTSUPP;
}
#endif

#ifdef CONFIG_AIO
/* AIO_RING_MAGIC of fs/aio.c. */
#define CKPT_AIO_MAGIC	0xa10a10a1

/* How struct kioctx of fs/aio.c begins. */
struct ckpt_kioctx {
	struct percpu_ref users;
	atomic_t dead;
	struct percpu_ref reqs;
	unsigned long user_id;
};

/* Under the lock of its ring's mapping, without which a context does not go. */
static long ckpt_aio_read(struct ckpt_kioctx *ctx, struct ckpt_ring *call)
{
	struct ckpt_kioctx copy;

	if (!ctx || copy_from_kernel_nofault(&copy, ctx, sizeof(copy)) || copy.user_id != call->address ||
	    atomic_read(&copy.dead) || !ckpt_is_counter(&ctx->users) || !ckpt_is_counter(&ctx->reqs))
		return -EOPNOTSUPP;
	/* Two are the context's own: the first, and that of its end. */
	call->in_flight = ckpt_count(&ctx->reqs) - 2;
	return 0;
}

static long ckpt_aio(struct ckpt_session *session, struct ckpt_ring *call)
{
	struct address_space *mapping;
	struct vm_area_struct *area;
	struct ckpt_target target;
	long ret;

	if (call->flags)
		return -EINVAL;
	ret = ckpt_target_find(session, call->pid, &target);
	if (ret)
		return ret;
	ret = ckpt_must_stand(session, target.pid);
	if (ret)
		goto out;
	ret = -EINTR;
	if (mmap_read_lock_killable(target.mm))
		goto out;
	ret = -ENOENT;
	area = find_vma(target.mm, call->address);
	if (area && area->vm_start == call->address && area->vm_file &&
	    file_inode(area->vm_file)->i_sb->s_magic == CKPT_AIO_MAGIC) {
		mapping = file_inode(area->vm_file)->i_mapping;
		spin_lock(ckpt_mapping_lock(mapping));
		ret = ckpt_aio_read(ckpt_mapping_data(mapping), call);
		spin_unlock(ckpt_mapping_lock(mapping));
	}
	mmap_read_unlock(target.mm);
out:
	ckpt_target_close(&target);
	return ret;
}
#else
static long ckpt_aio(struct ckpt_session *session, struct ckpt_ring *call)
{
	return -EOPNOTSUPP;
}
#endif

u64 ckpt_ring_features(void)
{
	u64 features = 0;

#ifdef CKPT_HAS_RINGS
	features |= CKPT_FEATURE_RING;
#endif
#ifdef CONFIG_AIO
	features |= CKPT_FEATURE_AIO;
#endif
	return features;
}

long ckpt_ring(struct ckpt_session *session, struct ckpt_ring *call)
{
	if (call->flags & ~CKPT_RING_SET || call->reserved || call->in_flight || call->references || call->has)
		return -EINVAL;
	if (!(call->flags & CKPT_RING_SET) && (call->sq_head || call->cq_tail))
		return -EINVAL;
	return call->fd == -1 ? ckpt_aio(session, call) : ckpt_uring(session, call);
}
