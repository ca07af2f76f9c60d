/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels that are served (6.1 and later), and nothing else. */
#ifndef CKPT_COMPAT_H
#define CKPT_COMPAT_H

#include <linux/capability.h>
#include <linux/eventfd.h>
#include <linux/fdtable.h>
#include <linux/mm.h>
#include <linux/sched/coredump.h>
#include <linux/splice.h>
#include <linux/version.h>

/* Since 6.5 the areas are no longer given out. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define ckpt_get_page(mm, address, flags, page) \
	get_user_pages_remote(mm, address, 1, flags, page, NULL, NULL)
#define ckpt_pin_page(mm, address, flags, page) \
	pin_user_pages_remote(mm, address, 1, flags, page, NULL, NULL)
#define ckpt_splice_read generic_file_splice_read
#else
#define ckpt_get_page(mm, address, flags, page) \
	get_user_pages_remote(mm, address, 1, flags, page, NULL)
#define ckpt_pin_page(mm, address, flags, page) \
	pin_user_pages_remote(mm, address, 1, flags, page, NULL)
#define ckpt_splice_read copy_splice_read
#endif

/* What is mapped from a layered file system is the file below since 6.8; what the user opened is asked for by name. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define ckpt_file_inode(file) file_inode(file)
#define ckpt_file_path(file) (&(file)->f_path)
#else
#define ckpt_file_inode(file) file_user_inode(file)
#define ckpt_file_path(file) file_user_path(file)
#endif

/* A 64-bit number since 6.3. */
static inline u64 ckpt_capabilities(kernel_cap_t set)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	return (u64)set.cap[1] << 32 | set.cap[0];
#else
	return set.val;
#endif
}

/* Asked of the table of descriptors itself since 6.12. */
static inline bool ckpt_close_on_exec(unsigned int fd, struct files_struct *files)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return close_on_exec(fd, files_fdtable(files));
#else
	return close_on_exec(fd, files);
#endif
}

/* Made when it is first needed since 6.12. */
static inline struct fown_struct *ckpt_file_owner(struct file *file)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
	return &file->f_owner;
#else
	return file_f_owner(file);
#endif
}

/* Told to the process itself since 6.3 (MDWE), 6.4 (merging), 6.6 (without inheritance). */
static inline bool ckpt_denies_write_execute(const struct mm_struct *mm)
{
#ifdef MMF_HAS_MDWE
	return test_bit(MMF_HAS_MDWE, &mm->flags);
#else
	return false;
#endif
}

static inline bool ckpt_denies_without_children(const struct mm_struct *mm)
{
#ifdef MMF_HAS_MDWE_NO_INHERIT
	return test_bit(MMF_HAS_MDWE_NO_INHERIT, &mm->flags);
#else
	return false;
#endif
}

static inline bool ckpt_merges_memory(const struct mm_struct *mm)
{
#ifdef MMF_VM_MERGE_ANY
	return test_bit(MMF_VM_MERGE_ANY, &mm->flags);
#else
	return false;
#endif
}

#ifdef CONFIG_RSEQ
/* Of one size until 6.3. */
static inline u32 ckpt_rseq_size(const struct task_struct *task)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	return sizeof(*task->rseq);
#else
	return task->rseq_len;
#endif
}
#endif

/* A plain list until 6.12. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
#define ckpt_for_each_timer(timer, signal) list_for_each_entry(timer, &(signal)->posix_timers, list)
#else
#define ckpt_for_each_timer(timer, signal) hlist_for_each_entry(timer, &(signal)->posix_timers, list)
#endif

/* Since 6.5 fdinfo tells which eventfds are semaphores; and a signal of more than one is gone since 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0)
#define CKPT_HAS_SEMAPHORES
static inline u64 ckpt_eventfd_take(struct eventfd_ctx *counter)
{
	wait_queue_entry_t nobody;
	u64 count = 0;

	/* The only way that is exported, with an entry of a queue of its own. */
	init_waitqueue_entry(&nobody, current);
	INIT_LIST_HEAD(&nobody.entry);
	eventfd_ctx_remove_wait_queue(counter, &nobody, &count);
	return count;
}
#endif

/*
 * The inner side of an io_uring is told to other parts of the kernel, but
 * changes with every version: it is looked at where it was tried.
 */
#if IS_ENABLED(CONFIG_IO_URING) && LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define CKPT_HAS_RINGS
#define ckpt_ring_freed_under_lock(ctx) ((ctx)->locked_free_nr)
#define ckpt_ring_has_provided(ctx) ((ctx)->io_bl || !xa_empty(&(ctx)->io_bl_xa))
#define ckpt_ring_has_clock(ctx) false
#define ckpt_ring_has_napi(ctx) false
#elif IS_ENABLED(CONFIG_IO_URING) && LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0) && \
	LINUX_VERSION_CODE < KERNEL_VERSION(6, 13, 0)
#define CKPT_HAS_RINGS
#define ckpt_ring_freed_under_lock(ctx) 0
#define ckpt_ring_has_provided(ctx) (!xa_empty(&(ctx)->io_bl_xa))
#define ckpt_ring_has_clock(ctx) ((ctx)->clockid != CLOCK_MONOTONIC)
#ifdef CONFIG_NET_RX_BUSY_POLL
#define ckpt_ring_has_napi(ctx) ((ctx)->napi_enabled)
#else
#define ckpt_ring_has_napi(ctx) false
#endif
#endif

/* Renamed in 6.8. */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
#define ckpt_mapping_lock(mapping) (&(mapping)->private_lock)
#define ckpt_mapping_data(mapping) ((mapping)->private_data)
#else
#define ckpt_mapping_lock(mapping) (&(mapping)->i_private_lock)
#define ckpt_mapping_data(mapping) ((mapping)->i_private_data)
#endif

static inline bool ckpt_has_semaphores(void)
{
#ifdef CKPT_HAS_SEMAPHORES
	return true;
#else
	return false;
#endif
}

#endif
