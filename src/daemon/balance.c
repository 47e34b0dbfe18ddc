/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "daemon/balance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "microseg/cleanup.h"
#include "microseg/event.h"

struct account {
	enum ms_family family;
	char *chain;
	uint64_t packets; /* at the last look */
};

struct ms_balance {
	MS_VEC(struct account) accounts; /* few: a chain a reason, direction and mode */
	uint64_t total;
	bool failed;
};

struct ms_balance *ms_balance_new(void)
{
	return calloc(1, sizeof(struct ms_balance));
}

struct ms_balance *ms_balance_free(struct ms_balance *balance)
{
	if (!balance)
		return NULL;
	ms_vec_each (struct account, account, &balance->accounts)
		free(account->chain);
	ms_vec_fini(&balance->accounts);
	free(balance);
	return NULL;
}

static struct account *find(struct ms_balance *balance, const struct ms_kernel_counter *counter)
{
	ms_vec_each (struct account, account, &balance->accounts)
		if (account->family == counter->family &&
		    strcmp(account->chain, counter->chain) == 0)
			return account;

	struct account made = {.family = counter->family, .chain = strdup(counter->chain)};

	if (!made.chain || ms_vec_push(&balance->accounts, made) < 0) {
		free(made.chain);
		return NULL;
	}
	return &balance->accounts.items[balance->accounts.n_items - 1];
}

static void on_counter(const struct ms_kernel_counter *counter, void *userdata)
{
	struct ms_balance *balance = userdata;
	struct ms_log_tag tag;

	if (!counter->prefix || ms_log_tag_parse(counter->prefix, &tag) < 0)
		return;
	struct account *account = find(balance, counter);
	if (!account) {
		balance->failed = true;
		return;
	}
	balance->total += counter->packets >= account->packets ? counter->packets - account->packets
							       : counter->packets;
	account->packets = counter->packets;
}

int ms_balance_read(struct ms_balance *balance, struct ms_kernel *kernel, uint64_t *ret_total)
{
	balance->failed = false;
	int r = ms_kernel_rule_counters(kernel, on_counter, balance);

	if (r < 0 || balance->failed)
		return r < 0 ? r : -ENOMEM;
	*ret_total = balance->total;
	return 0;
}
