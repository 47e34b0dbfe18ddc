/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Off: the switch, and its end. */
#include <time.h>

#include "daemon/daemon.h"
#include "daemon/log.h"

#define BACK_ON_MS 1000 /* how often the clock is looked at: it may be set meanwhile */

void ms_off_look(void *userdata)
{
	struct ms_daemon *daemon = userdata;

	if (!daemon->off || daemon->off_until == 0)
		return;
	if (time(NULL) < daemon->off_until || ms_daemon_set_off(daemon, false, 0) < 0)
		ms_timer_set(daemon->back_on, BACK_ON_MS);
}

int ms_daemon_set_off(struct ms_daemon *daemon, bool off, time_t until)
{
	int r = ms_state_set_off(daemon->store, off, until);

	if (r < 0)
		return r;
	ms_log(MS_LOG_NOTICE, off ? "off: taking our tables and bridge settings away"
				  : "on: back to what is applied");
	if (off)
		ms_trial_undo(daemon, "microseg is switched off");
	daemon->off = off;
	daemon->off_until = off ? until : 0;
	daemon->cleared = false;
	ms_timer_stop(daemon->retry);
	ms_timer_stop(daemon->back_on);
	ms_off_look(daemon);
	ms_loop_defer(daemon->loop);
	return 0;
}
