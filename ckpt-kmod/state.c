// SPDX-License-Identifier: GPL-2.0
/*
 * What makes up a process but its memory, as typed records. The records are
 * put together in kernel memory and copied out in one piece: most of what is
 * read here lies under locks below which nobody may sleep.
 */
#include <linux/eventfd.h>
#include <linux/fcntl.h>
#include <linux/sched/coredump.h>
#include <linux/sched/jobctl.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <uapi/linux/membarrier.h>

#include "compat.h"
#include "records.h"

/* Puts size bytes in, and up to two pieces more behind them, padded to a multiple of 8. */
void ckpt_add(struct ckpt_records *records, struct ckpt_record *record, u32 type, size_t size,
	      const void *tail, size_t tail_size)
{
	size_t whole = ALIGN(size + tail_size, 8);

	record->type = type;
	record->size = whole;
	if (records->used + whole <= records->room) {
		u8 *at = records->data + records->used;

		memset(at + whole - min_t(size_t, whole, 8), 0, min_t(size_t, whole, 8));
		memcpy(at, record, size);
		if (tail_size)
			memcpy(at + size, tail, tail_size);
	}
	records->used += whole;
}

/* As membarrier(2) tells a process of itself since 6.3. */
static u32 ckpt_membarrier(struct mm_struct *mm)
{
	static const struct {
		int state;
		u32 command;
	} kinds[] = {
		{ MEMBARRIER_STATE_GLOBAL_EXPEDITED, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED },
		{ MEMBARRIER_STATE_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED },
		{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE },
		{ MEMBARRIER_STATE_PRIVATE_EXPEDITED_RSEQ, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ },
	};
	int state = atomic_read(&mm->membarrier_state);
	u32 commands = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		if (state & kinds[i].state)
			commands |= kinds[i].command;
	return commands;
}

static u32 ckpt_process_flags(const struct task_struct *task, const struct mm_struct *mm)
{
	u32 flags = 0;

	if (task->signal->is_child_subreaper)
		flags |= CKPT_PROCESS_SUBREAPER;
	if (test_bit(MMF_DISABLE_THP, &mm->flags))
		flags |= CKPT_PROCESS_NO_HUGE_PAGES;
	if (ckpt_merges_memory(mm))
		flags |= CKPT_PROCESS_MERGE;
	if (ckpt_denies_write_execute(mm))
		flags |= CKPT_PROCESS_MDWE;
	if (ckpt_denies_without_children(mm))
		flags |= CKPT_PROCESS_MDWE_NO_INHERIT;
	return flags;
}

static int ckpt_add_process(struct ckpt_records *records, const struct ckpt_target *target)
{
	struct pid_namespace *ns = records->session->pids;
	struct ckpt_process process = {};
	struct mm_struct *mm = target->mm;
	struct task_struct *task;
	int ret = 0;

	rcu_read_lock();
	task = pid_task(target->pid, PIDTYPE_TGID);
	if (task) {
		process.pid = task_tgid_nr_ns(task, ns);
		process.parent = task_tgid_nr_ns(rcu_dereference(task->real_parent), ns);
		process.group = task_pgrp_nr_ns(task, ns);
		process.session = task_session_nr_ns(task, ns);
		process.threads = task->signal->nr_threads;
		process.exit_signal = task->exit_signal;
		process.start_time = task->start_boottime;
		process.flags = ckpt_process_flags(task, mm);
		process.memory = ckpt_identity(records->session, mm);
		process.actions = ckpt_identity(records->session, rcu_access_pointer(task->sighand));
		if (READ_ONCE(task->signal->flags) & SIGNAL_STOP_STOPPED)
			process.stop_signal = task->jobctl & JOBCTL_STOP_SIGMASK;
	} else {
		ret = -ESRCH;
	}
	rcu_read_unlock();
	if (ret)
		return ret;
	process.dumpable = get_dumpable(mm);
	process.membarrier = ckpt_membarrier(mm);
#ifdef CONFIG_X86_INTEL_MEMORY_PROTECTION_KEYS
	process.protection_keys = mm->context.pkey_allocation_map;
	/* The kernel's own, for memory that can be executed only. */
	if (mm->context.execute_only_pkey > 0)
		process.protection_keys &= ~(1U << mm->context.execute_only_pkey);
#endif
	spin_lock(&mm->arg_lock);
	process.start_code = mm->start_code;
	process.end_code = mm->end_code;
	process.start_data = mm->start_data;
	process.end_data = mm->end_data;
	process.start_brk = mm->start_brk;
	process.brk = mm->brk;
	process.start_stack = mm->start_stack;
	process.arg_start = mm->arg_start;
	process.arg_end = mm->arg_end;
	process.env_start = mm->env_start;
	process.env_end = mm->env_end;
	spin_unlock(&mm->arg_lock);
	ckpt_add(records, &process.record, CKPT_RECORD_PROCESS, sizeof(process), NULL, 0);
	return 0;
}

