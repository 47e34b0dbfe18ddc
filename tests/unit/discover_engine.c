/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover_lab.h"

#include <signal.h>
#include <sys/prctl.h>

#include "discover_fake.h"

#define SOON_MS                                                                                    \
	10000 /* a wait ends as soon as it may; sanitizers on a busy machine take their time */
#define SOCKET "/run/fake.sock"
#define LABELS "{\"io.microseg.env\":\"prod\",\"io.microseg.service\":\"web\"}"

static pid_t processes[8];
static int n_processes;

/* A process in a network namespace of its own, without a name: what an engine's container looks
 * like from here. */
static int start_process(void)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	close(ready[1]);
	processes[n_processes++] = pid;
	return pid;
}

static void end_process(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	for (int i = 0; i < n_processes; i++)
		if (processes[i] == pid)
			processes[i] = 0;
}

static void plug(pid_t pid, const char *veth, int host)
{
	sh("ip link add %s type veth peer name eth0 address 02:42:0a:01:00:%02x netns %d && "
	   "ip link set %s master br-one up && nsenter --net=/proc/%d/ns/net sh -c "
	   "'ip addr add 10.1.0.%d/24 dev eth0; ip link set eth0 up'",
	   veth, (unsigned int)host, (int)pid, veth, (int)pid, host);
}

static int set_up(void **state)
{
	sh("mkdir -p /run/netns; ip link set lo up; ip link add br-one type bridge; ip link set br-one up");
	struct lab *lab = calloc(1, sizeof(*lab));
	assert_int_equal(ms_vec_push(&lab->engines, SOCKET), 0);
	*state = lab;
	return 0;
}

static int tear_down(void **state)
{
	struct lab *lab = *state;

	lab_stop(lab);
	free(lab);
	fake_reset();
	for (int i = 0; i < n_processes; i++)
		if (processes[i])
			end_process(processes[i]);
	n_processes = 0;
	sh("for n in $(ip netns list | cut -d' ' -f1); do ip netns del $n; done; "
	   "for l in $(ip -o link | sed 's/^[0-9]*: //; s/[@:].*//'); do "
	   "[ $l = lo ] || ip link del $l 2>/dev/null || :; done");
	return 0;
}

static struct ms_source_health engine_health(const struct lab *lab)
{
	return ms_discover_source(lab->discover, 1);
}

static bool is_settled(const struct lab *lab, const void *unused)
{
	(void)unused;
	return ms_discover_settled(lab->discover);
}

static bool is_state(const struct lab *lab, const void *state)
{
	return engine_health(lab).state == *(const enum ms_source_state *)state;
}

static const enum ms_source_state ok = MS_SOURCE_OK, failed = MS_SOURCE_FAILED,
				  absent = MS_SOURCE_ABSENT;

struct named {
	const char *interface, *name;
};

static bool is_named(const struct lab *lab, const void *userdata)
{
	const struct named *named = userdata;
	const struct ms_endpoint *endpoint = lab_endpoint(lab, named->interface);

	return endpoint && strcmp(endpoint->name, named->name) == 0;
}

static bool is_pending(const struct lab *lab, const void *interface)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, interface);

	return endpoint && endpoint->pending;
}

static bool is_not_pending(const struct lab *lab, const void *interface)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, interface);

	return endpoint && !endpoint->pending;
}

static bool has_two_workloads(const struct lab *lab, const void *interface)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, interface);

	return endpoint && endpoint->workloads.n_items == 2;
}

