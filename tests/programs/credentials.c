/*
 * Subject: real, effective, saved and file system user and group ids, supplementary groups, in a process
 * that gave up its rights and in one that kept a way back; one thread has ids of its own.
 */
#include "state.h"
#include <grp.h>
#include <sys/fsuid.h>

static const gid_t groups[] = {4, 24, 27, 1000, 54321};

static void expect(uid_t r, uid_t e, uid_t s, gid_t rg, gid_t eg, gid_t sg)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid, have[32];

	MUST(getresuid(&ruid, &euid, &suid));
	MUST(getresgid(&rgid, &egid, &sgid));
	EQUAL(ruid, r);
	EQUAL(euid, e);
	EQUAL(suid, s);
	EQUAL(rgid, rg);
	EQUAL(egid, eg);
	EQUAL(sgid, sg);
	EQUAL(getgroups(32, have), 5);
	for (int i = 0; i < 5; i++)
		EQUAL(have[i], groups[i]);
}

static int thread_ready;

static void *body(void *argument)
{
	(void)argument;
	/* By system call: the ids of this thread only. */
	MUST(syscall(SYS_setresuid, 7, 8, 0));
	__atomic_store_n(&thread_ready, 1, __ATOMIC_SEQ_CST);
	while (!state_going)
		state_pause();
	uid_t r, e, s;

	MUST(getresuid(&r, &e, &s));
	EQUAL(r, 7);
	EQUAL(e, 8);
	EQUAL(s, 0);
	return NULL;
}

int main(int argc, char **argv)
{
	char value[128];

	state_begin(argc, argv);
	if (geteuid() != 0)
		state_skip("needs root");
	MUST(chmod(state_dir, 0777));
	MUST(setgroups(5, groups));
	pid_t plain = state_fork();

	if (plain == 0) {
		MUST(setresgid(1001, 1001, 1001));
		MUST(setresuid(1000, 1000, 1000));
		MUST(prctl(PR_SET_DUMPABLE, 1));
		state_mark("plain");
		state_wait_go();
		expect(1000, 1000, 1000, 1001, 1001, 1001);
		EQUAL(setuid(0), -1);
		CHECK(strstr(state_field("/proc/self/status", "CapPrm", value, sizeof(value)), "0000000000000000"), "rights: %s", value);
		CHECK(strcmp(state_field("/proc/self/status", "Uid", value, sizeof(value)), "1000\t1000\t1000\t1000") == 0, "%s", value);
		_exit(0);
	}
	pid_t back = state_fork();

	if (back == 0) {
		MUST(setresgid(2000, 2001, 2002));
		MUST(setresuid(1500, 1501, 0));
		setfsuid(1501);
		state_mark("back");
		state_wait_go();
		expect(1500, 1501, 0, 2000, 2001, 2002);
		EQUAL(setfsuid(-1), 1501);
		EQUAL(setfsgid(-1), 2001);
		MUST(setresuid(-1, 0, -1));
		EQUAL(geteuid(), 0);
		_exit(0);
	}
	pid_t threaded = state_fork();

	if (threaded == 0) {
		pthread_t thread = state_thread(body, NULL);

		UNTIL(__atomic_load_n(&thread_ready, __ATOMIC_SEQ_CST));
		state_mark("threaded");
		state_wait_go();
		expect(0, 0, 0, 0, 0, 0);
		pthread_join(thread, NULL);
		_exit(0);
	}
	state_await("plain");
	state_await("back");
	state_await("threaded");
	state_ready();
	state_wait_go();
	expect(0, 0, 0, 0, 0, 0);
	state_join(plain);
	state_join(back);
	state_join(threaded);
	state_pass();
}
