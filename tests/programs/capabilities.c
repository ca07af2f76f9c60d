/*
 * Subject: capability sets (permitted, effective, inheritable, bounding, ambient) and securebits.
 */
#include "state.h"
#include <linux/capability.h>
#include <linux/securebits.h>

static void look(char sets[5][64])
{
	static const char *names[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"};

	for (int i = 0; i < 5; i++)
		state_field("/proc/self/status", names[i], sets[i], 64);
}

int main(int argc, char **argv)
{
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2];
	char before[5][64], after[5][64];

	state_begin(argc, argv);
	MUST(syscall(SYS_capget, &header, data));
	if (!(data[0].effective & (1u << CAP_SETPCAP)))
		state_skip("needs CAP_SETPCAP");
	MUST(prctl(PR_CAPBSET_DROP, CAP_SYS_TIME, 0, 0, 0));
	MUST(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0));
	MUST(prctl(PR_SET_SECUREBITS, SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
	data[0].inheritable = (1u << CAP_NET_RAW) | (1u << CAP_KILL);
	data[0].permitted &= ~(1u << CAP_SYS_MODULE);
	data[0].effective &= ~((1u << CAP_SYS_MODULE) | (1u << CAP_CHOWN));
	MUST(syscall(SYS_capset, &header, data));
	MUST(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
	look(before);
	state_ready();
	state_wait_go();
	look(after);
	for (int i = 0; i < 5; i++)
		CHECK(strcmp(before[i], after[i]) == 0, "set %d is %s, was %s", i, after[i], before[i]);
	EQUAL(prctl(PR_GET_SECUREBITS), SECBIT_KEEP_CAPS | SECBIT_NO_SETUID_FIXUP);
	state_pass();
}