static void a_running_container_has_its_name_labels_and_network(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	fake_add("web-1", pid, LABELS)->networks =
		"{\"other\":{\"MacAddress\":\"02:42:0a:01:00:09\"},"
		"\"shop\":{\"MacAddress\":\"02:42:0a:01:00:02\"}}";
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	assert_false(ms_discover_settled(lab->discover));
	lab_wait(lab, SOON_MS, is_settled, NULL);
	assert_int_equal(engine_health(lab).state, MS_SOURCE_OK);
	assert_string_equal(engine_health(lab).name, "docker " SOCKET);
	assert_string_equal(engine_health(lab).detail, "20.10.24, API 1.41");

	const struct ms_endpoint *endpoint = lab_endpoint(lab, "veth1");
	assert_non_null(endpoint);
	assert_string_equal(endpoint->name, "web-1");
	assert_string_equal(endpoint->network, "shop");
	assert_int_equal(endpoint->workloads.n_items, 1);
	assert_string_equal(endpoint->workloads.items[0].runtime, "docker");
	assert_string_equal(endpoint->workloads.items[0].image, "image:1");
	assert_int_equal(strlen(endpoint->workloads.items[0].id), 64);
	assert_string_equal(lab_label(endpoint, "docker", "io.microseg.env"), "prod");
	assert_string_equal(lab_label(endpoint, "docker", "io.microseg.service"), "web");
	assert_true(lab_has_addr(&endpoint->addrs, "10.1.0.2"));
}

static void a_container_started_later_is_pending_until_it_is_named(void **state)
{
	struct lab *lab = *state;

	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	int pid = start_process();
	plug(pid, "veth1", 2);
	lab_wait(lab, SOON_MS, is_pending, "veth1");
	struct fake_container *c = fake_add("web-1", pid, LABELS);
	fake_await_stream();
	uint64_t start_ms = ms_monotonic_ms();
	fake_event(c, "start");
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-1"}));
	assert_in_range(ms_monotonic_ms() - start_ms, 0, 100);
	assert_false(lab_endpoint(lab, "veth1")->pending);

	c->name = "web-renamed";
	fake_event(c, "rename");
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-renamed"}));
}

static void an_interface_plugged_into_a_running_container_is_named(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	fake_add("web-1", pid, LABELS)->mode = "none";
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	plug(pid, "veth1", 2); /* no event of the engine tells of it */
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-1"}));
}

static void pending_ends_after_five_seconds(void **state)
{
	struct lab *lab = *state;

	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	uint64_t start_ms = ms_monotonic_ms();
	plug(start_process(), "veth1", 2);
	lab_wait(lab, SOON_MS, is_pending, "veth1");
	lab_wait(lab, 7000, is_not_pending, "veth1");
	assert_in_range(ms_monotonic_ms() - start_ms, 4500, 5500);
	assert_int_equal(lab_endpoint(lab, "veth1")->workloads.n_items, 0);
}

static void a_named_namespace_waits_for_no_engine(void **state)
{
	struct lab *lab = *state;

	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	sh("ip netns add c1 && ip link add veth1 type veth peer name eth0 netns c1 && "
	   "ip link set veth1 master br-one up");
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "c1"}));
	assert_false(lab_endpoint(lab, "veth1")->pending);
}

/* What speaks wrongly on the socket, how long until that is clear, and what is said of it. */
static const struct wrong {
	enum fake_mood mood;
	uint64_t within_ms;
	const char *detail;
} wrongs[] = {
	{FAKE_HANGS, 2600, "version: no answer in time"},
	{FAKE_NO_HTTP, 1000, "version: "},
	{FAKE_NO_JSON, 1000, "version: not understood"},
	{FAKE_ERRORS, 1000, "version: HTTP status 500"},
	{FAKE_FLOODS, 2600, "version: the answer is too big"},
	{FAKE_ENDS_STREAMS, 1000, "stream of events: it ended"},
	{FAKE_NONSENSE_STREAM, 1000, "stream of events: not understood"},
	{FAKE_SILENT_STREAM, 6000, "stream of events: no answer in time"},
	{FAKE_ENDLESS_LINE, 2000, "stream of events: the answer is too big"},
};

