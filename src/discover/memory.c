/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "discover/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <jansson.h>

#include "discover/container.h"
#include "microseg/cleanup.h"

#define PIDFS 0x50494446 /* PIDFS_MAGIC of linux/magic.h since 6.9 */
#define BOOT_ID_SIZE 37

/* Field 22 of /proc/PID/stat. The name in the second field may hold blanks and parentheses. */
static uint64_t start_time(uint32_t pid)
{
	char path[32], text[1024];

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	_cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (size <= 0)
		return 0;
	text[size] = '\0';
	const char *at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) : 0;
}

/* The lowest bit tells the two kinds of numbers apart. */
uint64_t ms_process_number(int pidfd, uint32_t pid)
{
	struct statfs fs;
	struct stat status;

	if (fstatfs(pidfd, &fs) == 0 && (uint32_t)fs.f_type == PIDFS && fstat(pidfd, &status) == 0)
		return (uint64_t)status.st_ino << 1;
	uint64_t start = start_time(pid);
	return start ? start << 1 | 1 : 0;
}

/* Numbers of processes mean something until the machine starts again. */
static bool read_boot_id(char id[BOOT_ID_SIZE])
{
	_cleanup_(closep) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, id, BOOT_ID_SIZE - 1) != BOOT_ID_SIZE - 1)
		return false;
	id[BOOT_ID_SIZE - 1] = '\0';
	return true;
}

static json_t *labels_of(const struct ms_workload_facts *facts)
{
	json_t *labels = json_object();

	ms_vec_each (struct ms_workload_label, label, &facts->labels)
		json_object_set_new(labels, label->name, json_string(label->value));
	return labels;
}

static json_t *networks_of(const struct ms_workload_facts *facts)
{
	json_t *networks = json_object();
	char mac[MS_MAC_TEXT_SIZE], ip[MS_ADDR_TEXT_SIZE], ip6[MS_ADDR_TEXT_SIZE];

	ms_vec_each (struct ms_attachment, attachment, &facts->attachments)
		json_object_set_new(
			networks, attachment->network,
			json_pack("{s:s, s:s, s:s}", "MacAddress",
				  ms_mac_format(&attachment->mac, mac), "IPAddress",
				  attachment->ip.ip ? ms_addr_format(&attachment->ip, ip) : "",
				  "GlobalIPv6Address",
				  attachment->ip6.ip ? ms_addr_format(&attachment->ip6, ip6) : ""));
	return networks;
}

static json_t *mounts_of(const struct ms_workload_facts *facts)
{
	json_t *mounts = json_array();

	ms_vec_each (char *, bind, &facts->binds)
		json_array_append_new(mounts,
				      json_pack("{s:s, s:s}", "Type", "bind", "Source", *bind));
	return mounts;
}

static json_t *mode_of(const struct ms_workload_facts *facts)
{
	static const char *const modes[] = {
		[MS_NETWORK_OWN] = "",
		[MS_NETWORK_HOST] = "host",
		[MS_NETWORK_NONE] = "none",
		[MS_NETWORK_USER] = "slirp4netns",
	};

	return facts->mode == MS_NETWORK_JOINED ? json_sprintf("container:%s", facts->joined)
						: json_string(modes[facts->mode]);
}

static json_t *ports_of(const struct ms_workload_facts *facts)
{
	json_t *ports = json_object();

	ms_vec_each (struct ms_ports, range, &facts->published)
		for (unsigned int port = range->first; port <= range->last; port++) {
			char text[MS_PORTS_TEXT_SIZE], name[MS_PORTS_TEXT_SIZE];
			struct ms_ports one = {range->proto, (uint16_t)port, (uint16_t)port};
			const char *slash = strchr(ms_ports_format(&one, text), '/');

			snprintf(name, sizeof(name), "%s/%.*s", slash + 1, (int)(slash - text),
				 text);
			json_object_set_new(ports, name, json_pack("[{}]"));
		}
	return ports;
}

