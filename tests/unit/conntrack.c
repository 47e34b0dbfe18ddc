/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The conntrack walker against the real kernel, in a network namespace of its own. */
#include "namespace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/conntrack.h"
#include "microseg/cleanup.h"

#define MANY 1000 /* flows: several batches of deletions */

/* One datagram from @sport to @to, which makes one entry. */
static void send_udp(const char *to, uint16_t sport, uint16_t dport)
{
	struct sockaddr_in in4 = {.sin_family = AF_INET, .sin_port = htons(dport)};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(dport)};
	struct sockaddr_in from4 = {.sin_family = AF_INET, .sin_port = htons(sport)};
	struct sockaddr_in6 from6 = {.sin6_family = AF_INET6, .sin6_port = htons(sport)};
	bool v4 = inet_pton(AF_INET, to, &in4.sin_addr) == 1;
	const struct sockaddr *addr = v4 ? (const void *)&in4 : (const void *)&in6;
	const struct sockaddr *from = v4 ? (const void *)&from4 : (const void *)&from6;
	socklen_t size = v4 ? sizeof(in4) : sizeof(in6);
	_cleanup_(closep) int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!v4)
		assert_int_equal(inet_pton(AF_INET6, to, &in6.sin6_addr), 1);
	assert_int_equal(bind(fd, from, size), 0);
	assert_int_equal(sendto(fd, "x", 1, 0, addr, size), 1);
}

/* Looks for the one entry with this protocol and, where there are ports, this source port. */
struct search {
	uint8_t proto;
	uint16_t sport;
	unsigned int n_found;
	struct ms_conntrack_entry entry;
};

static enum ms_conntrack_fate look(const struct ms_conntrack_entry *entry, void *userdata)
{
	struct search *search = userdata;

	if (entry->proto == search->proto && entry->orig.sport == search->sport) {
		search->entry = *entry;
		search->n_found++;
	}
	return MS_CONNTRACK_STAYS;
}

static void assert_addr(const struct ms_addr *addr, const char *expected)
{
	char text[MS_ADDR_TEXT_SIZE];

	assert_string_equal(ms_addr_format(addr, text), expected);
}

static enum ms_conntrack_fate always(const struct ms_conntrack_entry *entry, void *userdata)
{
	(void)entry;
	(void)userdata;
	return MS_CONNTRACK_GOES;
}

static int forget_all(void **state)
{
	(void)state;
	return ms_conntrack_foreach(always, NULL) < 0 ? -1 : 0;
}