static void an_engine_that_speaks_wrongly_fails_and_hinders_nothing(void **state)
{
	struct lab *lab = *state;

	sh("ip netns add c1 && ip link add veth1 type veth peer name eth0 netns c1 && "
	   "ip link set veth1 master br-one up");
	for (size_t i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
		fake_start(SOCKET, wrongs[i].mood);
		lab_start(lab);
		lab_check(lab);
		assert_string_equal(lab_endpoint(lab, "veth1")->name, "c1");
		lab_wait(lab, wrongs[i].within_ms, is_state, &failed);
		if (!strstr(engine_health(lab).detail, wrongs[i].detail))
			fail_msg("'%s' lacks '%s'", engine_health(lab).detail, wrongs[i].detail);
		assert_true(ms_discover_settled(lab->discover));

		/* It is asked again, and can come back. */
		pthread_mutex_lock(&fake.lock);
		fake.mood = FAKE_WELL;
		pthread_mutex_unlock(&fake.lock);
		lab_wait(lab, 5000, is_state, &ok);
		lab_stop(lab);
		assert_int_equal(ms_vec_push(&lab->engines, SOCKET), 0);
		fake_reset();
	}
}

static void a_socket_that_is_absent_is_noticed_when_it_comes(void **state)
{
	struct lab *lab = *state;

	plug(start_process(), "veth1", 2);
	lab_start(lab);
	lab_wait(lab, 500, is_state, &absent);
	assert_true(ms_discover_settled(lab->discover));
	assert_false(lab_endpoint(lab, "veth1")->pending);
	fake_add("web-1", processes[0], LABELS);
	fake_start(SOCKET, FAKE_WELL);
	lab_wait(lab, 1500, is_named, (&(struct named){"veth1", "web-1"}));
}

static void a_stopped_engine_takes_no_identity_away(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	fake_add("web-1", pid, LABELS);
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-1"}));
	lab_wait(lab, SOON_MS, is_state, &ok);
	fake_stop();
	lab_wait(lab, SOON_MS, is_state, &failed);
	lab_waits(lab, 500, is_pending, "veth1");
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");
	assert_string_equal(lab_label(lab_endpoint(lab, "veth1"), "docker", "io.microseg.env"),
			    "prod");

	/* It comes back and knows nothing of the container, which lives on. */
	unlink(SOCKET);
	fake.containers[0].gone = true;
	fake_start(SOCKET, FAKE_WELL);
	lab_wait(lab, 15000, is_state, &ok);
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");

	/* But another interface of that namespace is not named by what is gone. */
	sh("nsenter --net=/proc/%d/ns/net ip link set eth0 name eth7", pid);
	plug(pid, "veth2", 3);
	lab_wait(lab, SOON_MS, is_pending, "veth2");
	assert_int_equal(lab_endpoint(lab, "veth2")->workloads.n_items, 0);
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");
}

static void a_restarted_container_is_followed_to_its_new_namespace(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	struct fake_container *c = fake_add("web-1", pid, LABELS);
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-1"}));
	end_process(pid);
	c->pid = 0;
	fake_event(c, "die");
	c->pid = start_process();
	plug(c->pid, "veth2", 2);
	fake_event(c, "start");
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth2", "web-1"}));
}

static void a_process_that_may_be_another_is_not_trusted(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	fake_add("liar", pid, LABELS)->other_process = true;
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	assert_in_range(fake.n_looks, 2, 6);
	assert_int_equal(lab_endpoint(lab, "veth1")->workloads.n_items, 0);
	assert_non_null(strstr(engine_health(lab).detail, "can't be read"));
}

static void one_container_that_cannot_be_read_hinders_no_other(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	fake_add("stuck", pid, LABELS)->hangs = true;
	fake_add("broken", pid, LABELS)->nonsense = true;
	fake_add("web-1", pid, LABELS);
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, 500, is_named, (&(struct named){"veth1", "web-1"}));
	lab_wait(lab, 7000, is_state, &ok);
	assert_int_equal(lab_endpoint(lab, "veth1")->workloads.n_items, 1);
	assert_non_null(strstr(engine_health(lab).detail, "some containers can't be read"));
}

