/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ms-flood ADDRESS PORT [PER-SECOND]: sends datagrams, and opens TCP connections, to one place,
 * until its standard input ends.
 *
 * One attempt at a connection goes with every batch of datagrams; nobody waits for it. Errors are
 * what it expects. At the end it prints {"udp": datagrams sent, "tcp": connections started}; what
 * arrives of them is for the other end to count.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 32

struct place {
	struct sockaddr_storage addr;
	socklen_t size;
};

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int parse_place(const char *text, const char *port, struct place *place)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&place->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&place->addr;
	uint16_t port_be = htons((uint16_t)atoi(port));

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = port_be;
		place->size = sizeof(*in);
		return 0;
	}
	if (inet_pton(AF_INET6, text, &in6->sin6_addr) != 1)
		return -EINVAL;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = port_be;
	place->size = sizeof(*in6);
	return 0;
}

/* Waits no longer than @wait_us. Returns true when standard input has ended. */
static bool told_to_stop(uint64_t wait_us)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	struct timespec wait = {.tv_sec = (time_t)(wait_us / 1000000),
				.tv_nsec = (long)(wait_us % 1000000) * 1000};

	return ppoll(&input, 1, &wait, NULL) > 0;
}

static unsigned int send_batch(int fd, struct place *place)
{
	static char payload[] = "flood";
	struct iovec bytes = {payload, sizeof(payload) - 1};
	struct mmsghdr messages[BATCH] = {0};

	for (int i = 0; i < BATCH; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_name = &place->addr,
						      .msg_namelen = place->size,
						      .msg_iov = &bytes,
						      .msg_iovlen = 1};
	int n = sendmmsg(fd, messages, BATCH, MSG_DONTWAIT);
	return n > 0 ? (unsigned int)n : 0;
}

static unsigned int start_connection(const struct place *place)
{
	int fd = socket(place->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return 0;
	bool started = connect(fd, (const struct sockaddr *)&place->addr, place->size) == 0 ||
		       errno == EINPROGRESS;
	close(fd);
	return started;
}

static void flood(struct place *place, int fd, uint64_t per_second)
{
	uint64_t since_us = now_us(), n_udp = 0, n_tcp = 0, ahead_us;

	do {
		n_udp += send_batch(fd, place);
		n_tcp += start_connection(place);
		uint64_t due_us = per_second ? (n_udp + n_tcp) * 1000000 / per_second : 0;
		uint64_t spent_us = now_us() - since_us;
		ahead_us = due_us > spent_us ? due_us - spent_us : 0;
	} while (!told_to_stop(ahead_us));
	printf("{\"udp\": %llu, \"tcp\": %llu}\n", (unsigned long long)n_udp,
	       (unsigned long long)n_tcp);
}

int main(int argc, char **argv)
{
	struct place place = {0};

	if (argc < 3 || argc > 4 || parse_place(argv[1], argv[2], &place) < 0) {
		fputs("usage: ms-flood ADDRESS PORT [PER-SECOND]\n", stderr);
		return 2;
	}
	int fd = socket(place.addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		perror("ms-flood");
		return 2;
	}
	flood(&place, fd, argc > 3 ? strtoull(argv[3], NULL, 10) : 0);
	close(fd);
	return 0;
}
