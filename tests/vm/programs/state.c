// SPDX-License-Identifier: GPL-2.0
/* What STATE says, held against what procfs and the process itself say. */
#include "kit.h"
#include <elf.h>
#include <pthread.h>
#include <sched.h>
#include <sys/time.h>
#include <sys/user.h>

static uint8_t buffer[4 << 20];

static size_t take_state(int session, pid_t pid)
{
	struct ckpt_state call = { .size = sizeof(call), .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

	CHECK(!ioctl(session, CKPT_STATE, &call));
	CHECK(call.length <= sizeof(buffer));
	return call.length;
}

/* The next record of a type, or NULL. */
static const void *next_record(size_t length, const void *after, uint32_t type)
{
	const uint8_t *at = after ? (const uint8_t *)after + ((const struct ckpt_record *)after)->size : buffer;

	while (at < buffer + length) {
		const struct ckpt_record *record = (const struct ckpt_record *)at;

		CHECK(record->size >= sizeof(*record) && record->size % 8 == 0);
		CHECK(at + record->size <= buffer + length);
		if (record->type == type)
			return record;
		at += record->size;
	}
	return NULL;
}

/* Stands with numbers in its registers that nobody else would put there. */
static void with_known_registers(void *unused)
{
	(void)unused;
	ready();
	asm volatile("mov $0x1122334455667788, %%r12\n\t"
		     "mov $0x0102030405060708, %%r13\n\t"
		     "movq %%r12, %%xmm5\n\t"
		     "movq %%r13, %%xmm6\n\t"
		     "punpcklqdq %%xmm6, %%xmm5\n\t"
		     "1: pause\n\t"
		     "jmp 1b" ::: "r12", "r13", "xmm5", "xmm6");
}

static bool has_known_registers(size_t length)
{
	const struct ckpt_regset *set = NULL;
	bool general = false, extended = false;

	while ((set = next_record(length, set, CKPT_RECORD_REGSET))) {
		const uint8_t *data = (const uint8_t *)(set + 1);

		if (set->note == NT_PRSTATUS) {
			const struct user_regs_struct *registers = (const void *)data;

			CHECK(set->length == sizeof(*registers));
			general = registers->r12 == 0x1122334455667788 && registers->r13 == 0x0102030405060708;
			CHECK(registers->fs_base);
		} else if (set->note == NT_X86_XSTATE) {
			const struct user_fpregs_struct *registers = (const void *)data;
			const uint64_t *xmm = (const uint64_t *)registers->xmm_space;

			extended = xmm[10] == 0x1122334455667788 && xmm[11] == 0x0102030405060708;
		}
	}
	return general && extended;
}

TEST(registers_are_those_of_the_thread)
{
	pid_t pid = victim(with_known_registers, NULL);
	int session = open_session();
	struct ckpt_freeze call;
	bool found = false;

	CHECK(!attach(session, pid, 0));
	/* It says that it is ready before it has loaded them: it may be on its way. */
	while (!found) {
		CHECK(!freeze(session, &call, 20000));
		found = has_known_registers(take_state(session, pid));
		CHECK(!thaw(session));
	}
}

static void handler(int signal)
{
	(void)signal;
}

static uint8_t alternate[64 << 10];

static void with_known_state(void *unused)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK };
	struct itimerval timer = { .it_value = { 1000, 0 }, .it_interval = { 7, 500000 } };
	stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
	sigset_t set;

	(void)unused;
	sigaddset(&action.sa_mask, SIGHUP);
	CHECK(!sigaction(SIGUSR2, &action, NULL));
	CHECK(!sigaltstack(&stack, NULL));
	CHECK(!setitimer(ITIMER_REAL, &timer, NULL));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	CHECK(!sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(!sigqueue(getpid(), SIGRTMIN + 3, (union sigval){ .sival_int = 4711 }));
	CHECK(!raise(SIGUSR1));
	CHECK(open("/etc/passwd", O_RDONLY) == 100 || dup2(open("/etc/passwd", O_RDONLY), 100) == 100);
	CHECK(lseek(100, 5, SEEK_SET) == 5);
	CHECK(!fcntl(100, F_SETFD, FD_CLOEXEC));
	prctl(PR_SET_NAME, "known-state");
	idle(NULL);
}

