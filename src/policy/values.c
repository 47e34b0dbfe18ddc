/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/schema.h"

static bool complain(struct ms_complaint *complaint, const char *code, const char *hint,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Always returns false, so that a check can end in it. */
static bool complain(struct ms_complaint *complaint, const char *code, const char *hint,
		     const char *format, ...)
{
	va_list args;

	complaint->code = code;
	snprintf(complaint->hint, sizeof(complaint->hint), "%s", hint ? hint : "");
	va_start(args, format);
	vsnprintf(complaint->message, sizeof(complaint->message), format, args);
	va_end(args);
	return false;
}

static bool check_text(const char *text, struct ms_complaint *complaint)
{
	if (*text)
		return true;
	return complain(complaint, "empty-value", NULL, "an empty text");
}

static bool check_bool(const char *text, struct ms_complaint *complaint)
{
	if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
		return true;
	return complain(complaint, "bad-bool", NULL, "'%s' is neither true nor false", text);
}

/* Reserved words say what to write instead: the words themselves are peers, or nearly. */
static const struct {
	const char *word, *as_peer;
} reserved[] = {
	{"host", NULL},
	{"self", NULL},
	{"net", "write {net: CIDR}, or {net: NAME} for a net of the Environments document"},
	{"node", "write {node: NAME}"},
	{"any",
	 "write \"*\" for every service of the environment, {net: internet} for the outside"},
	{"internet", "write {net: internet}"},
	{"gateway", "write host"},
	{"unidentified", "containers without an identity cannot be granted anything"},
};

#define N_RESERVED (sizeof(reserved) / sizeof(reserved[0]))

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool has_name_form(const char *text)
{
	size_t len = 0;

	if (!is_letter(*text))
		return false;
	for (; text[len]; len++)
		if (!is_letter(text[len]) && !(text[len] >= '0' && text[len] <= '9') &&
		    !strchr("._-", text[len]))
			return false;
	return len <= MS_MAX_NAME;
}

static bool is_reserved(const char *text)
{
	for (size_t i = 0; i < N_RESERVED; i++)
		if (strcmp(text, reserved[i].word) == 0)
			return true;
	return false;
}

bool ms_name_valid(const char *name)
{
	return has_name_form(name) && !is_reserved(name);
}

static bool check_name(const char *text, struct ms_complaint *complaint)
{
	if (!has_name_form(text))
		return complain(complaint, "bad-name", NULL, "'%s' is not a name", text);
	if (is_reserved(text))
		return complain(complaint, "reserved-name", "choose another name",
				"'%s' is a reserved word", text);
	return true;
}

static bool check_name_or_star(const char *text, struct ms_complaint *complaint)
{
	return strcmp(text, "*") == 0 || check_name(text, complaint);
}

static bool check_labels(const char *text, struct ms_complaint *complaint)
{
	size_t len = strlen(text);

	if (len > 0 && text[0] != '+' && text[len - 1] != '+' && !strstr(text, "++"))
		return true;
	return complain(complaint, "bad-label", NULL, "'%s' names no label", text);
}

static bool check_address(const char *text, struct ms_complaint *complaint)
{
	struct ms_addr addr;

	if (ms_addr_parse(text, &addr) < 0)
		return complain(complaint, "bad-address", NULL, "'%s' is not an address", text);
	if (ms_addr_is_multicast(&addr) || ms_addr_is_unspecified(&addr))
		return complain(complaint, "bad-address", NULL, "'%s' is no address of one machine",
				text);
	return true;
}

static bool check_resolver(const char *text, struct ms_complaint *complaint)
{
	return strcmp(text, "gateway") == 0 || check_address(text, complaint);
}

/* The network that an address with host bits lies in, for the hint. */
static void hint_network(const char *text, char *hint, size_t size)
{
	char head[MS_ADDR_TEXT_SIZE], network[MS_ADDR_TEXT_SIZE];
	const char *slash = strchr(text, '/');
	struct ms_prefix prefix = {0};
	unsigned int len = 0;

	if (!slash || (size_t)(slash - text) >= sizeof(head))
		return;
	memcpy(head, text, (size_t)(slash - text));
	head[slash - text] = '\0';
	if (ms_addr_parse(head, &prefix.addr) < 0 || sscanf(slash + 1, "%3u", &len) != 1)
		return;
	prefix.len = (uint8_t)len;
	struct ms_range range = ms_prefix_range(&prefix);

	snprintf(hint, size, "the network is %s/%u, the single address %s",
		 ms_addr_format(&range.first, network), len, head);
}

static bool check_cidr(const char *text, struct ms_complaint *complaint)
{
	struct ms_prefix prefix;
	int r = ms_prefix_parse(text, &prefix);

	if (r == -EDOM) {
		complain(complaint, "host-bits", NULL, "'%s' has bits set behind its prefix", text);
		hint_network(text, complaint->hint, sizeof(complaint->hint));
		return false;
	}
	return r == 0 || complain(complaint, "bad-cidr", NULL, "'%s' is not a CIDR", text);
}

static bool check_net(const char *text, struct ms_complaint *complaint)
{
	if (strcmp(text, "internet") == 0 || ms_name_valid(text))
		return true;
	return is_reserved(text) ? check_name(text, complaint) : check_cidr(text, complaint);
}

static bool check_ports(const char *text, struct ms_complaint *complaint)
{
	struct ms_ports ports;
	char hint[80] = "";

	switch (ms_ports_parse(text, &ports)) {
	case 0:
		return true;
	case -ERANGE:
		return complain(complaint, "port-range",
				"ports go from 1 to 65535, types and protocols from 0 to 255",
				"a number of '%s' is out of range", text);
	case -EDOM:
		return complain(complaint, "reversed-range", "write the lower end first",
				"the range '%s' is reversed", text);
	case -EEXIST:
		return complain(complaint, "named-protocol",
				"write tcp/, udp/, sctp/, icmp/ or icmp6/",
				"the protocol of '%s' has a name", text);
	default:
		if (*text && strspn(text, "0123456789-") == strlen(text))
			snprintf(hint, sizeof(hint), "with its protocol: tcp/%.20s or udp/%.20s",
				 text, text);
		return complain(complaint, "bad-port", hint, "'%s' is not a port", text);
	}
}

static bool check_ports_use(const char *text, struct ms_complaint *complaint)
{
	if (strchr(text, '/') || !has_name_form(text))
		return check_ports(text, complaint);
	if (strcmp(text, "any") == 0)
		return complain(complaint, "bad-port", "write ports: any, or list the ports",
				"'any' cannot stand beside other ports");
	return check_name(text, complaint);
}

static bool check_time(const char *text, struct ms_complaint *complaint)
{
	time_t when;

	return ms_time_parse(text, &when) == 0 ||
	       complain(complaint, "bad-time", NULL, "'%s' is not a time", text);
}

static bool check_duration(const char *text, struct ms_complaint *complaint)
{
	time_t seconds;

	return ms_duration_parse(text, &seconds) == 0 ||
	       complain(complaint, "bad-duration", NULL, "'%s' is not a duration", text);
}

static bool check_env_service(const char *text, const char *slash, struct ms_complaint *complaint)
{
	char env[MS_MAX_NAME + 1];
	size_t len = (size_t)(slash - text);

	if (len > MS_MAX_NAME)
		return complain(complaint, "bad-peer", NULL, "'%s' is not a peer", text);
	memcpy(env, text, len);
	env[len] = '\0';
	if (!ms_name_valid(env) || (strcmp(slash + 1, "*") != 0 && !ms_name_valid(slash + 1)))
		return complain(complaint, "bad-peer", NULL, "'%s' is not a peer", text);
	return true;
}

static bool check_peer(const char *text, struct ms_complaint *complaint)
{
	const char *slash = strchr(text, '/');
	struct ms_prefix prefix;
	char hint[128];

	for (size_t i = 0; i < N_RESERVED; i++) {
		if (strcmp(text, reserved[i].word) != 0)
			continue;
		return !reserved[i].as_peer || complain(complaint, "bad-peer", reserved[i].as_peer,
							"'%s' is no peer by itself", text);
	}
	if (ms_prefix_parse(text, &prefix) != -EINVAL) {
		snprintf(hint, sizeof(hint), "write {net: \"%s\"}", text);
		return complain(complaint, "bad-peer", hint, "an address is no peer by itself");
	}
	if (slash)
		return check_env_service(text, slash, complaint);
	if (strcmp(text, "*") == 0 || has_name_form(text))
		return true;
	return complain(complaint, "bad-peer", NULL, "'%s' is not a peer", text);
}

const char *ms_reserved_word(size_t index)
{
	return index < N_RESERVED ? reserved[index].word : NULL;
}

/* The forms of single values as regular expressions that Python, JavaScript and others share. They
   are for editors; what decides is the check. */
#define OCTET "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
#define IP4 OCTET "(?:\\." OCTET "){3}"
#define IP6 "(?=[^/]*:[^/]*:)[0-9A-Fa-f:.]{2,45}"
#define CIDR IP4 "(?:/(?:3[0-2]|[12]?[0-9]))?|" IP6 "(?:/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))?"
#define PORT                                                                                       \
	"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
#define PORTS                                                                                      \
	"(?:tcp|udp|sctp)/" PORT "(?:-" PORT ")?|icmp6?/" OCTET                                    \
	"|proto/(?!(?:1|6|17|58|132)$)" OCTET
#define CLOCK "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
#define DATE "(?:19[7-9][0-9]|[2-9][0-9]{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
#define WHOLE(form) "^(?:" form ")$"

const struct ms_value_type ms_value_types[MS_N_VALUES] = {
	[MS_VALUE_TEXT] = {"a text", "a text", check_text},
	[MS_VALUE_BOOL] = {"true or false", "true or false", check_bool},
	[MS_VALUE_CHOICE] = {"one of a few words", "one of a few words", NULL},
	[MS_VALUE_NAME] = {"a name",
			   "a name: a letter, then letters, digits, '.', '_' and '-', 63 at most",
			   check_name, WHOLE(MS_NAME_PATTERN), .is_name = true},
	[MS_VALUE_SERVICE] =
		{"a name or \"*\"",
		 "a name: a letter, then letters, digits, '.', '_' and '-', 63 at most; or \"*\"",
		 check_name_or_star, WHOLE("\\*|" MS_NAME_PATTERN), .is_name = true},
	[MS_VALUE_LABELS] = {"a label", "a label such as io.microseg.env, or two as a+b",
			     check_labels, "^[^+]+(?:\\+[^+]+)*$"},
	[MS_VALUE_GLOB] = {"a pattern", "a pattern such as \"orders-*\"", check_text},
	[MS_VALUE_ADDRESS] = {"an address", "an address such as 192.0.2.1 or \"2001:db8::1\"",
			      check_address, WHOLE(IP4 "|" IP6)},
	[MS_VALUE_RESOLVER] = {"an address or gateway", "an address such as 10.0.0.53, or gateway",
			       check_resolver, WHOLE("gateway|" IP4 "|" IP6)},
	[MS_VALUE_CIDR] = {"a CIDR", "a CIDR such as 10.8.0.0/24 or \"fd00::/8\"", check_cidr,
			   WHOLE(CIDR)},
	[MS_VALUE_NET] = {"a CIDR or the name of a net",
			  "a CIDR such as 10.8.0.0/24, or the name of a net such as internet",
			  check_net, WHOLE(CIDR "|" MS_NAME_PATTERN), .is_name = true,
			  .but_word = "internet"},
	[MS_VALUE_NODE] = {"a node", "the name of a node, or \"*\"", check_name_or_star,
			   WHOLE("\\*|" MS_NAME_PATTERN), .is_name = true},
	[MS_VALUE_PORTS] = {"a port",
			    "tcp/5432, udp/8000-8100, sctp/3868, icmp/8, icmp6/128 or proto/47",
			    check_ports, WHOLE(PORTS)},
	[MS_VALUE_PORTS_USE] =
		{"a port",
		 "tcp/5432, udp/8000-8100, sctp/3868, icmp/8, icmp6/128, proto/47, or a port's name",
		 check_ports_use, WHOLE(PORTS "|" MS_NAME_PATTERN), .is_name = true},
	[MS_VALUE_TIME] = {"a time", "a time such as 2026-12-01T18:00:00Z", check_time,
			   "^" DATE "T" CLOCK ":[0-5][0-9](?:Z|[+-]" CLOCK ")$"},
	[MS_VALUE_DURATION] = {"a duration", "a duration such as 30d, 12h or 90m", check_duration,
			       "^(?=[0-9]{1,9}[smhdw]$)0*[1-9][0-9]*[smhdw]$"},
	[MS_VALUE_PEER] = {"a peer",
			   "a service, env/service, self, \"*\", host, {net: CIDR} or {node: NAME}",
			   check_peer},
	[MS_VALUE_SECTION] = {"a mapping", "a mapping", NULL},
};
