/*
 * Subject: the host name and domain name that the application sees, and the rest of uname.
 */
#include "state.h"
#include <sys/utsname.h>

int main(int argc, char **argv)
{
	struct utsname before, after;

	state_begin(argc, argv);
	MUST(uname(&before));
	state_ready();
	state_wait_go();
	MUST(uname(&after));
	CHECK(strcmp(before.nodename, after.nodename) == 0, "the host is %s, was %s", after.nodename, before.nodename);
	CHECK(strcmp(before.domainname, after.domainname) == 0, "the domain is %s, was %s", after.domainname, before.domainname);
	CHECK(strcmp(before.machine, after.machine) == 0, "the machine is %s", after.machine);
	state_pass();
}