static void containers_that_share_a_namespace_share_the_endpoint(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();
	char mode[80];

	plug(pid, "veth1", 2);
	struct fake_container *first = fake_add("web-1", pid, LABELS);
	snprintf(mode, sizeof(mode), "container:%s", first->id);
	fake_add("a-sidecar", pid, "{\"io.microseg.env\":\"dev\"}")->mode = mode;
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, has_two_workloads, "veth1");
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "a-sidecar");
}

static bool has_one_workload(const struct lab *lab, const void *interface)
{
	const struct ms_endpoint *endpoint = lab_endpoint(lab, interface);

	return endpoint && endpoint->workloads.n_items == 1;
}

static void who_left_a_shared_namespace_names_it_no_more(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	struct fake_container *first = fake_add("web-1", pid, LABELS);
	struct fake_container *second = fake_add("a-sidecar", pid, "{\"io.microseg.env\":\"dev\"}");
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, has_two_workloads, "veth1");
	second->gone = true;
	fake_event(second, "die");
	lab_wait(lab, SOON_MS, has_one_workload, "veth1");
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");
	/* The last one is kept for as long as its namespace lives. */
	first->gone = true;
	fake_event(first, "die");
	assert_false(lab_waits(lab, 300, is_named, (&(struct named){"veth1", "veth1"})));
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");
}

static void containers_on_the_hosts_network_are_reported(void **state)
{
	struct lab *lab = *state;
	char mode[80];

	struct fake_container *first = fake_add("agent", getpid(), "{}");
	first->mode = "host";
	snprintf(mode, sizeof(mode), "container:%s", first->id);
	fake_add("joined", getpid(), "{}")->mode = mode;
	fake_add("lonely", start_process(), "{}")->mode = "none";
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	assert_string_equal(lab_uncovered(lab, "container agent"), "it uses the host's network");
	assert_non_null(lab_uncovered(lab, "container joined"));
	assert_null(lab_uncovered(lab, "container lonely"));
}

static bool is_uncovered(const struct lab *lab, const void *what)
{
	return lab_uncovered(lab, what);
}

static void containers_that_no_port_leads_to_are_reported(void **state)
{
	struct lab *lab = *state;

	fake_add("lan-1", start_process(), LABELS)->networks = "{\"lan\":{},\"shop\":{}}";
	fake_add("ip-1", start_process(), "{}")->networks = "{\"ip\":{}}";
	fake_add("swarm-1", start_process(), "{}")->networks = "{\"swarm\":{}}";
	fake_add("slirp-1", start_process(), "{}")->mode = "slirp4netns";
	fake_add("plain-1", start_process(), "{}")->networks = "{\"shop\":{}}";
	fake.networks =
		"[{\"Name\":\"lan\",\"Driver\":\"macvlan\"},{\"Name\":\"ip\",\"Driver\":\"ipvlan\"},"
		"{\"Name\":\"swarm\",\"Driver\":\"overlay\"},{\"Name\":\"shop\",\"Driver\":\"bridge\"}]";
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_uncovered, "container swarm-1");
	lab_wait(lab, SOON_MS, is_settled, NULL);
	assert_string_equal(
		lab_uncovered(lab, "container lan-1"),
		"its network lan is of the kind macvlan: its frames pass no bridge of this host");
	assert_non_null(strstr(lab_uncovered(lab, "container ip-1"), "ipvlan"));
	assert_non_null(strstr(lab_uncovered(lab, "container swarm-1"), "overlay"));
	assert_non_null(strstr(lab_uncovered(lab, "container slirp-1"), "the host's own"));
	assert_null(lab_uncovered(lab, "container plain-1"));
	assert_int_equal(lab->inventory->endpoints.n_items, 0);
}

