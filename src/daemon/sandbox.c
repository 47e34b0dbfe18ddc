/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Theory of operation
 *
 * The daemon reads bytes that others wrote: packets, engines' JSON, names of containers, requests.
 * Should one of them ever take it over, little must be left to take. The unit file says so too, but
 * not everybody starts us by it; this holds wherever we run.
 *
 *   - Capabilities: the two that nf_tables and netlink of other namespaces ask for.
 *   - System calls: a list of what is used, by seccomp; the rest fails with EPERM. libseccomp knows
 *     the numbers of each architecture and where a call hides behind another one, which a filter
 *     written here would have to learn. What starts programs, enters or makes namespaces, loads
 *     code into the kernel, maps executable memory, or opens sockets to the network is not on it.
 *   - Files: everything may be read that root may read, for policies lie where the operator wants
 *     them; written only below a few directories, by Landlock.
 *
 * EPERM and not a kill: a C library that tries something new falls back or fails in one place,
 * where a kill would end a daemon that has to run.
 */
#include "daemon/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "microseg/cleanup.h"

#define NOBODY 65534
#define NOBODY_DESCRIPTORS 256
#define N_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CLONE_NEW_ANY                                                                              \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)

/* All processes: their memory, time, signals, and descriptors that are open. */
static const char common_calls[] =
	"read write readv writev close lseek fstat fcntl pipe2 poll ppoll select pselect6 "
	"epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 "
	"accept accept4 getsockname getpeername getsockopt setsockopt sendto sendmsg recvfrom recvmsg "
	"shutdown eventfd2 timerfd_create timerfd_settime brk munmap mremap madvise futex "
	"clock_gettime gettimeofday time clock_nanosleep nanosleep getrandom "
	"rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall sched_yield "
	"getpid gettid getppid getuid geteuid getgid getegid exit exit_group ";

/* The daemon: files, sockets of its own, processes that watch a trial. */
static const char daemon_calls[] =
	"openat open newfstatat stat lstat statx access faccessat faccessat2 readlink readlinkat "
	"getdents64 flock fsync fdatasync ftruncate rename renameat renameat2 linkat unlink unlinkat "
	"mkdir mkdirat rmdir fchmod chmod umask dup dup2 dup3 pipe close_range pread64 pwrite64 "
	"inotify_init1 inotify_add_watch inotify_rm_watch bind connect listen sendmmsg recvmmsg "
	"fork wait4 setsid set_robust_list set_tid_address rseq pidfd_open uname sysinfo "
	"sched_getaffinity getcwd getgroups fstatfs statfs ";

/* The keeper of who serves metrics: starts one after another, which then filters itself further. */
static const char keeper_calls[] =
	"fork wait4 set_robust_list set_tid_address rseq seccomp getcpu sched_getaffinity ";

/* Calls that are allowed with some arguments only: (argument & mask) == value. */
static const struct condition {
	const char *call;
	unsigned int argument;
	uint64_t mask, value;
} common_conditions[] =
	{
		{"mmap", 2, PROT_EXEC, 0},
		{"mprotect", 2, PROT_EXEC, 0},
		{"ioctl", 1, UINT32_MAX, FIONREAD},
		{"ioctl", 1, UINT32_MAX, FIONBIO},
		{"prctl", 0, UINT32_MAX, PR_SET_PDEATHSIG},
},
  daemon_conditions[] =
	  {
		  {"socket", 0, UINT32_MAX, AF_UNIX},	  {"socket", 0, UINT32_MAX, AF_NETLINK},
		  {"socketpair", 0, UINT32_MAX, AF_UNIX}, {"ioctl", 1, UINT32_MAX, SIOCGIFINDEX},
		  {"ioctl", 1, UINT32_MAX, SIOCGIFNAME},  {"ioctl", 1, UINT32_MAX, TCGETS},
		  {"clone", 0, CLONE_NEW_ANY, 0},	  {"prctl", 0, UINT32_MAX, PR_SET_NAME},
		  {"prlimit64", 2, UINT64_MAX, 0}, /* only asks */
},
  keeper_conditions[] = {
	  {"socketpair", 0, UINT32_MAX, AF_UNIX},   {"clone", 0, CLONE_NEW_ANY, 0},
	  {"prctl", 0, UINT32_MAX, PR_SET_NAME},    {"prctl", 0, UINT32_MAX, PR_SET_NO_NEW_PRIVS},
	  {"prctl", 0, UINT32_MAX, PR_SET_SECCOMP}, {"prlimit64", 0, UINT32_MAX, 0}, /* its own */
};

/* Who is filtered, and what it has beside the common calls. */
static const struct role {
	const char *calls;
	const struct condition *conditions;
	size_t n_conditions;
} daemon_role = {daemon_calls, daemon_conditions, N_OF(daemon_conditions)},
  keeper_role = {keeper_calls, keeper_conditions, N_OF(keeper_conditions)},
  server_role = {"", NULL, 0};

