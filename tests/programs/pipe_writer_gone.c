/*
 * Subject: a pipe whose writers are gone: the reader gets the bytes that are left, then the end of file.
 */
#include "state.h"

int main(int argc, char **argv)
{
	unsigned char data[20000], got[20001];
	int full[2], empty[2];

	state_begin(argc, argv);
	MUST(pipe(full));
	MUST(pipe(empty));
	pid_t child = state_fork();

	if (child == 0) {
		state_fill(data, sizeof(data), 6);
		EQUAL(write(full[1], data, sizeof(data)), sizeof(data));
		_exit(0);
	}
	close(full[1]);
	close(empty[1]);
	state_join(child);
	state_ready();
	state_wait_go();
	size_t done = 0;
	ssize_t n;

	while ((n = read(full[0], got + done, sizeof(got) - done)) > 0)
		done += n;
	EQUAL(n, 0);
	EQUAL(done, sizeof(data));
	CHECK_FILL(got, sizeof(data), 6);
	EQUAL(read(empty[0], got, 1), 0);
	state_pass();
}
