/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Jail: tries from inside of the sandboxes of the daemon, of who serves metrics and of its keeper,
 * what none of them may do.
 *
 * Each attempt is made twice, in a process of its own: outside, where it has to succeed, so that a
 * refusal says something, and inside, where it has to fail. What the daemon does need has to
 * succeed inside too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/sandbox.h"

static char directory[64]; /* writable for the daemon; what lies beside it is not */
static char beside[64];

static int ok(long r)
{
	return r < 0 ? -errno : 0;
}

static int starts_a_program(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return status == 0 ? 0 : -EPERM;
}

static int makes_a_network_namespace(void)
{
	return ok(unshare(CLONE_NEWNET));
}

static int makes_a_user_namespace(void)
{
	return ok(unshare(CLONE_NEWUSER));
}

static int clones_into_a_namespace(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUTS | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	if (pid > 0)
		waitpid((pid_t)pid, NULL, 0);
	return ok(pid);
}

static int enters_a_namespace(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : ok(setns(fd, CLONE_NEWNET));
}

/* A private mount namespace is made before, outside of the jail. */
static int mounts(void)
{
	return ok(mount("tmpfs", directory, "tmpfs", 0, NULL));
}

static int changes_its_root(void)
{
	return ok(chroot("/"));
}

static int traces(void)
{
	return ok(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int loads_bpf(void)
{
	union bpf_attr attr = {
		.map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

	return ok(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof(attr)));
}

static int signals_another(void)
{
	return ok(kill(getppid(), 0));
}

static int opens_an_internet_socket(void)
{
	return ok(socket(AF_INET, SOCK_STREAM, 0));
}

static int opens_a_packet_socket(void)
{
	return ok(socket(AF_PACKET, SOCK_RAW, 0));
}

static int maps_executable_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			       MAP_FAILED
		       ? -errno
		       : 0;
}

static int makes_memory_executable(void)
{
	void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? -errno : ok(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

static int becomes_another_user(void)
{
	return ok(setresuid(1, 1, 1));
}

static int changes_its_personality(void)
{
	return ok(personality(ADDR_NO_RANDOMIZE));
}

static int sets_the_host_name(void)
{
	char name[65] = "";

	gethostname(name, sizeof(name) - 1);
	return ok(sethostname(name, strlen(name)));
}

static int makes_a_device(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/null", directory);
	return ok(mknod(path, S_IFCHR | 0600, 1 << 8 | 3));
}

static int changes_an_owner(void)
{
	return ok(chown(directory, 1, 1));
}

static int gains_capabilities_by_a_file(void)
{
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0 ? 0 : -EPERM;
}

static int writes_beside_its_directories(void)
{
	int fd = open(beside, O_WRONLY | O_CLOEXEC);

	return ok(fd);
}

static int makes_a_file_in_tmp(void)
{
	char path[128];

	snprintf(path, sizeof(path), "%s.new", beside);
	return ok(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int removes_a_file_beside(void)
{
	return ok(unlink(beside));
}

static int sets_a_sysctl(void)
{
	return ok(open("/proc/sys/net/ipv4/ip_forward", O_WRONLY | O_CLOEXEC));
}

/* What has to go on. */

static int writes_its_state(void)
{
	char path[128], other[128];

	snprintf(path, sizeof(path), "%s/policy.tmp", directory);
	snprintf(other, sizeof(other), "%s/policy", directory);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fsync(fd) < 0 || ftruncate(fd, 0) < 0 ||
	    rename(path, other) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/history", directory);
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	strcat(path, "/1");
	unlink(path);
	return ok(linkat(AT_FDCWD, other, AT_FDCWD, path, 0));
}

static int reads_anywhere(void)
{
	return ok(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int opens_netlink(void)
{
	return ok(socket(AF_NETLINK, SOCK_RAW, 12));
}

static int forks(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(0);
	return pid < 0 || waitpid(pid, &status, 0) < 0 || status ? -EPERM : 0;
}

static int owns_the_network(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), size = 1 << 20;

	return fd < 0 ? -errno
		      : ok(setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)));
}

static const struct attempt {
	const char *what;
	int (*fn)(void);
	bool daemon; /* is it the daemon's to do? */
	bool keeper; /* and the keeper's? */
} attempts[] = {
	{"starts a program", starts_a_program, false, false},
	{"makes a network namespace", makes_a_network_namespace, false, false},
	{"makes a user namespace", makes_a_user_namespace, false, false},
	{"clones into a namespace", clones_into_a_namespace, false, false},
	{"enters a namespace", enters_a_namespace, false, false},
	{"mounts", mounts, false, false},
	{"changes its root", changes_its_root, false, false},
	{"traces", traces, false, false},
	{"loads bpf", loads_bpf, false, false},
	{"signals another process", signals_another, false, false},
	{"opens an internet socket", opens_an_internet_socket, false, false},
	{"opens a packet socket", opens_a_packet_socket, false, false},
	{"maps executable memory", maps_executable_memory, false, false},
	{"makes memory executable", makes_memory_executable, false, false},
	{"becomes another user", becomes_another_user, false, false},
	{"changes its personality", changes_its_personality, false, false},
	{"sets the host's name", sets_the_host_name, false, false},
	{"makes a device", makes_a_device, false, false},
	{"changes an owner", changes_an_owner, false, false},
	{"gains rights by a file it executes", gains_capabilities_by_a_file, false, false},
	{"writes beside its directories", writes_beside_its_directories, false, false},
	{"makes a file in /tmp", makes_a_file_in_tmp, false, false},
	{"removes a file beside its directories", removes_a_file_beside, false, false},
	{"sets a sysctl", sets_a_sysctl, false, false},
	{"writes its state", writes_its_state, true, false},
	{"reads anywhere", reads_anywhere, true, false},
	{"opens netlink", opens_netlink, true, false},
	{"forks", forks, true, true},
	{"has CAP_NET_ADMIN", owns_the_network, true, false},
};

enum jail { OUTSIDE, DAEMON, KEEPER, SERVER };

static int enter(enum jail jail)
{
	const char *const writable[] = {directory, NULL, "/nowhere"};

	switch (jail) {
	case DAEMON:
		return ms_sandbox_enter(writable, sizeof(writable) / sizeof(writable[0]));
	case KEEPER:
		return ms_sandbox_become_nobody();
	case SERVER:
		return ms_sandbox_become_nobody() < 0 ? -1 : ms_sandbox_only_serve();
	default:
		return 0;
	}
}

/* In a process and a mount namespace of its own. Returns what the attempt gave. */
static int try(const struct attempt *attempt, enum jail jail)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (unshare(CLONE_NEWNS | CLONE_NEWUTS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || enter(jail) < 0)
			_exit(255);
		_exit(-attempt->fn());
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 || !WIFEXITED(status) ? 254
									     : WEXITSTATUS(status);
}

static int prepare(void)
{
	strcpy(directory, "/tmp/microseg-jail-XXXXXX");
	if (!mkdtemp(directory))
		return -1;
	snprintf(beside, sizeof(beside), "%s.beside", directory);
	int fd = open(beside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static void clean_up(void)
{
	static const char *const names[] = {"/policy", "/policy.tmp", "/history/1",
					    "/null",   ".beside",     ".beside.new"};
	char path[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", directory, names[i]);
		unlink(path);
	}
	snprintf(path, sizeof(path), "%s/history", directory);
	rmdir(path);
	rmdir(directory);
}

static bool check(const struct attempt *attempt, enum jail jail)
{
	static const char *const places[] = {"outside", "daemon", "keeper", "server"};
	bool allowed = jail == OUTSIDE || (jail == DAEMON && attempt->daemon) ||
		       (jail == KEEPER && attempt->keeper);
	int r;

	if (prepare() < 0)
		return false;
	r = try(attempt, jail);
	clean_up();
	bool good = allowed ? r == 0 : r > 0 && r < 254;
	printf("%s - %s: %s%s (%s)\n", good ? "ok" : "not ok", places[jail],
	       allowed ? "" : "never ", attempt->what, r < 254 ? strerror(r) : "died");
	return good;
}

int main(void)
{
	int n_failed = 0;

	if (geteuid() != 0) {
		puts("skipped: needs root");
		return 77;
	}
	setvbuf(stdout, NULL, _IONBF, 0);
	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++)
		for (int jail = OUTSIDE; jail <= SERVER; jail++)
			n_failed += !check(&attempts[i], (enum jail)jail);
	return n_failed > 0;
}