static void seccomp_releasep(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* @calls: names, each followed by a blank. One that this architecture does not have is done by
 * another. */
static int allow(scmp_filter_ctx filter, const char *calls)
{
	char name[32];
	int r = 0;

	for (const char *end; r == 0 && (end = strchr(calls, ' ')); calls = end + 1) {
		snprintf(name, sizeof(name), "%.*s", (int)(end - calls), calls);
		int call = seccomp_syscall_resolve_name(name);
		r = call == __NR_SCMP_ERROR ? -EINVAL
					    : seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0);
	}
	return r;
}

static int allow_if(scmp_filter_ctx filter, const struct condition *conditions, size_t n_conditions)
{
	int r = 0;

	for (size_t i = 0; i < n_conditions && r == 0; i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW,
				     seccomp_syscall_resolve_name(conditions[i].call), 1,
				     SCMP_CMP(conditions[i].argument, SCMP_CMP_MASKED_EQ,
					      conditions[i].mask, conditions[i].value));
	return r;
}

/* Filters this thread, which is the only one. */
static int filter_calls(const struct role *role)
{
	_cleanup_(seccomp_releasep) scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));

	if (!filter)
		return -ENOMEM;
	/* glibc then takes clone(), whose flags a filter can see. */
	int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	if (r == 0)
		r = allow(filter, common_calls);
	if (r == 0)
		r = allow_if(filter, common_conditions, N_OF(common_conditions));
	if (r == 0)
		r = allow(filter, role->calls);
	if (r == 0)
		r = allow_if(filter, role->conditions, role->n_conditions);
	if (r == 0)
		r = seccomp_load(filter);
	return r;
}

/* Keeps @kept, a set of bits, of what a program that is executed could get. Needs CAP_SETPCAP; who
 * lacks it has no_new_privs and the filter to keep it from executing any. */
static void bound_capabilities(uint64_t kept)
{
	for (unsigned int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0;
	     capability++)
		if (capability >= 64 || !(kept >> capability & 1))
			prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
}

static int keep_capabilities(uint64_t kept)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (unsigned int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
		data[i].effective = data[i].permitted = (uint32_t)(kept >> 32 * i);
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int allow_below(int rules, const char *path, uint64_t access)
{
	_cleanup_(closep) int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0
		       ? -errno
		       : 0;
}

/* What a version of the kernel's interface can forbid. */
static uint64_t known_accesses(long version)
{
	uint64_t accesses = LANDLOCK_ACCESS_FS_REFER * 2 - 1; /* all of version 2 */

	if (version >= 3)
		accesses |= LANDLOCK_ACCESS_FS_REFER << 1; /* TRUNCATE, for headers of 6.1 */
	return accesses;
}

static int restrict_files(const char *const *writable, size_t n_writable)
{
	const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	long version =
		syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct landlock_ruleset_attr attr;

	/* The first version forbids any link from one directory to another, and history is kept by
	 * such. */
	if (version < 2)
		return version >= 0 || errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -errno;
	attr.handled_access_fs = known_accesses(version);
	_cleanup_(closep) int rules =
		(int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
	if (rules < 0)
		return -errno;
	int r = allow_below(rules, "/", reading);
	for (size_t i = 0; i < n_writable && r == 0; i++)
		if (writable[i])
			r = allow_below(rules, writable[i],
					attr.handled_access_fs & ~LANDLOCK_ACCESS_FS_EXECUTE);
	if (r < 0)
		return r;
	return syscall(SYS_landlock_restrict_self, rules, 0) < 0 ? -errno : 0;
}

int ms_sandbox_enter(const char *const *writable, size_t n_writable)
{
	const uint64_t kept = UINT64_C(1) << CAP_NET_ADMIN | UINT64_C(1) << CAP_NET_BROADCAST;

	bound_capabilities(kept);
	int r = keep_capabilities(kept);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = restrict_files(writable, n_writable);
	return r < 0 ? r : filter_calls(&daemon_role);
}

static int set_limit(__rlimit_resource_t resource, rlim_t value)
{
	struct rlimit limit = {value, value};

	return setrlimit(resource, &limit) < 0 ? -errno : 0;
}

static int limit_resources(void)
{
	static const struct {
		__rlimit_resource_t resource;
		rlim_t limit;
	} limits[] = {{RLIMIT_NOFILE, NOBODY_DESCRIPTORS}, {RLIMIT_FSIZE, 0}, {RLIMIT_CORE, 0}};
	int r = 0;

	for (size_t i = 0; i < N_OF(limits) && r == 0; i++)
		r = set_limit(limits[i].resource, limits[i].limit);
	return r;
}

int ms_sandbox_become_nobody(void)
{
	int r = limit_resources();

	if (r < 0)
		return r;
	bound_capabilities(0);
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
	    setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return -errno;
	r = keep_capabilities(0);
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = restrict_files(NULL, 0);
	return r < 0 ? r : filter_calls(&keeper_role);
}

int ms_sandbox_only_serve(void)
{
	int r = set_limit(RLIMIT_NPROC, 0);

	return r < 0 ? r : filter_calls(&server_role);
}
