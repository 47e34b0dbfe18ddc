/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The NFLOG reader against the real kernel, in a network namespace of its own. */
#include "namespace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/nflog.h"
#include "loop/loop.h"
#include "microseg/cleanup.h"

#define GROUP 4711
#define PORT 9
#define MAX_KEPT 64
#define MACS                                                                                       \
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 7 /* to all, from 02:00:00:00:00:07 */

static void nflog_freep(struct ms_nflog **nflog)
{
	ms_nflog_free(*nflog);
}

/* Copies of what was read: records live during the call only. */
struct kept {
	struct ms_packet_record record;
	char prefix[128];
	uint8_t payload[128];
};

struct log {
	size_t n; /* all that came */
	struct kept kept[MAX_KEPT];
};

static void keep(const struct ms_packet_record *record, void *userdata)
{
	struct log *log = userdata;
	struct kept *kept = &log->kept[log->n < MAX_KEPT ? log->n : MAX_KEPT - 1];

	kept->record = *record;
	snprintf(kept->prefix, sizeof(kept->prefix), "%s", record->prefix);
	assert_in_range(record->payload_size, 0, sizeof(kept->payload));
	memcpy(kept->payload, record->payload, record->payload_size);
	kept->record.prefix = kept->prefix;
	kept->record.payload = kept->payload;
	log->n++;
}

/* Reads until @n records came, or nothing did for half a second. */
static void read_records(struct ms_nflog *nflog, size_t n, struct log *log)
{
	struct pollfd waiting = {.fd = ms_nflog_fd(nflog), .events = POLLIN};

	while (log->n < n && poll(&waiting, 1, 500) > 0)
		assert_true(ms_nflog_read(nflog, 1000, keep, log) >= 0);
}

static void send_udp(const char *to, size_t n)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(PORT)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
	bool v4 = inet_pton(AF_INET, to, &in4.sin_addr) == 1;
	const struct sockaddr *addr =
		v4 ? (const struct sockaddr *)&in4 : (const struct sockaddr *)&in6;
	_cleanup_(closep) int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!v4)
		assert_int_equal(inet_pton(AF_INET6, to, &in6.sin6_addr), 1);
	while (n-- > 0) /* unconnected: no error comes back to it */
		assert_int_equal(sendto(fd, "hello", 5, 0, addr, v4 ? sizeof(in4) : sizeof(in6)),
				 5);
}

static void reads_ip_packets_of_both_families(void **state)
{
	static const struct {
		const char *to;
		uint8_t family;
		uint16_t ether_type;
	} rows[] = {
		{"127.0.0.1", NFPROTO_IPV4, ETH_P_IP},
		{"::1", NFPROTO_IPV6, ETH_P_IPV6},
	};
	_cleanup_(nflog_freep) struct ms_nflog *nflog = NULL;

	(void)state;
	assert_int_equal(ms_nflog_open(GROUP, &nflog), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct log log = {0};
		struct ms_packet packet;
		struct ms_addr addr;
		const struct ms_packet_record *record = &log.kept[0].record;

		send_udp(rows[i].to, 1);
		read_records(nflog, 1, &log);
		assert_int_equal(log.n, 1);
		assert_string_equal(record->prefix, "microseg denied no-grant ");
		assert_int_equal(record->family, rows[i].family);
		assert_int_equal(record->ether_type, rows[i].ether_type);
		assert_string_equal(record->indev, "");
		assert_string_equal(record->outdev, "lo");
		assert_string_equal(record->physindev, "");
		assert_string_equal(record->physoutdev, "");
		assert_false(record->has_src_mac);
		assert_in_range(record->time_ms, ms_realtime_ms() - 2000, ms_realtime_ms());
		ms_packet_decode(record, &packet);
		assert_int_equal(ms_addr_parse(rows[i].to, &addr), 0);
		assert_true(packet.has_addrs && ms_addr_equal(&packet.dst, &addr));
		assert_true(packet.has_ports);
		assert_int_equal(packet.dport, PORT);
	}
	assert_int_equal(ms_nflog_lost(nflog), 0);
}

/* Sends one Ethernet frame: @head (both MACs and the ether type), then @text. */
static void send_frame(const char *interface, const uint8_t *head, size_t size, const char *text)
{
	uint8_t frame[128] = {0};
	struct sockaddr_ll addr = {.sll_family = AF_PACKET,
				   .sll_ifindex = (int)if_nametoindex(interface)};
	_cleanup_(closep) int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	size_t total = size + strlen(text);

	memcpy(frame, head, size);
	memcpy(frame + size, text, strlen(text));
	assert_int_equal(sendto(fd, frame, total, 0, (struct sockaddr *)&addr, sizeof(addr)),
			 total);
}