static void containers_of_a_rootless_engine_are_reported(void **state)
{
	struct lab *lab = *state;

	fake_add("web-1", start_process(), LABELS);
	fake.info = "{\"SecurityOptions\":[\"name=rootless\"]}";
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_uncovered, "container web-1");
	assert_non_null(strstr(lab_uncovered(lab, "container web-1"), "rootless"));
}

static void containers_that_can_undo_it_are_reported(void **state)
{
	static const struct {
		const char *name, *powers, *mounts, *reason; /* NULL: not reported */
	} rows[] = {
		{"all", ",\"Privileged\":true", NULL, "privileged"},
		{"admin", ",\"CapAdd\":[\"NET_ADMIN\"]", NULL, "CAP_NET_ADMIN"},
		{"known", NULL, "[{\"Type\":\"bind\",\"Source\":\"/var/run/docker.sock\"}]",
		 "/run/docker.sock"},
		{"own", NULL, "[{\"Type\":\"bind\",\"Source\":\"/run/fake.sock\"}]", SOCKET},
		{"parent", NULL, "[{\"Type\":\"bind\",\"Source\":\"/run/\"}]", "/run/docker.sock"},
		{"root", NULL, "[{\"Type\":\"bind\",\"Source\":\"/\"}]", "/run/docker.sock"},
		{"near", NULL, "[{\"Type\":\"bind\",\"Source\":\"/run/docker\"}]", NULL},
	};
	struct lab *lab = *state;
	char what[64];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct fake_container *c = fake_add(rows[i].name, start_process(), LABELS);

		c->powers = rows[i].powers;
		c->mounts = rows[i].mounts;
	}
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_settled, NULL);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(what, sizeof(what), "container %s", rows[i].name);
		const char *reason = lab_uncovered(lab, what);

		if (!reason != !rows[i].reason || (reason && !strstr(reason, rows[i].reason)))
			fail_msg("%s: %s", what, reason ? reason : "not reported");
	}
}

static void a_container_behind_a_bridge_that_is_left_alone_is_reported(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	sh("ip tuntap add tap0 mode tap && ip link set tap0 master br-one");
	fake_add("web-1", pid, LABELS);
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_uncovered, "container web-1");
	assert_string_equal(lab_uncovered(lab, "container web-1"),
			    "its interface veth1 is left alone, as its bridge is");
	assert_non_null(lab_uncovered(lab, "bridge br-one"));
}

/* Learns of web-1 behind veth1, and ends. Returns what is remembered of it. */
static char *first_life(struct lab *lab, int pid)
{
	struct ms_str memory = {0};

	plug(pid, "veth1", 2);
	fake_add("web-1", pid, LABELS)->mounts = "[{\"Type\":\"bind\",\"Source\":\"/run\"}]";
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-1"}));
	lab_wait(lab, SOON_MS, is_settled, NULL);
	ms_discover_remember(lab->discover, &memory);
	lab_stop(lab);
	assert_int_equal(ms_vec_push(&lab->engines, SOCKET), 0);
	pthread_mutex_lock(&fake.lock);
	fake.mood = FAKE_HANGS;
	pthread_mutex_unlock(&fake.lock);
	return ms_str_steal(&memory);
}

static void a_restart_while_the_engine_hangs_keeps_identities(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();
	char *memory = first_life(lab, pid);

	lab->memory = memory;
	lab_start(lab);
	lab_check(lab);
	const struct ms_endpoint *endpoint = lab_endpoint(lab, "veth1");
	assert_string_equal(endpoint->name, "web-1");
	assert_false(endpoint->pending);
	assert_string_equal(lab_label(endpoint, "docker", "io.microseg.service"), "web");
	assert_non_null(lab_uncovered(lab, "container web-1"));

	/* What comes later is nobody's until the engine says so. */
	sh("ip link add veth2 type veth peer name eth1 netns %d && ip link set veth2 master br-one up",
	   pid);
	lab_wait(lab, SOON_MS, is_pending, "veth2");
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");
	pthread_mutex_lock(&fake.lock);
	fake.mood = FAKE_WELL;
	pthread_mutex_unlock(&fake.lock);
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth2", "web-1"}));
	assert_string_equal(lab_endpoint(lab, "veth1")->name, "web-1");
	free(memory);
}

