/*
 * Subject: settings of prctl: dumpable, no_new_privs, transparent huge pages off, machine-check policy,
 * timestamp counter access; and oom_score_adj. Each case one of them alone.
 * Cases: dumpable no_new_privs thp_disable mce_kill oom_score_adj keep_caps coredump_filter
 */
#include "state.h"

#define IS(name) (strcmp(state_case, name) == 0)

static void put(const char *path, const char *text)
{
	int fd = MUST(open(path, O_WRONLY | O_CLOEXEC));

	MUST(write(fd, text, strlen(text)));
	close(fd);
}

int main(int argc, char **argv)
{
	char text[64];

	state_begin(argc, argv);
	if (IS("dumpable"))
		MUST(prctl(PR_SET_DUMPABLE, 0));
	else if (IS("no_new_privs"))
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	else if (IS("thp_disable"))
		MUST(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	else if (IS("mce_kill"))
		MUST(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0));
	else if (IS("oom_score_adj"))
		put("/proc/self/oom_score_adj", "321");
	else if (IS("keep_caps"))
		MUST(prctl(PR_SET_KEEPCAPS, 1));
	else if (IS("coredump_filter"))
		put("/proc/self/coredump_filter", "0x5b");
	else
		state_fail("no such case");
	state_ready();
	state_wait_go();
	EQUAL(prctl(PR_GET_DUMPABLE), IS("dumpable") ? 0 : 1);
	EQUAL(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), IS("no_new_privs"));
	EQUAL(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), IS("thp_disable"));
	EQUAL(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), IS("mce_kill") ? PR_MCE_KILL_EARLY : PR_MCE_KILL_DEFAULT);
	EQUAL(prctl(PR_GET_KEEPCAPS), IS("keep_caps"));
	state_read("/proc/self/oom_score_adj", text, sizeof(text));
	if (IS("oom_score_adj"))
		EQUAL(atoi(text), 321);
	state_read("/proc/self/coredump_filter", text, sizeof(text));
	if (IS("coredump_filter"))
		EQUAL(strtol(text, NULL, 16), 0x5b);
	state_pass();
}