u64 ckpt_vma_flags(unsigned long flags)
{
	static const struct {
		unsigned long kernel;
		u64 ours;
	} bits[] = {
		{ VM_READ, CKPT_VMA_READ }, { VM_WRITE, CKPT_VMA_WRITE }, { VM_EXEC, CKPT_VMA_EXEC },
		{ VM_SHARED, CKPT_VMA_SHARED }, { VM_GROWSDOWN, CKPT_VMA_GROWSDOWN }, { VM_LOCKED, CKPT_VMA_LOCKED },
		{ VM_HUGETLB, CKPT_VMA_HUGETLB }, { VM_IO | VM_PFNMAP, CKPT_VMA_DEVICE },
		{ VM_DONTCOPY, CKPT_VMA_DONTFORK }, { VM_WIPEONFORK, CKPT_VMA_WIPEONFORK },
		{ VM_DONTDUMP, CKPT_VMA_DONTDUMP },
	};
	u64 ours = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(bits); i++)
		if (flags & bits[i].kernel)
			ours |= bits[i].ours;
	return ours;
}

/* As the caller's root directory sees it; empty where it has no path. */
static const char *ckpt_path(struct ckpt_records *records, const struct path *path, u32 *length)
{
	const char *name = d_path(path, records->path, PATH_MAX);

	if (IS_ERR(name))
		name = "";
	*length = strlen(name);
	return name;
}

static int ckpt_add_areas(struct ckpt_records *records, struct mm_struct *mm)
{
	unsigned long address = 0;
	struct vm_area_struct *area;

	if (mmap_read_lock_killable(mm))
		return -EINTR;
	while ((area = find_vma(mm, address))) {
		const char *path = NULL;
		struct ckpt_vma record = {
			.start = area->vm_start,
			.end = area->vm_end,
			.flags = ckpt_vma_flags(area->vm_flags),
			.offset = (u64)area->vm_pgoff << PAGE_SHIFT,
		};

		if (area->vm_file) {
			const struct inode *inode = ckpt_file_inode(area->vm_file);

			record.inode = inode->i_ino;
			record.major = MAJOR(inode->i_sb->s_dev);
			record.minor = MINOR(inode->i_sb->s_dev);
			path = ckpt_path(records, ckpt_file_path(area->vm_file), &record.path);
		}
		ckpt_add(records, &record.record, CKPT_RECORD_VMA, sizeof(record), path, record.path);
		address = area->vm_end;
	}
	mmap_read_unlock(mm);
	return 0;
}

/*
 * Whether an eventfd is a semaphore: a read of one takes one, of a counter all.
 * Nobody else reads it meanwhile, since all stand; what was taken is given back.
 */
static u32 ckpt_file_state(struct file *file)
{
#ifdef CKPT_HAS_SEMAPHORES
	struct eventfd_ctx *counter = eventfd_ctx_fileget(file);
	u64 first, second, last;

	if (IS_ERR(counter))
		return 0;
	first = ckpt_eventfd_take(counter);
	if (first > 1) {
		eventfd_signal(counter, first);
		last = 0;
	} else {
		/* Nothing, or one of one, or one of more. */
		second = first ? ckpt_eventfd_take(counter) : 0;
		eventfd_signal(counter, 2);
		last = 1;
		if (!second) {
			last = ckpt_eventfd_take(counter);
			/* A semaphore has one left now, a counter nothing. */
			if (last == 1 && !first)
				ckpt_eventfd_take(counter);
			else if (last == 2 && first)
				eventfd_signal(counter, 1);
		}
	}
	eventfd_ctx_put(counter);
	return last == 1 ? CKPT_FILE_SEMAPHORE : 0;
#else
	return 0;
#endif
}