static void a_memory_that_the_kernel_does_not_confirm_names_nobody(void **state)
{
	static const struct {
		const char *key, *to;
	} rows[] = {
		{"\"process\":\"", "99999999"}, /* another process has its pid */
		{"\"boot\":\"", "00000000"},	/* the machine started again */
		{"\"engine\":\"/run/", "else"}, {"\"Pid\":", "0000"},
		{"\"container\":", "7"},	{"", "nonsense"},
	};
	struct lab *lab = *state;
	char *memory = first_life(lab, start_process());

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *altered = strdup(memory);
		char *at = strstr(altered, rows[i].key);

		assert_non_null(at);
		memcpy(at + strlen(rows[i].key), rows[i].to, strlen(rows[i].to));
		lab->memory = altered;
		lab_start(lab);
		lab_check(lab);
		if (strcmp(lab_endpoint(lab, "veth1")->name, "veth1") != 0)
			fail_msg("row %zu", i);
		lab_stop(lab);
		assert_int_equal(ms_vec_push(&lab->engines, SOCKET), 0);
		free(altered);
	}
	end_process(processes[0]); /* the same text, and its process is dead */
	lab->memory = memory;
	lab_start(lab);
	lab_check(lab);
	const struct ms_endpoint *endpoint = lab_endpoint(lab, "veth1"); /* it may be going still */
	assert_true(!endpoint || strcmp(endpoint->name, "veth1") == 0);
	free(memory);
}

static void podman_is_told_from_docker(void **state)
{
	struct lab *lab = *state;
	int pid = start_process();

	plug(pid, "veth1", 2);
	fake_add("web-1", pid, LABELS);
	fake.version = fake_podman;
	fake_start(SOCKET, FAKE_WELL);
	lab_start(lab);
	lab_wait(lab, SOON_MS, is_named, (&(struct named){"veth1", "web-1"}));
	assert_string_equal(lab_endpoint(lab, "veth1")->workloads.items[0].runtime, "podman");
}

#define lab_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(a_running_container_has_its_name_labels_and_network),
		lab_test(a_container_started_later_is_pending_until_it_is_named),
		lab_test(an_interface_plugged_into_a_running_container_is_named),
		lab_test(pending_ends_after_five_seconds),
		lab_test(a_named_namespace_waits_for_no_engine),
		lab_test(an_engine_that_speaks_wrongly_fails_and_hinders_nothing),
		lab_test(a_socket_that_is_absent_is_noticed_when_it_comes),
		lab_test(a_stopped_engine_takes_no_identity_away),
		lab_test(a_restarted_container_is_followed_to_its_new_namespace),
		lab_test(a_process_that_may_be_another_is_not_trusted),
		lab_test(one_container_that_cannot_be_read_hinders_no_other),
		lab_test(containers_that_share_a_namespace_share_the_endpoint),
		lab_test(who_left_a_shared_namespace_names_it_no_more),
		lab_test(containers_on_the_hosts_network_are_reported),
		lab_test(containers_that_no_port_leads_to_are_reported),
		lab_test(containers_of_a_rootless_engine_are_reported),
		lab_test(containers_that_can_undo_it_are_reported),
		lab_test(a_container_behind_a_bridge_that_is_left_alone_is_reported),
		lab_test(a_restart_while_the_engine_hangs_keeps_identities),
		lab_test(a_memory_that_the_kernel_does_not_confirm_names_nobody),
		lab_test(podman_is_told_from_docker),
	};

	lab_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
