/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ms-lag: how long it takes from a change of an interface to the transaction that answers it.
 *
 * Runs in the namespace of the node, takes one command a line and answers each with one line.
 *
 * - join BRIDGE PORT ADDRESS: gives the port to the bridge; waits for an element with the address.
 * - leave BRIDGE PORT ADDRESS: takes it away; waits for the end of such an element.
 * - address NETNS INTERFACE ADDRESS: sets the IPv4 address of an interface elsewhere; waits as join
 *   does.
 * - drain: how many transactions there were, and how many changed something in our tables (to claim
 *   a table that stands as it is changes nothing).
 *
 * The first three answer with two numbers of microseconds: from before the system call to the
 * arrival of the end of the transaction, and to the end of the system call; or with "timeout". The
 * rest is other people's: this program only listens to what nf_tables announces.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TABLE "microseg"
#define TABLE_ATTRIBUTE 1 /* the table's name, in every message of nf_tables */
#define PATIENCE_MS 20000
#define BUFFER_SIZE 65536
#define RECEIVE_BUFFER (64 * 1024 * 1024)

struct transactions {
	unsigned int n_all, n_ours;
	bool ours; /* the one whose end has not come yet */
	bool hit;
};

struct wanted {
	uint16_t type; /* NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM */
	uint8_t addr[16];
	size_t addr_size;
};

static struct mnl_socket *nft;
static int ctl;

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void die(const char *what)
{
	perror(what);
	exit(2);
}

static bool is_ours(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;

	mnl_attr_for_each(
		attr, nlh,
		sizeof(struct nfgenmsg)) if (mnl_attr_get_type(attr) ==
					     TABLE_ATTRIBUTE) return strcmp(mnl_attr_get_str(attr),
									    TABLE) == 0;
	return false;
}

/* Returns true when a transaction ended that did what is wanted. */
static bool read_message(struct transactions *seen, const struct nlmsghdr *nlh,
			 const struct wanted *wanted)
{
	uint16_t type = NFNL_MSG_TYPE(nlh->nlmsg_type);

	if (type == NFT_MSG_NEWGEN) {
		bool hit = seen->hit;

		seen->n_all++;
		seen->n_ours += seen->ours;
		seen->ours = seen->hit = false;
		return hit;
	}
	if (!is_ours(nlh))
		return false;
	seen->ours |= type != NFT_MSG_NEWTABLE;
	if (wanted && type == wanted->type &&
	    memmem(nlh, nlh->nlmsg_len, wanted->addr, wanted->addr_size))
		seen->hit = true;
	return false;
}

/* Reads what has come. Returns true when what is wanted is among it. */
static bool read_messages(struct transactions *seen, const struct wanted *wanted)
{
	char buffer[BUFFER_SIZE];
	bool hit = false;
	ssize_t size;

	while (!hit &&
	       (size = recv(mnl_socket_get_fd(nft), buffer, sizeof(buffer), MSG_DONTWAIT)) > 0) {
		int left = (int)size;

		for (const struct nlmsghdr *nlh = (const struct nlmsghdr *)buffer;
		     mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
			hit |= read_message(seen, nlh, wanted);
	}
	if (!hit && errno == ENOBUFS)
		die("announcements of nf_tables were lost");
	return hit;
}

/* @called_us: when the system call was over. */
static void answer(uint64_t since_us, uint64_t called_us, const struct wanted *wanted)
{
	struct pollfd poll_fd = {.fd = mnl_socket_get_fd(nft), .events = POLLIN};
	struct transactions seen = {0};

	while (now_us() - since_us < PATIENCE_MS * 1000) {
		if (poll(&poll_fd, 1, PATIENCE_MS / 10) > 0 && read_messages(&seen, wanted)) {
			printf("%llu %llu\n", (unsigned long long)(now_us() - since_us),
			       (unsigned long long)(called_us - since_us));
			return;
		}
	}
	puts("timeout");
}

static void set_wanted(struct wanted *wanted, uint16_t type, const char *text)
{
	wanted->type = type;
	wanted->addr_size = strchr(text, ':') ? 16 : 4;
	if (inet_pton(wanted->addr_size == 16 ? AF_INET6 : AF_INET, text, wanted->addr) != 1)
		die(text);
}

static void change_port(const char *bridge, const char *port, const char *addr, bool join)
{
	struct ifreq request = {.ifr_ifindex = (int)if_nametoindex(port)};
	struct wanted wanted;

	set_wanted(&wanted, join ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM, addr);
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", bridge);
	uint64_t since_us = now_us();
	if (ioctl(ctl, join ? SIOCBRADDIF : SIOCBRDELIF, &request) < 0)
		die(port);
	answer(since_us, now_us(), &wanted);
}

/* A socket of another namespace: it stays there when we are back. */
static int socket_in(const char *netns)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC);

	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		die(netns);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || setns(home, CLONE_NEWNET) < 0)
		die("socket");
	close(home);
	close(there);
	return fd;
}

static void change_address(const char *netns, const char *interface, const char *addr)
{
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct ifreq request = {0};
	struct wanted wanted;
	int fd = socket_in(netns);

	set_wanted(&wanted, NFT_MSG_NEWSETELEM, addr);
	memcpy(&in.sin_addr, wanted.addr, sizeof(in.sin_addr));
	memcpy(&request.ifr_addr, &in, sizeof(in));
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
	uint64_t since_us = now_us();
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		die(interface);
	answer(since_us, now_us(), &wanted);
	close(fd);
}

static void run_command(const char *line)
{
	char verb[16], a[128] = "", b[128] = "", c[128] = "";
	struct transactions seen = {0};

	if (sscanf(line, "%15s %127s %127s %127s", verb, a, b, c) < 1)
		return;
	read_messages(&seen, NULL); /* what is old is no answer to what comes */
	if (strcmp(verb, "join") == 0 || strcmp(verb, "leave") == 0)
		change_port(a, b, c, strcmp(verb, "join") == 0);
	else if (strcmp(verb, "address") == 0)
		change_address(a, b, c);
	else if (strcmp(verb, "drain") == 0)
		printf("%u %u\n", seen.n_all, seen.n_ours);
	else
		puts("unknown command");
}

int main(void)
{
	int size = RECEIVE_BUFFER;
	char line[512];

	setvbuf(stdout, NULL, _IOLBF, 0);
	ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	nft = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (ctl < 0 || !nft ||
	    mnl_socket_bind(nft, 1u << (NFNLGRP_NFTABLES - 1), MNL_SOCKET_AUTOPID) < 0)
		die("ms-lag");
	setsockopt(mnl_socket_get_fd(nft), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	while (fgets(line, sizeof(line), stdin))
		run_command(line);
	mnl_socket_close(nft);
	return 0;
}
