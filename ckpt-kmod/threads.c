// SPDX-License-Identifier: GPL-2.0
/* The threads of a process, what it does on signals and which wait for it; as records of CKPT_STATE. */
#include <linux/cred.h>
#include <linux/elf.h>
#include <linux/kallsyms.h>
#include <linux/mempolicy.h>
#include <linux/mmap_lock.h>
#include <linux/prctl.h>
#include <linux/ptrace.h>
#include <linux/regset.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/seccomp.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>
#include <asm/syscall.h>

#include "compat.h"
#include "records.h"

static u64 ckpt_mask(const sigset_t *set)
{
	BUILD_BUG_ON(sizeof(*set) != sizeof(u64));
	return set->sig[0];
}

/*
 * Reads signal actions and queues under their lock; -ESRCH when the thread has
 * ended. The kernel's own helper for that lock is not exported.
 */
int ckpt_with_signals(struct task_struct *task, void (*read)(struct task_struct *task, void *data), void *data)
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

/* Stands in a report to its tracer of something else than a signal: a system call, an event, a stop. */
static bool ckpt_is_notified(const struct task_struct *task)
{
	const kernel_siginfo_t *info = task->last_siginfo;

	/* As ptrace_notify() and the stops of job control make it: no signal has such a code. */
	return task->ptrace && info &&
	       (info->si_code >= 0x100 || (info->si_signo == SIGTRAP && (info->si_code & ~0x80) == SIGTRAP));
}

/* A signal that it has taken from its queue, and that its tracer may drop, change or let pass. */
static void ckpt_add_traced(struct ckpt_records *records, const struct task_struct *task)
{
	struct ckpt_signal record = { .shared = CKPT_SIGNAL_TRACER };
	siginfo_t info;

	if (!task->ptrace || !task->last_siginfo || ckpt_is_notified(task))
		return;
	copy_siginfo_to_external(&info, task->last_siginfo);
	memcpy(record.siginfo, &info, sizeof(info));
	ckpt_add(records, &record.record, CKPT_RECORD_SIGNAL, sizeof(record), NULL, 0);
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

void ckpt_read_process_signals(struct task_struct *task, void *data)
{
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
	ckpt_add_pending(records, &task->signal->shared_pending, CKPT_SIGNAL_PROCESS);
	ckpt_add_timers(records, task);
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

	/* As PTRACE_GETSIGMASK has it. */
	read->record->blocked = ckpt_mask(test_tsk_restore_sigmask(task) ? &task->saved_sigmask : &task->blocked);
	if (task->ptrace)
		read->record->flags |= CKPT_THREAD_TRACED;
	if (ckpt_is_notified(task) && task->ptrace_message == PTRACE_EVENTMSG_SYSCALL_ENTRY &&
	    task->last_siginfo->si_code < 0x100)
		read->record->flags |= CKPT_THREAD_ENTRY;
	ckpt_add(read->records, &read->record->record, CKPT_RECORD_THREAD, sizeof(*read->record), NULL, 0);
	ckpt_add_traced(read->records, task);
	ckpt_add_pending(read->records, &task->pending, CKPT_SIGNAL_THREAD);
}

/* What prctl(2) and other calls tell a thread of itself. */
static void ckpt_read_attributes(struct ckpt_thread *record, const struct task_struct *task)
{
	if (task_thread_info((struct task_struct *)task)->syscall_work & SYSCALL_WORK_SYSCALL_USER_DISPATCH)
		record->flags |= CKPT_THREAD_DISPATCH;
	if ((task->flags & (PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE)) == (PF_MEMALLOC_NOIO | PF_LOCAL_THROTTLE))
		record->flags |= CKPT_THREAD_IO_FLUSHER;
	record->machine_check = !(task->flags & PF_MCE_PROCESS) ? PR_MCE_KILL_DEFAULT :
				task->flags & PF_MCE_EARLY ? PR_MCE_KILL_EARLY : PR_MCE_KILL_LATE;
	record->parent_death_signal = task->pdeath_signal;
	record->timer_slack = task->timer_slack_ns;
#ifdef CONFIG_RSEQ
	record->rseq = (u64)(uintptr_t)task->rseq;
	record->rseq_size = task->rseq ? ckpt_rseq_size(task) : 0;
	record->rseq_signature = task->rseq ? task->rseq_sig : 0;
#endif
}

/* As get_mempolicy(2) without flags. */
static void ckpt_read_policy(struct ckpt_thread *record, struct task_struct *task)
{
#ifdef CONFIG_NUMA
	const struct mempolicy *policy;
	const nodemask_t *nodes = NULL;

	BUILD_BUG_ON(sizeof(*nodes) > sizeof(record->policy_nodes));
	task_lock(task);
	policy = task->mempolicy;
	if (policy) {
		record->policy = policy->mode | (policy->flags & MPOL_MODE_FLAGS);
		if (policy->flags & (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES))
			nodes = &policy->w.user_nodemask;
		else if (policy->mode != MPOL_LOCAL && policy->mode != MPOL_DEFAULT)
			nodes = &policy->nodes;
		if (nodes)
			memcpy(record->policy_nodes, nodes, sizeof(*nodes));
	}
	task_unlock(task);
#endif
}

/*
 * The wait that a thread goes on with by restart_syscall(2): the kernel keeps
 * its end, and which wait it is by the function that continues it, the name of
 * which is the only thing about it that can be had.
 */
static void ckpt_read_restart(struct ckpt_thread *record, struct task_struct *task, char *name)
{
	const struct restart_block *restart = &task->restart_block;
	const struct pt_regs *registers = task_pt_regs(task);

	if (registers->ax != -ERESTART_RESTARTBLOCK || syscall_get_nr(task, task_pt_regs(task)) < 0)
		return;
	BUILD_BUG_ON(KSYM_SYMBOL_LEN > PATH_MAX);
	sprint_symbol_no_offset(name, (unsigned long)restart->fn);
	record->restart = CKPT_RESTART_OTHER;
	record->restart_expires = ~0ULL;
	if (strstr(name, "hrtimer_nanosleep_restart")) {
		record->restart = CKPT_RESTART_SLEEP;
		record->restart_clock = restart->nanosleep.clockid;
		record->restart_expires = restart->nanosleep.expires;
	} else if (strstr(name, "futex_wait_restart")) {
		record->restart = CKPT_RESTART_FUTEX;
		record->restart_clock = CLOCK_MONOTONIC;
		record->restart_expires = restart->futex.time;
	} else if (strstr(name, "do_restart_poll")) {
		record->restart = CKPT_RESTART_POLL;
		record->restart_clock = CLOCK_MONOTONIC;
		if (restart->poll.has_timeout)
			record->restart_expires = restart->poll.tv_sec * NSEC_PER_SEC + restart->poll.tv_nsec;
	}
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
		.securebits = cred->securebits,
		.altstack_base = task->sas_ss_sp,
		.altstack_size = task->sas_ss_size,
		.altstack_flags = task->sas_ss_flags,
		.clear_child_tid = (u64)(uintptr_t)task->clear_child_tid,
		.robust_list = (u64)(uintptr_t)task->robust_list,
	};
	struct ckpt_thread_read read = { .records = records, .record = &record };
	int ret;

	put_cred(cred);
	record.files = ckpt_identity(records->session, READ_ONCE(task->files));
	record.directories = ckpt_identity(records->session, READ_ONCE(task->fs));
	memcpy(record.comm, task->comm, sizeof(record.comm) - 1);
	ckpt_read_attributes(&record, task);
	ckpt_read_policy(&record, task);
	ckpt_read_restart(&record, task, records->path);
	ret = ckpt_with_signals(task, ckpt_read_thread, &read);
	return ret ?: ckpt_add_regsets(records, task);
}

