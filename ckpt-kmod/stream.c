// SPDX-License-Identifier: GPL-2.0
/*
 * The pages of one process as a stream: a header, a record for every used
 * page, a record that says how many they were. read() makes it, write() takes
 * it, in pieces of any size.
 */
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>

#include "session.h"

#define CKPT_STREAM_BATCH	(64 * (sizeof(struct ckpt_page) + PAGE_SIZE))

void ckpt_deselect(struct ckpt_session *session)
{
	lockdep_assert_held(&session->lock);
	put_pid(session->selection.pid);
	kvfree(session->selection.buffer);
	session->selection = (struct ckpt_selection){};
}

long ckpt_select(struct ckpt_session *session, const struct ckpt_select *call)
{
	struct ckpt_target target;
	u8 *buffer;
	long ret;

	if (call->mode != CKPT_SELECT_READ && call->mode != CKPT_SELECT_WRITE)
		return -EINVAL;
	if (call->flags & ~(call->mode == CKPT_SELECT_READ ? CKPT_PAGES_FILE : 0))
		return -EINVAL;
	ret = ckpt_target_find(session, call->pid, &target);
	if (ret)
		return ret;
	buffer = kvmalloc(CKPT_STREAM_BATCH, GFP_KERNEL_ACCOUNT);
	if (!buffer) {
		ret = -ENOMEM;
		goto out;
	}
	ckpt_deselect(session);
	session->selection = (struct ckpt_selection){
		.pid = get_pid(target.pid),
		.mode = call->mode,
		.flags = call->flags,
		.buffer = buffer,
		.scan = { .end = TASK_SIZE_MAX, .flags = call->flags },
	};
out:
	ckpt_target_close(&target);
	return ret;
}

/* The process that was selected, if it is still a member, still ours to see, and stands. */
static int ckpt_selected(struct ckpt_session *session, struct ckpt_target *target)
{
	int ret;

	if (!ckpt_is_member(session, session->selection.pid))
		return -ESRCH;
	ret = ckpt_target_open(session, session->selection.pid, target);
	if (ret)
		return ret;
	ret = ckpt_must_stand(session, target->pid);
	if (ret)
		ckpt_target_close(target);
	return ret;
}

static int ckpt_stream_refill(struct ckpt_session *session)
{
	struct ckpt_selection *selection = &session->selection;
	struct ckpt_target target;
	int ret;

	selection->at = 0;
	selection->used = 0;
	if (selection->finished)
		return 0;
	ret = ckpt_selected(session, &target);
	if (ret)
		return ret;
	if (!selection->started) {
		struct ckpt_stream header = {
			.size = sizeof(header),
			.magic = CKPT_STREAM_MAGIC,
			.version = CKPT_ABI_VERSION,
			.page_size = PAGE_SIZE,
			.flags = selection->flags,
			.pid = pid_nr_ns(selection->pid, session->pids),
		};

		ret = ckpt_scan_count(target.mm, &header.pages);
		if (!ret) {
			memcpy(selection->buffer, &header, sizeof(header));
			selection->used = sizeof(header);
			selection->started = true;
		}
	}
	if (!ret)
		ret = ckpt_scan_fill(target.mm, &selection->scan, selection->buffer, CKPT_STREAM_BATCH,
				     &selection->used);
	/* A page that was read while it ran may be torn: nothing of this batch is given out. */
	if (!ret)
		ret = ckpt_must_stand(session, target.pid);
	if (ret) {
		selection->used = 0;
		selection->error = ret;
	} else if (selection->scan.next >= selection->scan.end &&
		   CKPT_STREAM_BATCH - selection->used >= sizeof(struct ckpt_page)) {
		struct ckpt_page end = {
			.size = sizeof(end), .flags = CKPT_PAGE_END, .address = selection->scan.records,
		};

		memcpy(selection->buffer + selection->used, &end, sizeof(end));
		selection->used += sizeof(end);
		selection->finished = true;
	}
	ckpt_target_close(&target);
	return ret;
}

