// SPDX-License-Identifier: GPL-2.0
/*
 * Timers of a process, as records of CKPT_STATE. What is left of one is told as
 * getitimer(2) and timer_gettime(2) would tell the process. They are read under
 * the siglock, which keeps the lists; a timer's own lock comes before that one
 * and is not taken: the process stands, so that nobody sets it, and a timer
 * that fires at this moment is seen as before or as after that.
 */
#include <linux/alarmtimer.h>
#include <linux/hrtimer.h>
#include <linux/posix-timers.h>
#include <linux/sched/cputime.h>
#include <linux/sched/signal.h>

#include "compat.h"
#include "records.h"

/* Processor time of a process or a thread that stands, ns, by what the clock counts. */
static u64 ckpt_thread_time(const struct task_struct *task, unsigned int kind)
{
	switch (kind) {
	case CPUCLOCK_PROF:
		return task->utime + task->stime;
	case CPUCLOCK_VIRT:
		return task->utime;
	default:
		return task->se.sum_exec_runtime;
	}
}

static u64 ckpt_process_time(struct task_struct *task, unsigned int kind)
{
	const struct signal_struct *signal = task->signal;
	const struct task_cputime_atomic *group = &signal->cputimer.cputime_atomic;
	struct task_struct *thread;
	u64 time;

	/* What expires is compared with these while there is anything that may. */
	if (READ_ONCE(signal->posix_cputimers.timers_active)) {
		switch (kind) {
		case CPUCLOCK_PROF:
			return atomic64_read(&group->utime) + atomic64_read(&group->stime);
		case CPUCLOCK_VIRT:
			return atomic64_read(&group->utime);
		default:
			return atomic64_read(&group->sum_exec_runtime);
		}
	}
	time = kind == CPUCLOCK_PROF ? signal->utime + signal->stime :
	       kind == CPUCLOCK_VIRT ? signal->utime : signal->sum_sched_runtime;
	for_each_thread(task, thread)
		time += ckpt_thread_time(thread, kind);
	return time;
}

static u64 ckpt_left(u64 expires, u64 now)
{
	/* About to fire. */
	return expires > now ? expires - now : 1;
}

static void ckpt_add_interval_timers(struct ckpt_records *records, struct task_struct *task)
{
	/* In the order of ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF. */
	static const unsigned int kinds[] = { CPUCLOCK_VIRT, CPUCLOCK_PROF };
	struct hrtimer *real = &task->signal->real_timer;
	struct ckpt_timer record = {};
	int i;

	if (hrtimer_active(real))
		record.value = max_t(s64, ktime_to_ns(hrtimer_get_remaining(real)), 1);
	record.interval = ktime_to_ns(task->signal->it_real_incr);
	ckpt_add(records, &record.record, CKPT_RECORD_TIMER, sizeof(record), NULL, 0);
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		const struct cpu_itimer *timer = &task->signal->it[kinds[i]];

		record = (struct ckpt_timer){ .which = i + 1, .interval = timer->incr };
		if (timer->expires)
			record.value = ckpt_left(timer->expires, ckpt_process_time(task, kinds[i]));
		ckpt_add(records, &record.record, CKPT_RECORD_TIMER, sizeof(record), NULL, 0);
	}
}

static u64 ckpt_cpu_timer_left(struct task_struct *task, const struct k_itimer *timer)
{
	u64 expires = timer->it.cpu.node.expires;
	struct task_struct *thread;
	clockid_t clock = timer->it_clock;
	unsigned int kind = CPUCLOCK_SCHED;
	bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID;

	if (!expires)
		return 0;
	if (clock < 0) {
		kind = CPUCLOCK_WHICH(clock);
		of_thread = CPUCLOCK_PERTHREAD(clock);
	}
	thread = of_thread ? pid_task(timer->it.cpu.pid, PIDTYPE_PID) : task;
	/* Of another process, or of a thread that has ended. */
	if (!thread || thread->signal != task->signal)
		return 0;
	return ckpt_left(expires, of_thread ? ckpt_thread_time(thread, kind) : ckpt_process_time(task, kind));
}

/* Of a clock that goes on by itself. */
static u64 ckpt_timer_left(const struct k_itimer *timer)
{
	bool silent = timer->it_sigev_notify == SIGEV_NONE;
	s64 interval = ktime_to_ns(timer->it_interval);
	s64 left;

	if (!interval && !timer->it_active && !silent)
		return 0;
	if (timer->it_clock == CLOCK_REALTIME_ALARM || timer->it_clock == CLOCK_BOOTTIME_ALARM) {
		if (!timer->it.alarm.alarmtimer.node.expires)
			return 0;
		left = ktime_to_ns(alarm_expires_remaining(&timer->it.alarm.alarmtimer));
	} else {
		const struct hrtimer *real = &timer->it.real.timer;

		if (!hrtimer_get_expires(real))
			return 0;
		left = ktime_to_ns(ktime_sub(hrtimer_get_expires(real), hrtimer_cb_get_time((struct hrtimer *)real)));
	}
	/* Its signal waits, or nobody is told: it is set anew when somebody asks. */
	if (left <= 0 && interval && (silent || (timer->it_requeue_pending & REQUEUE_PENDING)))
		left += (div64_s64(-left, interval) + 1) * interval;
	if (left <= 0)
		return silent ? 0 : 1;
	return left;
}

static void ckpt_add_posix_timer(struct ckpt_records *records, struct task_struct *task, const struct k_itimer *timer)
{
	bool cpu = timer->it_clock < 0 || timer->it_clock == CLOCK_PROCESS_CPUTIME_ID ||
		   timer->it_clock == CLOCK_THREAD_CPUTIME_ID;
	struct ckpt_posix_timer record = {
		.id = timer->it_id,
		.clock = timer->it_clock,
		.interval = ktime_to_ns(timer->it_interval),
	};

	if (timer->it_clock < 0 && (timer->it_clock & CLOCKFD_MASK) == CLOCKFD)
		record.value = 0; /* of a device, the clock of which cannot be asked here */
	else
		record.value = cpu ? ckpt_cpu_timer_left(task, timer) : ckpt_timer_left(timer);
	ckpt_add(records, &record.record, CKPT_RECORD_POSIX_TIMER, sizeof(record), NULL, 0);
}

void ckpt_add_timers(struct ckpt_records *records, struct task_struct *task)
{
	const struct k_itimer *timer;

	lockdep_assert_held(&task->sighand->siglock);
	ckpt_add_interval_timers(records, task);
	ckpt_for_each_timer(timer, task->signal)
		ckpt_add_posix_timer(records, task, timer);
}