TEST(signals_actions_timers_and_names_are_told)
{
	pid_t pid = victim(with_known_state, NULL);
	int session = frozen_session(pid);
	size_t length = take_state(session, pid);
	const struct ckpt_process *process = next_record(length, NULL, CKPT_RECORD_PROCESS);
	const struct ckpt_thread *thread = next_record(length, NULL, CKPT_RECORD_THREAD);
	const struct ckpt_timer *timer = next_record(length, NULL, CKPT_RECORD_TIMER);
	const struct ckpt_action *action = NULL;
	const struct ckpt_signal *signal = NULL;
	int actions = 0, shared = 0, own = 0;

	CHECK(process && process->pid == pid && process->parent == getpid() && process->threads == 1);
	CHECK(process->group == getpgid(pid) && process->session == getsid(pid) && process->exit_signal == SIGCHLD);
	CHECK(process->brk >= process->start_brk && process->start_stack && process->arg_end >= process->arg_start);
	CHECK(thread && thread->tid == pid && !strcmp(thread->comm, "known-state"));
	CHECK(thread->blocked == (1UL << (SIGUSR1 - 1) | 1UL << (SIGRTMIN + 3 - 1)));
	CHECK(thread->altstack_base == (uintptr_t)alternate && thread->altstack_size == sizeof(alternate));
	CHECK(thread->uid == 0 && thread->effective != 0);
	CHECK(!next_record(length, thread, CKPT_RECORD_THREAD));
	CHECK(timer && timer->value > 900 * 1000000000UL && timer->value <= 1000 * 1000000000UL && timer->interval == 7500000000UL);
	while ((action = next_record(length, action, CKPT_RECORD_ACTION))) {
		CHECK(action->signal == (uint32_t)++actions);
		if (action->signal == SIGUSR2) {
			CHECK(action->handler == (uintptr_t)handler && action->mask == 1UL << (SIGHUP - 1));
			CHECK((action->flags & (SA_RESTART | SA_ONSTACK)) == (SA_RESTART | SA_ONSTACK) && action->restorer);
		}
	}
	CHECK(actions == 64);
	while ((signal = next_record(length, signal, CKPT_RECORD_SIGNAL))) {
		const siginfo_t *info = (const void *)signal->siginfo;

		if (signal->shared) {
			CHECK(info->si_signo == SIGRTMIN + 3 && info->si_code == SI_QUEUE && info->si_value.sival_int == 4711);
			shared++;
		} else {
			CHECK(info->si_signo == SIGUSR1 && info->si_code == SI_TKILL);
			own++;
		}
	}
	CHECK(shared == 1 && own == 1);
}

TEST(areas_are_those_of_proc_maps)
{
	pid_t pid = victim(with_known_state, NULL);
	int session = frozen_session(pid);
	size_t length = take_state(session, pid);
	const struct ckpt_vma *area = NULL;
	char path[64], line[4400];
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	CHECK(maps != NULL);
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end, offset, inode;
		unsigned int major, minor;
		char rights[5], name[4096] = "";

		CHECK(sscanf(line, "%lx-%lx %4s %lx %x:%x %lu %4095[^\n]", &start, &end, rights, &offset, &major, &minor, &inode, name) >= 7);
		if (!strcmp(name, "[vsyscall]"))
			continue;
		area = next_record(length, area, CKPT_RECORD_VMA);
		CHECK(area != NULL);
		CHECK(area->start == start && area->end == end);
		if (inode)
			CHECK(area->offset == offset && area->inode == inode && area->major == major && area->minor == minor);
		CHECK(!!(area->flags & CKPT_VMA_READ) == (rights[0] == 'r') && !!(area->flags & CKPT_VMA_WRITE) == (rights[1] == 'w'));
		CHECK(!!(area->flags & CKPT_VMA_EXEC) == (rights[2] == 'x') && !!(area->flags & CKPT_VMA_SHARED) == (rights[3] == 's'));
		if (name[0] == '/' && !strstr(name, " (deleted)"))
			CHECK(area->path == strlen(name) && !memcmp(area + 1, name, area->path));
	}
	CHECK(!next_record(length, area, CKPT_RECORD_VMA));
	fclose(maps);
}

