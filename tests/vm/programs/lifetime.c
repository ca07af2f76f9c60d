// SPDX-License-Identifier: GPL-2.0
/* The module and its sessions come and go. */
#include "kit.h"

static int unload(void)
{
	return syscall(SYS_delete_module, "ckpt", O_NONBLOCK);
}

static void load(void)
{
	int file = open("/run/vm/ckpt.ko", O_RDONLY | O_CLOEXEC);

	CHECK(file >= 0);
	CHECK(!syscall(SYS_finit_module, file, "", 0));
	close(file);
}

TEST(the_module_stays_while_a_session_is_open_in_every_phase)
{
	pid_t pid = victim(idle, NULL);
	int session = open_session();
	struct ckpt_freeze call;
	static uint8_t buffer[1000];

	/* Built in, it stays whatever is open. */
	if (access("/run/vm/ckpt.ko", F_OK) != 0)
		return;
	FAILS(EWOULDBLOCK, unload());
	CHECK(!attach(session, pid, CKPT_ATTACH_FOLLOW));
	FAILS(EWOULDBLOCK, unload());
	CHECK(!freeze(session, &call, 20000));
	FAILS(EWOULDBLOCK, unload());
	CHECK(!choose(session, pid, CKPT_SELECT_READ, 0));
	CHECK(read(session, buffer, sizeof(buffer)) == sizeof(buffer));
	FAILS(EWOULDBLOCK, unload());
	CHECK(!thaw(session));
	FAILS(EWOULDBLOCK, unload());
	CHECK(!close(session));
	/* And goes when none is; twice, so that nothing of the first time is in the way. */
	for (int i = 0; i < 2; i++) {
		CHECK(!unload());
		FAILS(ENOENT, open("/dev/ckpt", O_RDWR));
		load();
	}
	session = open_session();
	CHECK(!attach(session, pid, 0));
}

static void *calls(void *session)
{
	struct ckpt_freeze frozen;

	for (int i = 0; i < 200; i++) {
		struct ckpt_thaw thawed = { .size = sizeof(thawed) };
		struct ckpt_version version = { .size = sizeof(version) };

		freeze(*(int *)session, &frozen, 20000);
		ioctl(*(int *)session, CKPT_VERSION, &version);
		ioctl(*(int *)session, CKPT_THAW, &thawed);
	}
	return NULL;
}

TEST(a_session_is_closed_under_the_calls_of_other_threads)
{
	volatile uint64_t *counter = shared_memory(PAGE);
	pid_t pid = victim(count_up, (void *)counter);

	for (int round = 0; round < 10; round++) {
		int session = open_session();
		pthread_t threads[3];

		CHECK(!attach(session, pid, 0));
		for (int i = 0; i < 3; i++)
			CHECK(!pthread_create(&threads[i], NULL, calls, &session));
		for (int i = 0; i < 20; i++)
			sched_yield();
		close(session);
		for (int i = 0; i < 3; i++)
			CHECK(!pthread_join(threads[i], NULL));
		await_progress(counter);
	}
}

TEST(a_session_lives_as_long_as_its_last_descriptor)
{
	pid_t pid = victim(idle, NULL);
	int session = frozen_session(pid), copy = dup(session);
	char path[300];

	snprintf(path, sizeof(path), "%s/cgroup.freeze", group);
	CHECK(!close(session));
	CHECK(read_number(path, "") == 1);
	CHECK(!close(copy));
	CHECK(read_number(path, "") == 0);
}
