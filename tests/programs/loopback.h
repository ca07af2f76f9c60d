/* For programs about network sockets: a name on the loopback address of the family that the case asks for. */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include "state.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* The name that was bound last, and its length. */
static struct sockaddr_storage address;
static socklen_t length;
static int family;

/* Binds a socket to a port that the kernel chooses, and returns it; skips where there is no such address. */
static int bind_loopback(int fd)
{
	memset(&address, 0, sizeof(address));
	address.ss_family = family;
	if (family == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	length = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	if (bind(fd, (struct sockaddr *)&address, length) != 0)
		state_skip("no loopback address: %s", strerror(errno));
	MUST(getsockname(fd, (struct sockaddr *)&address, &length));
	return fd;
}

#endif
