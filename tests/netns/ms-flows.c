/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ms-flows: flows that stay open, and connections that do not, with an account of every one.
 *
 *	ms-flows serve PORT			echoes TCP and UDP, both families
 *	ms-flows hold ADDRESS PORT TCP UDP	keeps so many flows going: a message, its echo, a
 *pause, the next one
 *	ms-flows connect ADDRESS PORT		opens a connection, wants its echo, closes it, and
 *again
 *
 * They run until standard input ends. A line on it asks for the account so far, one line of JSON,
 *which also comes at the end. A datagram counts as lost when its echo has not come within a second;
 *a TCP flow is broken by any error or end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_US 20000
#define LOST_US 1000000
#define CONNECT_PAUSE_US 500
#define CONNECT_SECONDS 5
#define MAX_FLOWS 4096
#define EVENTS 64

struct place {
	struct sockaddr_storage addr;
	socklen_t size;
};

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void parse_place(const char *text, const char *port, struct place *place)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&place->addr;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&place->addr;
	uint16_t port_be = htons((uint16_t)atoi(port));

	if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = port_be;
		place->size = sizeof(*in);
	} else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = port_be;
		place->size = sizeof(*in6);
	} else {
		die(text);
	}
}

/* What standard input says: 0 nothing, 1 a line, -1 its end. */
static int asked(void)
{
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char line[256];

	if (poll(&input, 1, 0) <= 0)
		return 0;
	return read(STDIN_FILENO, line, sizeof(line)) > 0 ? 1 : -1;
}

/* ---- the server ---- */

static int listen_on(uint16_t port, int type)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int one = 1, size = 4 * 1024 * 1024;
	int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 ||
	    (type == SOCK_STREAM && listen(fd, 4096) < 0))
		die("bind");
	return fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl");
}

static void echo_datagrams(int fd)
{
	struct sockaddr_storage from;
	socklen_t from_size = sizeof(from);
	char bytes[2048];
	ssize_t size;

	while ((size = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from,
				&from_size)) >= 0)
		(void)!sendto(fd, bytes, (size_t)size, 0, (struct sockaddr *)&from, from_size);
}

static void echo_stream(int fd)
{
	char bytes[4096];
	ssize_t size = read(fd, bytes, sizeof(bytes));

	if (size > 0 && send(fd, bytes, (size_t)size, MSG_NOSIGNAL) == size)
		return;
	if (size < 0 && errno == EAGAIN)
		return;
	close(fd);
}

static void accept_all(int epoll, int fd)
{
	int one = 1, conn;

	while ((conn = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		setsockopt(conn, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		watch(epoll, conn);
	}
}

static void serve(uint16_t port)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int stream = listen_on(port, SOCK_STREAM), datagram = listen_on(port, SOCK_DGRAM);
	struct epoll_event events[EVENTS];

	watch(epoll, stream);
	watch(epoll, datagram);
	puts("{\"ready\": true}");
	while (asked() >= 0) {
		int n = epoll_wait(epoll, events, EVENTS, 100);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == stream)
				accept_all(epoll, stream);
			else if (fd == datagram)
				echo_datagrams(datagram);
			else
				echo_stream(fd);
		}
	}
}

/* ---- flows that stay ---- */

struct flow {
	int fd; /* -1: broken */
	bool tcp, waiting;
	uint64_t seq;
	uint64_t at_us; /* when it was sent, or when the next one is */
};

struct account {
	unsigned int n_flows, n_broken;
	uint64_t n_echoed, n_lost, worst_us;
};

static unsigned int count_stalled(const struct flow *flows, const struct account *account)
{
	uint64_t now = now_us();
	unsigned int n = 0;

	for (unsigned int i = 0; i < account->n_flows; i++)
		n += flows[i].fd >= 0 && flows[i].tcp && flows[i].waiting &&
		     now - flows[i].at_us > LOST_US;
	return n;
}

static void print_account(const struct flow *flows, const struct account *account)
{
	printf("{\"flows\": %u, \"broken\": %u, \"stalled\": %u, \"echoed\": %llu, \"lost\": %llu, \"worst_ms\": "
	       "%.1f}\n",
	       account->n_flows, account->n_broken, count_stalled(flows, account),
	       (unsigned long long)account->n_echoed, (unsigned long long)account->n_lost,
	       (double)account->worst_us / 1000);
}

