/*
 * Subject: an open directory that has been read half: reading goes on where it was; the first half comes
 * again only after a rewind. Also openat through the descriptor.
 */
#include "state.h"
#include <dirent.h>

#define COUNT 300

static char seen[COUNT];

struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

/* Reads some entries; returns how many of the numbered files were among them, 0 at the end. */
static int some(int fd, size_t size)
{
	char buffer[4096];
	int got, numbered = 0, any = 0, number;

	while (!numbered && (got = (int)MUST(syscall(SYS_getdents64, fd, buffer, size))) > 0) {
		any = 1;
		for (int at = 0; at < got;) {
			struct entry *entry = (struct entry *)(buffer + at);

			if (sscanf(entry->name, "entry-%d", &number) == 1) {
				CHECK(!seen[number], "%s comes twice", entry->name);
				seen[number] = 1;
				numbered++;
			}
			at += entry->length;
		}
	}
	return any ? numbered : 0;
}

int main(int argc, char **argv)
{
	char name[64];
	int count = 0, got;

	state_begin(argc, argv);
	MUST(mkdir(state_path("directory"), 0755));
	for (int i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "directory/entry-%d", i);
		close(MUST(open(state_path(name), O_CREAT | O_WRONLY, 0600)));
	}
	int fd = MUST(open(state_path("directory"), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	while (count < COUNT / 2)
		count += some(fd, 512);
	off_t position = MUST(lseek(fd, 0, SEEK_CUR));

	state_ready();
	state_wait_go();
	EQUAL(lseek(fd, 0, SEEK_CUR), position);
	EQUAL(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(fd, F_GETFL) & O_DIRECTORY, "O_DIRECTORY is lost");
	while ((got = some(fd, 512)) > 0)
		count += got;
	EQUAL(count, COUNT);
	memset(seen, 0, sizeof(seen));
	MUST(lseek(fd, 0, SEEK_SET));
	for (count = 0; (got = some(fd, 4096)) > 0;)
		count += got;
	EQUAL(count, COUNT);
	close(MUST(openat(fd, "entry-7", O_RDONLY)));
	state_pass();
}