TEST(descriptors_are_those_of_proc_fd)
{
	pid_t pid = victim(with_known_state, NULL);
	int session = frozen_session(pid);
	size_t length = take_state(session, pid);
	const struct ckpt_file *file = NULL;
	bool known = false;

	while ((file = next_record(length, file, CKPT_RECORD_FILE))) {
		char path[64], target[4096];
		ssize_t size;
		struct stat status;

		snprintf(path, sizeof(path), "/proc/%d/fd/%u", pid, file->fd);
		size = readlink(path, target, sizeof(target));
		CHECK(size >= 0);
		CHECK(!stat(path, &status));
		CHECK((uint64_t)size == file->path && !memcmp(file + 1, target, size));
		CHECK(file->mode == status.st_mode);
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%u", pid, file->fd);
		CHECK((uint64_t)read_number(path, "pos:") == file->position);
		if (file->fd == 100) {
			CHECK(file->close_on_exec == 1 && file->position == 5 && (file->flags & O_ACCMODE) == O_RDONLY);
			known = true;
		}
	}
	CHECK(known);
}

/* Descriptors 100 and 101 are one open file description, 102 is another of the same file; what signals are sent about is set of 100 and 103. */
static void with_owners(void *unused)
{
	struct f_owner_ex process = { F_OWNER_PID, getpid() }, group = { F_OWNER_PGRP, getpgrp() };
	int ends[2];

	(void)unused;
	CHECK(!pipe(ends));
	CHECK(dup2(ends[0], 100) == 100 && dup2(ends[0], 101) == 101 && dup2(open("/proc/self/fd/100", O_RDONLY), 102) == 102 && dup2(ends[1], 103) == 103);
	CHECK(!fcntl(100, F_SETOWN_EX, &process) && !fcntl(100, F_SETSIG, SIGUSR2) && !fcntl(100, F_SETFL, O_ASYNC));
	CHECK(!setresuid(1, 2, 0) && !fcntl(103, F_SETOWN_EX, &group) && !setresuid(0, 0, 0));
	idle(NULL);
}

static const struct ckpt_file *file_of(size_t length, uint32_t fd)
{
	const struct ckpt_file *file = NULL;

	while ((file = next_record(length, file, CKPT_RECORD_FILE)))
		if (file->fd == fd)
			return file;
	test_failed(__FILE__, __LINE__, "there is no such descriptor");
}

TEST(who_gets_signals_about_a_file_and_which_descriptors_are_one_file_is_told)
{
	pid_t pid = victim(with_owners, NULL);
	int session = frozen_session(pid);
	size_t length = take_state(session, pid);
	const struct ckpt_file *own = file_of(length, 100), *same = file_of(length, 101), *other = file_of(length, 102), *write = file_of(length, 103);

	CHECK(own->owner_type == F_OWNER_PID && own->owner == pid && own->owner_signal == SIGUSR2 && !own->owner_uid && !own->owner_euid && own->flags & O_ASYNC);
	CHECK(own->description == same->description && own->owner == same->owner);
	CHECK(own->description != other->description && !other->owner && !other->owner_signal && other->inode == own->inode);
	CHECK(write->owner_type == F_OWNER_PGRP && write->owner == getpgid(pid) && !write->owner_signal && write->owner_uid == 1 && write->owner_euid == 2);
}

static void *wait_beside(void *unused)
{
	(void)unused;
	for (;;)
		pause();
	return NULL;
}

static void *wait_apart(void *apart)
{
	CHECK(!unshare(CLONE_FILES | CLONE_FS));
	*(volatile int *)apart = 1;
	for (;;)
		pause();
	return NULL;
}

static void with_an_unshared_thread(void *unused)
{
	static volatile int apart;
	pthread_t thread;

	(void)unused;
	CHECK(!pthread_create(&thread, NULL, wait_beside, NULL) && !pthread_create(&thread, NULL, wait_apart, (void *)&apart));
	while (!apart)
		usleep(1000);
	idle(NULL);
}

