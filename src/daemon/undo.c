/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/flags.h"
#include "daemon/log.h"
#include "daemon/stored.h"
#include "microseg/cleanup.h"
#include "microseg/compile.h"

#define RETRY_MS 500
#define MAX_TRIES 60
#define MAX_POLL_MS 60000 /* a clock that was suspended with the machine is looked at again */

/* Returns true when it was sent home, false when the daemon is gone. */
static bool wait_for_word(int fd)
{
	char byte;
	ssize_t n;

	do
		n = read(fd, &byte, 1);
	while (n < 0 && errno == EINTR);
	return n == 1;
}

static void wait_until(uint64_t end_ms)
{
	for (uint64_t now_ms = ms_monotonic_ms(); now_ms < end_ms; now_ms = ms_monotonic_ms())
		poll(NULL, 0, end_ms - now_ms < MAX_POLL_MS ? (int)(end_ms - now_ms) : MAX_POLL_MS);
}

static int load_before(const struct ms_config *config, struct ms_state *state,
		       struct ms_kernel *kernel, struct ms_str *error)
{
	struct ms_compile_options options = ms_config_compile_options(config);
	_cleanup_(ms_loaded_freep) struct ms_loaded *loaded = NULL;
	_cleanup_(ms_inventory_freep) struct ms_inventory *inventory = NULL;
	_cleanup_(ms_ruleset_freep) struct ms_ruleset *ruleset = NULL;
	int r = ms_stored_policy(state, config->state, &loaded);

	options.now = time(NULL);
	if (r == 0)
		r = ms_stored_inventory(state, NULL, &inventory);
	if (r == 0)
		r = ms_inventory_identify(inventory, loaded->policy);
	if (r == 0)
		r = ms_compile(loaded->policy, inventory, &options, &ruleset);
	if (r == 0)
		r = ms_kernel_replace(kernel, ruleset, error);
	if (r == 0)
		ms_revoke_refused(kernel, ruleset, loaded->policy, inventory);
	return r;
}

static int disarm(struct ms_state *state, struct ms_kernel *kernel, struct ms_str *error)
{
	int r = ms_kernel_replace(kernel, NULL, error);

	return r < 0 ? r : ms_flags_restore(state, error);
}

static int undo(const struct ms_config *config, struct ms_state *state, struct ms_str *error)
{
	_cleanup_(ms_kernel_freep) struct ms_kernel *kernel = NULL;
	time_t until;
	int r;

	if (ms_state_is_off(state, time(NULL), &until))
		return 0;
	r = ms_kernel_open(&kernel);
	if (r == 0)
		r = ms_state_first_was_trial(state) ? disarm(state, kernel, error)
						    : load_before(config, state, kernel, error);
	if (r == 0)
		r = ms_state_end_trials(state);
	return r;
}

/* Returns 0 when there is nothing left to do; -EBUSY when a daemon is there; -errno after logging
 * why. */
static int undo_now(const struct ms_config *config, uint64_t staged)
{
	_cleanup_(ms_state_freep) struct ms_state *state = NULL;
	_cleanup_(ms_str_fini) struct ms_str error = {0};
	pid_t holder;
	int r = ms_state_open(config->state, &state, &error);

	if (r == 0 && ms_state_staged(state) != staged)
		return 0; /* a daemon has been here meanwhile, and ended the trial */
	if (r == 0)
		r = ms_state_lock(state, &holder);
	if (r == -EBUSY)
		return r;
	if (r == 0)
		r = undo(config, state, &error);
	if (r < 0)
		ms_log(MS_LOG_ERROR,
		       "a policy that nobody confirmed stays in the kernel: %s; microsegd takes it "
		       "away when it starts",
		       error.len ? error.text : strerror(-r));
	else
		ms_log(MS_LOG_WARNING, "microsegd is gone and nobody confirmed the last policy: "
				       "what was before it is in the kernel again");
	return r;
}

static void watch(const struct ms_config *config, uint64_t staged, uint64_t end_ms, int fd)
{
	int r = -EAGAIN;

	if (wait_for_word(fd))
		return;
	wait_until(end_ms);
	/* A daemon that holds the directory ends the trial itself, or is dying just now. */
	for (int i = 0; i < MAX_TRIES && r < 0; i++) {
		r = undo_now(config, staged);
		if (r < 0)
			poll(NULL, 0, RETRY_MS);
	}
}

/* Whatever the daemon holds open would stay open with us: its lock, and the socket that owns the
 * tables. */
static void detach(int fd)
{
	setsid();
	prctl(PR_SET_NAME, "microsegd-undo");
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	if (fd > 3)
		close_range(3, (unsigned int)fd - 1, 0);
	close_range((unsigned int)fd + 1, ~0u, 0);
}

int ms_undo_start(const struct ms_config *config, uint64_t staged, uint64_t end_ms, int *ret_fd)
{
	int ends[2], status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid_t pid = fork();
	if (pid == 0) {
		pid_t second = fork(); /* twice, so that nobody has to wait for it */

		if (second == 0) {
			detach(ends[0]);
			watch(config, staged, end_ms, ends[0]);
		}
		_exit(second < 0);
	}
	int r = pid < 0 ? -errno : 0;
	close(ends[0]);
	while (r == 0 && waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			r = -errno;
	if (r == 0 && status != 0)
		r = -EAGAIN;
	if (r < 0)
		close(ends[1]);
	else
		*ret_fd = ends[1];
	return r;
}

void ms_undo_stop(int *fd)
{
	if (*fd < 0)
		return;
	(void)!write(*fd, "", 1);
	close(*fd);
	*fd = -1;
}