ssize_t ckpt_stream_read(struct ckpt_session *session, struct iov_iter *to)
{
	struct ckpt_selection *selection = &session->selection;
	ssize_t total = 0;
	size_t piece;
	int ret = 0;

	lockdep_assert_held(&session->lock);
	if (!selection->pid || selection->mode != CKPT_SELECT_READ)
		return -ENXIO;
	while (iov_iter_count(to)) {
		if (selection->at == selection->used) {
			ret = selection->error ?: ckpt_stream_refill(session);
			if (ret || !selection->used)
				break;
		}
		piece = copy_to_iter(selection->buffer + selection->at, selection->used - selection->at, to);
		if (!piece) {
			ret = -EFAULT;
			break;
		}
		selection->at += piece;
		total += piece;
	}
	return total ?: ret;
}

/* What is in the buffer is whole: a header, a record, or the end. */
static int ckpt_stream_accept(struct ckpt_session *session)
{
	struct ckpt_selection *selection = &session->selection;
	struct ckpt_target target;
	struct ckpt_stream header;
	struct ckpt_page page;
	int ret;

	if (!selection->started) {
		memcpy(&header, selection->buffer, sizeof(header));
		if (header.size != sizeof(header) || header.magic != CKPT_STREAM_MAGIC ||
		    header.version != CKPT_ABI_VERSION || header.page_size != PAGE_SIZE ||
		    (header.flags & ~CKPT_PAGES_FILE))
			return -EINVAL;
		selection->started = true;
		return 0;
	}
	memcpy(&page, selection->buffer, sizeof(page));
	if (page.flags == CKPT_PAGE_END) {
		/* Something is missing in between. */
		if (page.address != selection->scan.records)
			return -EBADMSG;
		selection->finished = true;
		return 0;
	}
	ret = ckpt_selected(session, &target);
	if (ret)
		return ret;
	ret = ckpt_page_put(target.mm, &page, selection->buffer + sizeof(page));
	ckpt_target_close(&target);
	if (!ret)
		selection->scan.records++;
	return ret;
}

/* How many bytes make up what has begun, as far as that is known. */
static int ckpt_stream_wanted(const struct ckpt_selection *selection, size_t *wanted)
{
	struct ckpt_page page;
	int ret;

	*wanted = selection->started ? sizeof(struct ckpt_page) : sizeof(struct ckpt_stream);
	if (!selection->started || selection->used < sizeof(page))
		return 0;
	memcpy(&page, selection->buffer, sizeof(page));
	if (page.flags == CKPT_PAGE_END)
		return page.size == sizeof(page) && !page.vma_flags && !page.reserved ? 0 : -EINVAL;
	ret = ckpt_page_check(&page);
	if (!ret)
		*wanted = page.size;
	return ret;
}

ssize_t ckpt_stream_write(struct ckpt_session *session, struct iov_iter *from)
{
	struct ckpt_selection *selection = &session->selection;
	size_t wanted, piece;
	ssize_t total = 0;
	int ret;

	lockdep_assert_held(&session->lock);
	if (!selection->pid || selection->mode != CKPT_SELECT_WRITE)
		return -ENXIO;
	ret = selection->error;
	while (!ret && iov_iter_count(from)) {
		if (selection->finished) {
			ret = -ENOSPC;
			break;
		}
		ret = ckpt_stream_wanted(selection, &wanted);
		if (ret)
			break;
		if (selection->used < wanted) {
			piece = copy_from_iter(selection->buffer + selection->used, wanted - selection->used, from);
			if (!piece) {
				/* Nothing is lost by that: it can be tried again. */
				return total ?: -EFAULT;
			}
			selection->used += piece;
			total += piece;
		}
		ret = ckpt_stream_wanted(selection, &wanted);
		if (ret || selection->used < wanted)
			continue;
		ret = ckpt_stream_accept(session);
		selection->used = 0;
		if (fatal_signal_pending(current))
			ret = ret ?: -EINTR;
	}
	/* A stream with a hole in it must not look like a whole one: the error stays. */
	if (ret && !selection->finished)
		selection->error = ret;
	return ret ?: total;
}
