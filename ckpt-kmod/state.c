// SPDX-License-Identifier: GPL-2.0
/*
 * What makes up a process but its memory, as typed records. The records are
 * put together in kernel memory and copied out in one piece: most of what is
 * read here lies under locks below which nobody may sleep.
 */
#include <linux/cred.h>
#include <linux/elf.h>
#include <linux/hrtimer.h>
#include <linux/regset.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/seccomp.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>

#include "compat.h"
#include "session.h"

/* Counts on past its end: then the caller knows how much room it takes. */
struct ckpt_records {
	u8 *data;
	size_t room;
	size_t used;
	struct ckpt_session *session;
	struct files_struct *files;
	char *path;		/* PATH_MAX */
};

/* Puts size bytes in, and up to two pieces more behind them, padded to a multiple of 8. */
static void ckpt_add(struct ckpt_records *records, struct ckpt_record *record, u32 type, size_t size,
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

static u64 ckpt_mask(const sigset_t *set)
{
	BUILD_BUG_ON(sizeof(*set) != sizeof(u64));
	return set->sig[0];
}

/*
 * Reads signal actions and queues under their lock; -ESRCH when the thread has
 * ended. The kernel's own helper for that lock is not exported.
 */
static int ckpt_with_signals(struct task_struct *task, void (*read)(struct task_struct *task, void *data), void *data)
{
	struct sighand_struct *sighand;
	bool same;

	do {
		rcu_read_lock();
		sighand = rcu_dereference(task->sighand);
		if (!sighand) {
			rcu_read_unlock();
			return -ESRCH;
		}
		spin_lock_irq(&sighand->siglock);
		/* Its memory may have become another process's before the lock was taken. */
		same = sighand == rcu_access_pointer(task->sighand);
		if (same)
			read(task, data);
		spin_unlock_irq(&sighand->siglock);
		rcu_read_unlock();
	} while (!same);
	return 0;
}

static void ckpt_add_pending(struct ckpt_records *records, const struct sigpending *pending, u32 shared)
{
	struct ckpt_signal record;
	u64 without = ckpt_mask(&pending->signal);
	const struct sigqueue *queued;
	siginfo_t info;
	int signal;

	BUILD_BUG_ON(sizeof(info) != sizeof(record.siginfo));
	list_for_each_entry(queued, &pending->list, list) {
		copy_siginfo_to_external(&info, &queued->info);
		record = (struct ckpt_signal){ .shared = shared };
		memcpy(record.siginfo, &info, sizeof(info));
		without &= ~(1ULL << (queued->info.si_signo - 1));
		ckpt_add(records, &record.record, CKPT_RECORD_SIGNAL, sizeof(record), NULL, 0);
	}
	/* Sent when no entry of a queue could be had: nothing is known but the number. */
	for (signal = 1; signal <= 64; signal++) {
		if (!(without & 1ULL << (signal - 1)))
			continue;
		memset(&info, 0, sizeof(info));
		info.si_signo = signal;
		record = (struct ckpt_signal){ .shared = shared };
		memcpy(record.siginfo, &info, sizeof(info));
		ckpt_add(records, &record.record, CKPT_RECORD_SIGNAL, sizeof(record), NULL, 0);
	}
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
	} else {
		ret = -ESRCH;
	}
	rcu_read_unlock();
	if (ret)
		return ret;
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

static void ckpt_read_actions(struct task_struct *task, void *data)
{
	struct ckpt_timer timer = { .which = 0 /* ITIMER_REAL */ };
	struct hrtimer *real = &task->signal->real_timer;
	struct ckpt_records *records = data;
	int i;

	for (i = 0; i < _NSIG; i++) {
		const struct sigaction *action = &rcu_dereference(task->sighand)->action[i].sa;
		struct ckpt_action record = {
			.signal = i + 1,
			.handler = (u64)(uintptr_t)action->sa_handler,
			.flags = action->sa_flags,
			.restorer = (u64)(uintptr_t)action->sa_restorer,
			.mask = ckpt_mask(&action->sa_mask),
		};

		ckpt_add(records, &record.record, CKPT_RECORD_ACTION, sizeof(record), NULL, 0);
	}
	ckpt_add_pending(records, &task->signal->shared_pending, 1);
	if (hrtimer_active(real))
		timer.value = max_t(s64, ktime_to_ns(hrtimer_get_remaining(real)), 1);
	timer.interval = ktime_to_ns(task->signal->it_real_incr);
	ckpt_add(records, &timer.record, CKPT_RECORD_TIMER, sizeof(timer), NULL, 0);
}

static int ckpt_add_regsets(struct ckpt_records *records, struct task_struct *task)
{
	const struct user_regset_view *view = task_user_regset_view(task);
	struct ckpt_regset record;
	unsigned int i;
	void *data;
	int length;

	for (i = 0; i < view->n; i++) {
		const struct user_regset *set = &view->regsets[i];

		if (set->core_note_type != NT_PRSTATUS && set->core_note_type != NT_X86_XSTATE)
			continue;
		if (set->active && set->active(task, set) <= 0)
			continue;
		data = NULL;
		length = regset_get_alloc(task, set, set->n * set->size, &data);
		if (length < 0)
			return length;
		record = (struct ckpt_regset){ .note = set->core_note_type, .length = length };
		ckpt_add(records, &record.record, CKPT_RECORD_REGSET, sizeof(record), data, length);
		kvfree(data);
	}
	return 0;
}

struct ckpt_thread_read {
	struct ckpt_records *records;
	struct ckpt_thread *record;
};

static void ckpt_read_thread(struct task_struct *task, void *data)
{
	struct ckpt_thread_read *read = data;

	read->record->blocked = ckpt_mask(&task->blocked);
	ckpt_add(read->records, &read->record->record, CKPT_RECORD_THREAD, sizeof(*read->record), NULL, 0);
	ckpt_add_pending(read->records, &task->pending, 0);
}

static int ckpt_add_thread(struct ckpt_records *records, struct task_struct *task)
{
	struct user_namespace *users = records->session->file->f_cred->user_ns;
	const struct cred *cred = get_task_cred(task);
	struct ckpt_thread record = {
		.tid = task_pid_nr_ns(task, records->session->pids),
		.own_tid = task_pid_nr_ns(task, task_active_pid_ns(task)),
		.uid = from_kuid_munged(users, cred->uid),
		.euid = from_kuid_munged(users, cred->euid),
		.suid = from_kuid_munged(users, cred->suid),
		.fsuid = from_kuid_munged(users, cred->fsuid),
		.gid = from_kgid_munged(users, cred->gid),
		.egid = from_kgid_munged(users, cred->egid),
		.sgid = from_kgid_munged(users, cred->sgid),
		.fsgid = from_kgid_munged(users, cred->fsgid),
		.no_new_privs = task_no_new_privs(task),
		.seccomp = task->seccomp.mode,
		.permitted = ckpt_capabilities(cred->cap_permitted),
		.effective = ckpt_capabilities(cred->cap_effective),
		.inheritable = ckpt_capabilities(cred->cap_inheritable),
		.bounding = ckpt_capabilities(cred->cap_bset),
		.ambient = ckpt_capabilities(cred->cap_ambient),
		.altstack_base = task->sas_ss_sp,
		.altstack_size = task->sas_ss_size,
		.altstack_flags = task->sas_ss_flags,
		.clear_child_tid = (u64)(uintptr_t)task->clear_child_tid,
		.robust_list = (u64)(uintptr_t)task->robust_list,
	};
	struct ckpt_thread_read read = { .records = records, .record = &record };
	int ret;

	put_cred(cred);
	memcpy(record.comm, task->comm, sizeof(record.comm) - 1);
	ret = ckpt_with_signals(task, ckpt_read_thread, &read);
	return ret ?: ckpt_add_regsets(records, task);
}

/* Takes references to all threads at once: what is asked of each may sleep. */
static int ckpt_add_threads(struct ckpt_records *records, const struct ckpt_target *target)
{
	struct task_struct *leader, *thread, **threads;
	u32 room = READ_ONCE(target->task->signal->nr_threads) + 8, count = 0, i;
	int ret = 0;

	threads = kvmalloc_array(room, sizeof(*threads), GFP_KERNEL_ACCOUNT);
	if (!threads)
		return -ENOMEM;
	rcu_read_lock();
	leader = pid_task(target->pid, PIDTYPE_TGID);
	if (leader) {
		for_each_thread(leader, thread) {
			if (thread->exit_state)
				continue;
			if (count == room) {
				/* It stands: threads do not come any more. */
				ret = -EBUSY;
				break;
			}
			threads[count++] = get_task_struct(thread);
		}
	}
	rcu_read_unlock();
	for (i = 0; i < count; i++) {
		if (!ret)
			ret = ckpt_add_thread(records, threads[i]);
		put_task_struct(threads[i]);
	}
	kvfree(threads);
	return ret;
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
	};
	const char *path = ckpt_path(records, &file->f_path, &record.path);

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
		ret = ckpt_with_signals(target->task, ckpt_read_actions, records);
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

	if (call->flags || call->reserved)
		return -EINVAL;
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