/*
 * Takes references to all threads at once: what is asked of each may sleep.
 * SIGKILL ends who is frozen, and who ends loses the stack that its registers
 * are on; but not while its memory is locked, for which exit_mm() waits.
 */
int ckpt_add_threads(struct ckpt_records *records, const struct ckpt_target *target)
{
	struct task_struct *leader, *thread, **threads;
	u32 room = READ_ONCE(target->task->signal->nr_threads) + 8, count = 0, i;
	bool locked;
	int ret = 0;

	threads = kvmalloc_array(room, sizeof(*threads), GFP_KERNEL_ACCOUNT);
	if (!threads)
		return -ENOMEM;
	rcu_read_lock();
	leader = pid_task(target->pid, PIDTYPE_TGID);
	if (leader) {
		for_each_thread(leader, thread) {
			/* Those of io_uring (iou-wrk) never see user space: the kernel makes them where they are needed. */
			if (thread->exit_state || thread->flags & PF_IO_WORKER)
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
	locked = !ret && !mmap_write_lock_killable(target->mm);
	if (!ret && !locked)
		ret = -EINTR;
	for (i = 0; i < count && !ret; i++)
		ret = READ_ONCE(threads[i]->mm) == target->mm ? ckpt_add_thread(records, threads[i]) : -EBUSY;
	if (locked)
		mmap_write_unlock(target->mm);
	for (i = 0; i < count; i++)
		put_task_struct(threads[i]);
	kvfree(threads);
	return ret;
}

/* The registers with which a thread that stands goes on; what the kernel does not allow is refused by its own check. */
long ckpt_set_registers(struct ckpt_session *session, const struct ckpt_registers *call)
{
	const struct user_regset_view *view;
	struct task_struct *thread = NULL;
	const struct user_regset *set;
	struct ckpt_target target;
	unsigned int i;
	void *data;
	long ret;

	if (call->flags || call->note != NT_PRSTATUS || call->tid <= 0)
		return -EINVAL;
	ret = ckpt_target_find(session, call->pid, &target);
	if (ret)
		return ret;
	rcu_read_lock();
	thread = pid_task(find_pid_ns(call->tid, session->pids), PIDTYPE_PID);
	if (thread && task_tgid(thread) == target.pid)
		get_task_struct(thread);
	else
		thread = NULL;
	rcu_read_unlock();
	ret = -ESRCH;
	if (!thread)
		goto out_target;
	view = task_user_regset_view(thread);
	for (i = 0; i < view->n && view->regsets[i].core_note_type != NT_PRSTATUS; i++)
		;
	ret = -EINVAL;
	if (i == view->n || call->length != view->regsets[i].n * view->regsets[i].size)
		goto out_thread;
	set = &view->regsets[i];
	data = memdup_user(u64_to_user_ptr(call->buffer), call->length);
	ret = PTR_ERR_OR_ZERO(data);
	if (ret)
		goto out_thread;
	ret = -EINTR;
	if (mmap_write_lock_killable(target.mm))
		goto out_data;
	ret = ckpt_must_stand(session, target.pid);
	if (!ret)
		ret = READ_ONCE(thread->mm) == target.mm ? set->set(thread, set, 0, call->length, data, NULL) : -ESRCH;
	mmap_write_unlock(target.mm);
out_data:
	kfree(data);
out_thread:
	put_task_struct(thread);
out_target:
	ckpt_target_close(&target);
	return ret;
}