static void shows_both_directions_of_both_families_and_what_was_translated(void **state)
{
	static const struct {
		const char *to;
		uint16_t dport;
		const char *src;
		const char *server; /* who answers */
		uint16_t server_port;
		bool dnat;
	} rows[] = {
		{"127.0.0.1", 5001, "127.0.0.1", "127.0.0.1", 5001, false},
		{"::1", 5001, "::1", "::1", 5001, false},
		{"127.0.0.1", 7000, "127.0.0.1", "127.0.0.2", 7001, true},
		{"::1", 7000, "::1", "::1", 7001, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct search search = {.proto = IPPROTO_UDP, .sport = (uint16_t)(4000 + i)};
		const struct ms_conntrack_entry *entry = &search.entry;

		send_udp(rows[i].to, search.sport, rows[i].dport);
		assert_int_equal(ms_conntrack_foreach(look, &search), 0);
		assert_int_equal(search.n_found, 1);
		assert_addr(&entry->orig.src, rows[i].src);
		assert_addr(&entry->orig.dst, rows[i].to);
		assert_int_equal(entry->orig.dport, rows[i].dport);
		assert_addr(&entry->reply.src, rows[i].server);
		assert_addr(&entry->reply.dst, rows[i].src);
		assert_int_equal(entry->reply.sport, rows[i].server_port);
		assert_int_equal(entry->reply.dport, search.sport);
		assert_int_equal(entry->dnat, rows[i].dnat);
		assert_false(entry->snat);
		assert_false(entry->answered);
		assert_false(entry->has_icmp_type);
	}
}

static void shows_the_type_of_icmp_requests(void **state)
{
	static const struct {
		const char *to;
		uint8_t proto, type;
	} rows[] = {{"127.0.0.1", IPPROTO_ICMP, 8}, {"::1", IPPROTO_ICMPV6, 128}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct search search = {.proto = rows[i].proto};

		run("ping -c1 -W1 %s >/dev/null", rows[i].to);
		assert_int_equal(ms_conntrack_foreach(look, &search), 0);
		assert_int_equal(search.n_found, 1);
		assert_true(search.entry.has_icmp_type);
		assert_int_equal(search.entry.icmp_type, rows[i].type);
		assert_true(search.entry.answered);
		assert_addr(&search.entry.orig.dst, rows[i].to);
	}
}

struct tally {
	bool seen[MANY];
	unsigned int n;
};

static uint16_t number_of(const struct ms_conntrack_entry *entry)
{
	assert_in_range(entry->orig.sport, 10000, 10000 + MANY - 1);
	return entry->orig.sport - 10000;
}

static enum ms_conntrack_fate is_odd(const struct ms_conntrack_entry *entry, void *userdata)
{
	(void)userdata;
	return number_of(entry) % 2 ? MS_CONNTRACK_GOES : MS_CONNTRACK_STAYS;
}

static enum ms_conntrack_fate count(const struct ms_conntrack_entry *entry, void *userdata)
{
	struct tally *tally = userdata;

	assert_false(tally->seen[number_of(entry)]);
	tally->seen[number_of(entry)] = true;
	tally->n++;
	return MS_CONNTRACK_STAYS;
}

static void deletes_those_chosen_and_no_others(void **state)
{
	struct tally before = {0}, after = {0};

	(void)state;
	for (unsigned int i = 0; i < MANY; i++)
		send_udp(i % 4 < 2 ? "127.0.0.1" : "::1", (uint16_t)(10000 + i), 5001);
	assert_int_equal(ms_conntrack_foreach(count, &before), 0);
	assert_int_equal(before.n, MANY);
	assert_int_equal(ms_conntrack_foreach(is_odd, NULL), MANY / 2);
	assert_int_equal(ms_conntrack_foreach(count, &after), 0);
	assert_int_equal(after.n, MANY / 2);
	for (unsigned int i = 0; i < MANY; i++)
		assert_int_equal(after.seen[i], i % 2 == 0);
}

static void deletes_entries_of_any_zone(void **state)
{
	static const uint16_t dports[] = {
		6000, 6001}; /* zone 7 in both directions, zone 8 in the original one */

	(void)state;
	for (size_t i = 0; i < sizeof(dports) / sizeof(dports[0]); i++) {
		send_udp("127.0.0.1", 4200, dports[i]);
		assert_int_equal(ms_conntrack_foreach(always, NULL), 1);
		assert_int_equal(ms_conntrack_foreach(always, NULL), 0);
	}
}

/* Somebody else deletes the entry between the dump and us. */
static enum ms_conntrack_fate forestall(const struct ms_conntrack_entry *entry, void *userdata)
{
	(void)entry;
	(void)userdata;
	assert_int_equal(ms_conntrack_foreach(always, NULL), 1);
	return MS_CONNTRACK_GOES;
}

static void what_is_already_gone_is_not_counted(void **state)
{
	(void)state;
	send_udp("127.0.0.1", 4100, 5001);
	assert_int_equal(ms_conntrack_foreach(forestall, NULL), 0);
}

static void adopts_a_connection_from_its_client_and_turns_the_servers_entry(void **state)
{
	struct ms_conntrack_tuple client = {.sport = 40000, .dport = 9000};
	struct search search = {.proto = IPPROTO_UDP, .sport = 40000};

	(void)state;
	assert_int_equal(ms_addr_parse("127.0.0.1", &client.src), 0);
	client.dst = client.src;
	send_udp("127.0.0.1", 9000, 40000); /* the server speaks first */
	assert_int_equal(ms_conntrack_adopt(&client, IPPROTO_UDP, false), -EEXIST);
	assert_int_equal(ms_conntrack_adopt(&client, IPPROTO_UDP, true), 0);
	assert_true(ms_conntrack_foreach(look, &search) >= 0);
	assert_int_equal(search.n_found, 1);
	assert_int_equal(search.entry.orig.dport, 9000);
	assert_true(search.entry.answered);
	assert_int_equal(ms_conntrack_foreach(always, NULL), 1);

	assert_int_equal(ms_conntrack_adopt(&client, IPPROTO_TCP, false), 0);
	search = (struct search){.proto = IPPROTO_TCP, .sport = 40000};
	assert_true(ms_conntrack_foreach(look, &search) >= 0);
	assert_true(search.n_found == 1 && search.entry.picked_up);
}

static void an_empty_table_is_no_error(void **state)
{
	(void)state;
	assert_int_equal(ms_conntrack_foreach(always, NULL), 0);
}

static void says_that_the_capability_is_missing(void **state)
{
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		if (setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(ms_conntrack_foreach(always, NULL) == -EPERM ? 0 : 1);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Nobody listens on these ports: answers that say so are dropped, or the entries would end by
 * themselves. */
static int setup(void **state)
{
	if (enter_namespace(state) < 0)
		return -1;
	load_nft("table inet t {\n"
		 " chain in { type filter hook input priority 0\n"
		 "  ct state new counter\n"
		 "  udp dport 1-65535 drop\n"
		 " }\n"
		 " chain raw { type filter hook output priority -300\n"
		 "  udp dport 6000 ct zone set 7\n"
		 "  udp dport 6001 ct original zone set 8\n"
		 " }\n"
		 " chain nat { type nat hook output priority -100\n"
		 "  meta nfproto ipv4 udp dport 7000 dnat ip to 127.0.0.2:7001\n"
		 "  meta nfproto ipv6 udp dport 7000 dnat ip6 to [::1]:7001\n"
		 " }\n"
		 "}\n");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_empty_table_is_no_error, forget_all),
		cmocka_unit_test_setup(
			shows_both_directions_of_both_families_and_what_was_translated, forget_all),
		cmocka_unit_test_setup(shows_the_type_of_icmp_requests, forget_all),
		cmocka_unit_test_setup(deletes_those_chosen_and_no_others, forget_all),
		cmocka_unit_test_setup(deletes_entries_of_any_zone, forget_all),
		cmocka_unit_test_setup(what_is_already_gone_is_not_counted, forget_all),
		cmocka_unit_test_setup(
			adopts_a_connection_from_its_client_and_turns_the_servers_entry,
			forget_all),
		cmocka_unit_test_setup(says_that_the_capability_is_missing, forget_all),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