/* As f_getown_ex() of fs/fcntl.c answers. */
static void ckpt_add_owner(const struct ckpt_session *session, struct file *file, struct ckpt_file *record)
{
	struct user_namespace *users = session->file->f_cred->user_ns;
	struct fown_struct *owner = ckpt_file_owner(file);
	unsigned long flags;

	if (!owner)
		return;
	read_lock_irqsave(&owner->lock, flags);
	rcu_read_lock();
	if (pid_task(owner->pid, owner->pid_type))
		record->owner = pid_nr_ns(owner->pid, session->pids);
	rcu_read_unlock();
	record->owner_type = owner->pid_type == PIDTYPE_PID ? F_OWNER_TID :
			     owner->pid_type == PIDTYPE_PGID ? F_OWNER_PGRP : F_OWNER_PID;
	record->owner_signal = owner->signum;
	record->owner_uid = from_kuid(users, owner->uid);
	record->owner_euid = from_kuid(users, owner->euid);
	read_unlock_irqrestore(&owner->lock, flags);
}

/* Under the spinlock of the table of descriptors. */
static int ckpt_add_file(const void *data, struct file *file, unsigned int fd)
{
	struct ckpt_records *records = (struct ckpt_records *)data;
	const struct inode *inode = file_inode(file);
	struct ckpt_file record = {
		.fd = fd,
		.close_on_exec = ckpt_close_on_exec(fd, records->files),
		.flags = file->f_flags,
		.mode = inode->i_mode,
		.position = file->f_pos,
		.inode = inode->i_ino,
		.major = MAJOR(inode->i_sb->s_dev),
		.minor = MINOR(inode->i_sb->s_dev),
		.state = records->semaphores ? ckpt_file_state(file) : 0,
		.description = ckpt_identity(records->session, file),
	};
	const char *path = ckpt_path(records, &file->f_path, &record.path);

	ckpt_add_owner(records->session, file, &record);
	ckpt_add(records, &record.record, CKPT_RECORD_FILE, sizeof(record), path, record.path);
	return 0;
}

static void ckpt_add_files(struct ckpt_records *records, struct task_struct *task)
{
	/* Holds the table: it is let go under this lock. */
	task_lock(task);
	records->files = task->files;
	if (records->files)
		iterate_fd(records->files, 0, ckpt_add_file, records);
	records->files = NULL;
	task_unlock(task);
}

static int ckpt_collect(struct ckpt_records *records, const struct ckpt_target *target)
{
	int ret;

	records->used = 0;
	ret = ckpt_add_process(records, target);
	if (!ret)
		ret = ckpt_with_signals(target->task, ckpt_read_process_signals, records);
	if (!ret)
		ret = ckpt_add_threads(records, target);
	if (!ret)
		ret = ckpt_add_areas(records, target->mm);
	if (!ret)
		ckpt_add_files(records, target->task);
	return ret;
}

long ckpt_state(struct ckpt_session *session, struct ckpt_state *call)
{
	struct ckpt_records records = { .session = session, .room = 256 << 10 };
	struct ckpt_target target;
	long ret;

	if (call->flags & ~CKPT_STATE_SEMAPHORES || call->reserved)
		return -EINVAL;
	if (call->flags & CKPT_STATE_SEMAPHORES && !ckpt_has_semaphores())
		return -EOPNOTSUPP;
	records.semaphores = call->flags & CKPT_STATE_SEMAPHORES;
	ret = ckpt_target_find(session, call->pid, &target);
	if (ret)
		return ret;
	ret = ckpt_must_stand(session, target.pid);
	if (ret)
		goto out_target;
	ret = -ENOMEM;
	records.path = kmalloc(PATH_MAX, GFP_KERNEL_ACCOUNT);
	if (!records.path)
		goto out_target;
	for (;;) {
		ret = -ENOMEM;
		records.data = kvmalloc(records.room, GFP_KERNEL_ACCOUNT);
		if (!records.data)
			break;
		ret = ckpt_collect(&records, &target);
		if (ret || records.used <= records.room)
			break;
		kvfree(records.data);
		records.data = NULL;
		records.room = records.used + records.used / 4;
		ret = -E2BIG;
		if (records.room > CKPT_BUFFER_MAX)
			break;
	}
	/* Of one moment: it has not run while it was looked at. */
	if (!ret)
		ret = ckpt_must_stand(session, target.pid);
	if (!ret && records.used > call->length)
		ret = -ENOSPC;
	if (!ret && copy_to_user(u64_to_user_ptr(call->buffer), records.data, records.used))
		ret = -EFAULT;
	if (!ret || ret == -ENOSPC)
		call->length = records.used;
	kvfree(records.data);
	kfree(records.path);
out_target:
	ckpt_target_close(&target);
	return ret;
}