/* As the engine would say it, so that one reader is enough. */
static json_t *document_of(const struct ms_workload_facts *facts)
{
	return json_pack(
		"{s:s, s:s, s:{s:b, s:i, s:s}, s:{s:s, s:o}, s:{s:o, s:b, s:[s]}, s:{s:o, s:o}, s:o}",
		"Id", facts->id, "Name", facts->name, "State", "Running", 1, "Pid", (int)facts->pid,
		"StartedAt", facts->started_at, "Config", "Image", facts->image, "Labels",
		labels_of(facts), "HostConfig", "NetworkMode", mode_of(facts), "Privileged",
		facts->privileged, "CapAdd", facts->net_admin ? "NET_ADMIN" : "", "NetworkSettings",
		"Networks", networks_of(facts), "Ports", ports_of(facts), "Mounts",
		mounts_of(facts));
}

void ms_memory_write(const char *path, const struct ms_claims *claims, struct ms_str *out)
{
	char boot[BOOT_ID_SIZE];

	if (!read_boot_id(boot))
		return;
	ms_vec_each (struct ms_claim *, item, &claims->live) {
		const struct ms_workload_facts *facts = &(*item)->facts;
		char number[24];

		if (!facts->process)
			continue;
		snprintf(number, sizeof(number), "%" PRIu64, facts->process);
		_cleanup_(json_decrefp) json_t *line = json_pack(
			"{s:s, s:s, s:s, s:s, s:o}", "boot", boot, "engine", path, "runtime",
			claims->runtime, "process", number, "container", document_of(facts));
		_cleanup_(freep) char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
		if (text)
			ms_str_addf(out, "%s\n", text);
	}
}

/* Is the process that was remembered still there? Then @ret_nsid says where, -1 for nowhere that
 * has an id. */
static bool confirm(struct ms_rtnl *rtnl, const struct ms_workload_facts *facts, uint64_t process,
		    int32_t *ret_nsid)
{
	_cleanup_(closep) int pidfd = (int)syscall(SYS_pidfd_open, facts->pid, 0);

	if (pidfd < 0 || !process || ms_process_number(pidfd, facts->pid) != process)
		return false;
	*ret_nsid = -1;
	if (facts->mode != MS_NETWORK_HOST && ms_rtnl_nsid_of_pid(rtnl, facts->pid, ret_nsid) < 0)
		return false;
	/* As long as it has not ended its pid was nobody else's. */
	struct pollfd poller = {.fd = pidfd, .events = POLLIN};
	return poll(&poller, 1, 0) == 0;
}

static int read_line(const char *line, size_t len, const char *boot, const char *path,
		     struct ms_rtnl *rtnl, struct ms_claims *claims)
{
	_cleanup_(ms_workload_facts_fini) struct ms_workload_facts facts = {0};
	_cleanup_(json_decrefp) json_t *root = json_loadb(line, len, 0, NULL);
	const char *of_boot, *engine, *runtime, *process;
	json_t *container;
	int32_t nsid;

	if (json_unpack(root, "{s:s, s:s, s:s, s:s, s:o}", "boot", &of_boot, "engine", &engine,
			"runtime", &runtime, "process", &process, "container", &container) < 0 ||
	    strcmp(of_boot, boot) != 0 || strcmp(engine, path) != 0)
		return 0;
	_cleanup_(freep) char *document = json_dumps(container, JSON_COMPACT);
	if (!document || ms_container_parse(document, strlen(document), &facts) < 0 || !facts.pid)
		return 0;
	facts.process = strtoull(process, NULL, 10);
	if (!confirm(rtnl, &facts, facts.process, &nsid))
		return 0;
	claims->runtime = strcmp(runtime, "podman") == 0 ? "podman" : "docker";
	int r = ms_claims_put(claims, &facts, nsid, 0);
	return r == -ENOMEM ? r : 0;
}

int ms_memory_read(const char *text, const char *path, struct ms_rtnl *rtnl, uint64_t seq,
		   struct ms_claims *claims)
{
	char boot[BOOT_ID_SIZE];
	int r = 0;

	if (!text || !read_boot_id(boot))
		return 0;
	for (const char *end; r == 0 && (end = strchr(text, '\n')); text = end + 1)
		r = read_line(text, (size_t)(end - text), boot, path, rtnl, claims);
	ms_claims_doubt(claims, seq);
	return r;
}