static void reads_bridge_frames_with_port_mac_and_network_payload(void **state)
{
	static const struct {
		uint8_t head[18];
		size_t size;
		uint16_t ether_type;
	} rows[] = {
		{{MACS, 0x88, 0xb5}, 14, 0x88b5},
		{{MACS, 0x08, 0x06}, 14, ETH_P_ARP},
		{{MACS, 0x81, 0x00, 0, 5, 0x08, 0x00}, 18, ETH_P_8021Q},
	};
	static const uint8_t mac[] = {2, 0, 0, 0, 0, 7};
	_cleanup_(nflog_freep) struct ms_nflog *nflog = NULL;

	(void)state;
	assert_int_equal(ms_nflog_open(GROUP, &nflog), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct log log = {0};
		const struct ms_packet_record *record = &log.kept[0].record;

		send_frame("far0", rows[i].head, rows[i].size, "the payload");
		read_records(nflog, 1, &log);
		assert_int_equal(log.n, 1);
		assert_string_equal(record->prefix, "microseg denied ethertype ");
		assert_int_equal(record->family, NFPROTO_BRIDGE);
		assert_int_equal(record->ether_type, rows[i].ether_type);
		assert_string_equal(record->indev, "br0");
		assert_string_equal(record->physindev, "port0");
		assert_true(record->has_src_mac);
		assert_memory_equal(record->src_mac.bytes, mac, sizeof(mac));
		assert_int_equal(record->payload_size, strlen("the payload"));
		assert_memory_equal(record->payload, "the payload", strlen("the payload"));
	}
}

static void forgets_the_name_of_an_interface_within_a_second_or_so(void **state)
{
	static const uint8_t head[] = {MACS, 0x88, 0xb5};
	_cleanup_(nflog_freep) struct ms_nflog *nflog = NULL;
	struct log log = {0};

	(void)state;
	assert_int_equal(ms_nflog_open(GROUP, &nflog), 0);
	send_frame("far0", head, sizeof(head), "before");
	read_records(nflog, 1, &log);
	run("ip link set port0 name port1");
	usleep(1100 * 1000);
	send_frame("far0", head, sizeof(head), "after");
	read_records(nflog, 2, &log);
	run("ip link set port1 name port0");
	assert_int_equal(log.n, 2);
	assert_string_equal(log.kept[0].record.physindev, "port0");
	assert_string_equal(log.kept[1].record.physindev, "port1");
}

static void says_that_another_reader_has_the_group(void **state)
{
	_cleanup_(nflog_freep) struct ms_nflog *first = NULL;
	struct ms_nflog *second = NULL;

	(void)state;
	assert_int_equal(ms_nflog_open(GROUP, &first), 0);
	assert_int_equal(ms_nflog_open(GROUP, &second), -EBUSY);
	assert_null(second);
	first = ms_nflog_free(first);
	assert_int_equal(ms_nflog_open(GROUP, &first), 0);
}

static void says_that_the_capability_is_missing(void **state)
{
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		struct ms_nflog *nflog = NULL;

		if (setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(ms_nflog_open(GROUP, &nflog) == -EPERM ? 0 : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void what_a_small_socket_loses_is_counted_to_the_last_packet(void **state)
{
	const size_t n_sent = 20000;
	_cleanup_(nflog_freep) struct ms_nflog *nflog = NULL;
	struct log log = {0};
	int size = 1;

	(void)state;
	assert_int_equal(ms_nflog_open(GROUP, &nflog), 0);
	assert_int_equal(setsockopt(ms_nflog_fd(nflog), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)),
			 0);
	send_udp("127.0.0.1", n_sent);
	usleep(100 * 1000); /* for the last batch */
	read_records(nflog, n_sent, &log);
	assert_true(log.n < n_sent);
	send_udp("127.0.0.1", 1); /* whose number shows the gap */
	read_records(nflog, log.n + 1, &log);
	assert_true(ms_nflog_lost(nflog) > 0);
	assert_int_equal(log.n + ms_nflog_lost(nflog), n_sent + 1);
}

static void reads_a_burst_whole_and_no_more_at_once_than_asked_and_a_batch(void **state)
{
	const size_t n_sent = 5000, max = 100, batch = 64;
	_cleanup_(nflog_freep) struct ms_nflog *nflog = NULL;
	struct log log = {0};

	(void)state;
	assert_int_equal(ms_nflog_open(GROUP, &nflog), 0);
	send_udp("127.0.0.1", n_sent);
	assert_in_range(ms_nflog_read(nflog, max, keep, &log), max, max + batch);
	read_records(nflog, n_sent, &log);
	assert_int_equal(log.n, n_sent);
	assert_int_equal(ms_nflog_lost(nflog), 0);
	assert_int_equal(ms_nflog_read(nflog, max, keep, &log), 0);
}

static int setup(void **state)
{
	if (enter_namespace(state) < 0)
		return -1;
	run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 addrgenmode none up");
	run("ip link add far0 type veth peer name port0 && ip link set port0 master br0");
	run("for i in far0 port0; do ip link set $i addrgenmode none up; done");
	load_nft("table inet t {\n"
		 " chain out { type filter hook output priority 0\n"
		 "  udp dport 9 log prefix \"microseg denied no-grant \" group 4711\n"
		 " }\n"
		 "}\n"
		 "table bridge t {\n"
		 " chain pre { type filter hook prerouting priority -300\n"
		 "  log prefix \"microseg denied ethertype \" group 4711 drop\n"
		 " }\n"
		 "}\n");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_ip_packets_of_both_families),
		cmocka_unit_test(reads_bridge_frames_with_port_mac_and_network_payload),
		cmocka_unit_test(forgets_the_name_of_an_interface_within_a_second_or_so),
		cmocka_unit_test(says_that_another_reader_has_the_group),
		cmocka_unit_test(says_that_the_capability_is_missing),
		cmocka_unit_test(what_a_small_socket_loses_is_counted_to_the_last_packet),
		cmocka_unit_test(reads_a_burst_whole_and_no_more_at_once_than_asked_and_a_batch),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
