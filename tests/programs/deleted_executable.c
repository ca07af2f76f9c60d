/*
 * Subject: a program whose file was removed while it runs, as by an upgrade.
 */
#include "state.h"

int main(int argc, char **argv)
{
	char copy[PATH_MAX], bytes[65536], link[PATH_MAX] = "";
	ssize_t n;

	if (argc < 3) {
		char *arguments[] = {argv[0], argv[1], "copy", NULL};

		snprintf(copy, sizeof(copy), "%s/copy", argv[1]);
		int from = open("/proc/self/exe", O_RDONLY), to = open(copy, O_CREAT | O_WRONLY, 0755);

		while ((n = read(from, bytes, sizeof(bytes))) > 0)
			write(to, bytes, n);
		close(from);
		close(to);
		execv(copy, arguments);
		return 2;
	}
	state_begin(argc, argv);
	MUST(unlink(state_path("copy")));
	state_ready();
	state_wait_go();
	MUST(readlink("/proc/self/exe", link, sizeof(link) - 1));
	CHECK(strstr(link, " (deleted)"), "it is %s", link);
	int own = MUST(open("/proc/self/exe", O_RDONLY));

	EQUAL(read(own, bytes, 4), 4);
	CHECK(memcmp(bytes, "\177ELF", 4) == 0, "another file");
	state_pass();
}