TEST(what_threads_and_processes_share_is_told)
{
	pid_t pid = victim(with_an_unshared_thread, NULL), stranger = victim(idle, NULL);
	int session = frozen_session(pid);
	size_t length = take_state(session, pid);
	const struct ckpt_process *process = next_record(length, NULL, CKPT_RECORD_PROCESS);
	const struct ckpt_thread *first = next_record(length, NULL, CKPT_RECORD_THREAD), *second = next_record(length, first, CKPT_RECORD_THREAD),
				 *third = next_record(length, second, CKPT_RECORD_THREAD);
	struct ckpt_process own = *process;
	uint64_t files = first->files;

	CHECK(second->files == files && second->directories == first->directories);
	CHECK(third->files != files && third->directories != first->directories);
	/* The same again, and no address. */
	length = take_state(session, pid);
	process = next_record(length, NULL, CKPT_RECORD_PROCESS);
	first = next_record(length, NULL, CKPT_RECORD_THREAD);
	CHECK(process->memory == own.memory && process->actions == own.actions && first->files == files && files >> 47 != 0x1ffff);
	/* Another session names it otherwise. */
	close(session);
	session = frozen_session(stranger);
	length = take_state(session, stranger);
	process = next_record(length, NULL, CKPT_RECORD_PROCESS);
	CHECK(process->memory != own.memory && process->actions != own.actions);
}

TEST(too_little_room_is_told_and_nothing_is_written)
{
	pid_t pid = victim(idle, NULL);
	int session = frozen_session(pid);
	size_t length = take_state(session, pid);
	struct ckpt_state call = { .size = sizeof(call), .pid = pid, .buffer = (uintptr_t)buffer, .length = length - 1 };

	memset(buffer, 0x55, sizeof(buffer));
	FAILS(ENOSPC, ioctl(session, CKPT_STATE, &call));
	CHECK(call.length == length);
	for (size_t i = 0; i < length; i++)
		CHECK(buffer[i] == 0x55);
	CHECK(!ioctl(session, CKPT_STATE, &call));
}

static void many_areas(void *unused)
{
	(void)unused;
	/* Alternate rights keep the areas apart; names make the records long. */
	for (int i = 0; i < 6000; i++)
		CHECK(mmap(NULL, PAGE, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
	idle(NULL);
}

TEST(a_large_state_comes_in_one_call)
{
	pid_t pid = victim(many_areas, NULL);
	int session = frozen_session(pid), areas = 0;
	size_t length = take_state(session, pid);
	const struct ckpt_vma *area = NULL;

	CHECK(length > 256 << 10);
	while ((area = next_record(length, area, CKPT_RECORD_VMA)))
		areas++;
	CHECK(areas > 6000);
}

static void with_200_threads(void *unused)
{
	pthread_t thread;
	pthread_attr_t small;

	CHECK(!pthread_attr_init(&small) && !pthread_attr_setstacksize(&small, 64 << 10));
	for (int i = 0; i < 199; i++)
		CHECK(!pthread_create(&thread, &small, wait_for_ever, unused));
	ready();
	wait_for_ever(NULL);
}

/* SIGKILL ends who is frozen: threads lose their stacks, and the registers on them, between one look and the next. */
TEST(who_is_killed_while_it_is_looked_at_is_said_to_be_gone_or_not_to_stand)
{
	for (int i = 0; i < 12; i++) {
		pid_t pid = victim(with_200_threads, NULL), killer;
		int session = frozen_session(pid), looked = 0;
		struct ckpt_state state = { .size = sizeof(state), .pid = pid, .buffer = (uintptr_t)buffer, .length = sizeof(buffer) };

		killer = fork();
		CHECK(killer >= 0);
		if (!killer) {
			usleep(1000 + i * 3000);
			_exit(kill(pid, SIGKILL) != 0);
		}
		do {
			state.length = sizeof(buffer);
			looked++;
		} while (!ioctl(session, CKPT_STATE, &state) || errno == EBUSY);
		CHECK(errno == ESRCH);
		CHECK(looked > 1);
		CHECK(waitpid(killer, NULL, 0) == killer);
		CHECK(waitpid(pid, NULL, 0) == pid);
		close(session);
	}
}