static void open_flow(struct flow *flow, const struct place *place, bool tcp, uint64_t at_us)
{
	int one = 1;

	*flow = (struct flow){.tcp = tcp, .at_us = at_us};
	flow->fd =
		socket(place->addr.ss_family, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (flow->fd < 0 ||
	    connect(flow->fd, (const struct sockaddr *)&place->addr, place->size) < 0)
		die("connect");
	if (tcp)
		setsockopt(flow->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void break_flow(struct flow *flow, struct account *account)
{
	fprintf(stderr, "a TCP flow broke after %llu echoes: %s\n", (unsigned long long)flow->seq,
		strerror(errno));
	close(flow->fd);
	flow->fd = -1;
	account->n_broken++;
}

static void send_next(struct flow *flow, struct account *account, uint64_t now)
{
	flow->seq++;
	flow->waiting = true;
	flow->at_us = now;
	ssize_t size = send(flow->fd, &flow->seq, sizeof(flow->seq), MSG_NOSIGNAL | MSG_DONTWAIT);
	/* An ICMP error for a datagram is one that its lost echo tells of. */
	if (size != sizeof(flow->seq) && flow->tcp)
		break_flow(flow, account);
}

static void read_echo(struct flow *flow, struct account *account, uint64_t now)
{
	uint64_t seq;
	ssize_t size = recv(flow->fd, &seq, sizeof(seq), MSG_DONTWAIT);

	if (size < 0 && (errno == EAGAIN || !flow->tcp))
		return;
	if (size != sizeof(seq) && flow->tcp) {
		errno = size == 0 ? 0 : errno;
		break_flow(flow, account);
		return;
	}
	if (seq != flow->seq || !flow->waiting)
		return; /* the late echo of a datagram that counts as lost */
	if (now - flow->at_us > account->worst_us)
		account->worst_us = now - flow->at_us;
	account->n_echoed++;
	flow->waiting = false;
	flow->at_us = now + PAUSE_US;
}

static void attend(struct flow *flow, struct account *account, uint64_t now)
{
	if (flow->fd < 0)
		return;
	if (flow->waiting)
		read_echo(flow, account, now);
	if (flow->fd >= 0 && !flow->waiting && now >= flow->at_us)
		send_next(flow, account, now);
	if (flow->waiting && !flow->tcp && now - flow->at_us > LOST_US) {
		account->n_lost++;
		flow->waiting = false;
		flow->at_us = now;
	}
}

static void hold(const struct place *place, unsigned int n_tcp, unsigned int n_udp)
{
	static struct flow flows[MAX_FLOWS];
	struct account account = {.n_flows = n_tcp + n_udp};
	int order = 0;

	if (account.n_flows > MAX_FLOWS)
		die("too many flows");
	for (unsigned int i = 0; i < account.n_flows; i++)
		open_flow(&flows[i], place, i < n_tcp, now_us() + i * PAUSE_US / account.n_flows);
	puts("{\"ready\": true}");
	while ((order = asked()) >= 0) {
		if (order > 0)
			print_account(flows, &account);
		for (unsigned int i = 0; i < account.n_flows; i++)
			attend(&flows[i], &account, now_us());
		usleep(2000);
	}
	print_account(flows, &account);
}

/* ---- connections that do not ---- */

struct tally {
	uint64_t n_ok, n_failed, worst_us;
	char first_error[128];
};

static void print_tally(const struct tally *tally)
{
	printf("{\"ok\": %llu, \"failed\": %llu, \"worst_ms\": %.1f, \"first_error\": \"%s\"}\n",
	       (unsigned long long)tally->n_ok, (unsigned long long)tally->n_failed,
	       (double)tally->worst_us / 1000, tally->first_error);
}

/* Returns what failed, or NULL. */
static const char *one_connection(const struct place *place)
{
	struct timeval limit = {.tv_sec = CONNECT_SECONDS};
	const char *failed = NULL;
	uint64_t payload = now_us(), echo = 0;
	int fd = socket(place->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return "socket";
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (const struct sockaddr *)&place->addr, place->size) < 0)
		failed = "connect";
	else if (send(fd, &payload, sizeof(payload), MSG_NOSIGNAL) != sizeof(payload))
		failed = "send";
	else if (recv(fd, &echo, sizeof(echo), MSG_WAITALL) != sizeof(echo) || echo != payload)
		failed = "echo";
	int error = errno;
	close(fd);
	errno = error;
	return failed;
}

static void connect_often(const struct place *place)
{
	struct tally tally = {0};
	int order = 0;

	puts("{\"ready\": true}");
	while ((order = asked()) >= 0) {
		uint64_t since_us = now_us();
		const char *failed = one_connection(place);
		uint64_t spent_us = now_us() - since_us;

		tally.n_ok += !failed;
		tally.n_failed += failed != NULL;
		if (failed && !tally.first_error[0])
			snprintf(tally.first_error, sizeof(tally.first_error), "%s: %s", failed,
				 strerror(errno));
		if (spent_us > tally.worst_us)
			tally.worst_us = spent_us;
		if (order > 0)
			print_tally(&tally);
		usleep(CONNECT_PAUSE_US);
	}
	print_tally(&tally);
}

int main(int argc, char **argv)
{
	struct place place = {0};

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "serve") == 0) {
		serve((uint16_t)atoi(argv[2]));
		return 0;
	}
	if (argc == 6 && strcmp(argv[1], "hold") == 0) {
		parse_place(argv[2], argv[3], &place);
		hold(&place, (unsigned int)atoi(argv[4]), (unsigned int)atoi(argv[5]));
		return 0;
	}
	if (argc == 4 && strcmp(argv[1], "connect") == 0) {
		parse_place(argv[2], argv[3], &place);
		connect_often(&place);
		return 0;
	}
	fputs("usage: ms-flows serve PORT | hold ADDRESS PORT TCP UDP | connect ADDRESS PORT\n",
	      stderr);
	return 2;
}
