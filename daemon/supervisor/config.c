/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/supervisor/config.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/limits.h"

#define MAX_SENTENCE_BYTES 512
#define BYTE_ORDER_MARK    "\xef\xbb\xbf"
/* Domain 1 to the last one have a uid each above it, and none of them is root or no uid at all. */
#define MAX_DOMAIN_UID_BASE (UINT32_MAX - 1 - MAX_DOMID)

struct parser;

/* A setting that is no mere number. */
struct word {
	const char *section;
	const char *key;
	void (*set)(struct parser *parser, const char *key, const char *value);
	void (*set_usual)(struct parser *parser); /* without a word of it in the file; NULL: it stays empty */
};

#define N_WORDS 5
static const struct word words[N_WORDS];

struct parser {
	const struct config_reader *reader;
	const char *next; /* what the library has not been given yet */
	const char *end;
	unsigned int line; /* the one that it was given last; 0: what is wrong is no line's fault */
	unsigned int n_faults;
	struct settings settings;
	/* The line that sets it, 0 for none. */
	unsigned int number_seen_in[SETTINGS_N_NUMBERS];
	unsigned int word_seen_in[N_WORDS];
};

__attribute__((format(printf, 2, 3))) static void complain(struct parser *parser, const char *format, ...)
{
	char sentence[MAX_SENTENCE_BYTES];
	int n = parser->line
			? snprintf(sentence, sizeof(sentence), "%s:%u: ", parser->reader->file, parser->line)
			: snprintf(sentence, sizeof(sentence), "%s: ", parser->reader->file);
	va_list args;

	if (n > (int)sizeof(sentence) / 2)
		n = sizeof(sentence) / 2;
	va_start(args, format);
	vsnprintf(sentence + n, sizeof(sentence) - n, format, args);
	va_end(args);
	for (char *c = sentence; *c; c++) {
		if (!isprint((unsigned char)*c))
			*c = '?';
	}
	parser->reader->complain(parser->reader->data, sentence);
	parser->n_faults++;
}

/* ---- lines ---- */

static bool is_section(const char *name, size_t n_bytes)
{
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++) {
		const char *section = settings_numbers[i].section;
		if (strlen(section) == n_bytes && memcmp(section, name, n_bytes) == 0)
			return true;
	}
	for (size_t i = 0; i < N_WORDS; i++) {
		if (strlen(words[i].section) == n_bytes && memcmp(words[i].section, name, n_bytes) == 0)
			return true;
	}
	return false;
}

/* What is behind a section's closing bracket: a comment at most. */
static bool is_end(const char *rest)
{
	return rest[strspn(rest, " \t")] == '\0' || rest[strspn(rest, " \t")] == ';';
}

/* The library passes over what it cannot read, and says so of one line only: here is said what it is. */
static bool is_sound(struct parser *parser, const char *line)
{
	const char *end = strchr(line, ']');

	if (strlen(line) > MAX_CONFIG_LINE_BYTES)
		complain(parser, "the line has %zu bytes, at most %u are allowed", strlen(line),
			MAX_CONFIG_LINE_BYTES);
	else if (*line == '[' && !end)
		complain(parser, "\"%s\" has no closing bracket", line);
	else if (*line == '[' && !is_section(line + 1, end - line - 1))
		complain(parser, "there is no section %.*s", (int)(end - line) + 1, line);
	else if (*line == '[' && !is_end(end + 1))
		complain(parser, "\"%s\" stands behind %.*s, on a line that is for a section alone",
			end + 1 + strspn(end + 1, " \t"), (int)(end - line) + 1, line);
	else if (strncmp(line, BYTE_ORDER_MARK, strlen(BYTE_ORDER_MARK)) == 0)
		complain(parser, "the line begins with a byte order mark; the file must be without");
	else if (*line != '[' && *line != '\0' && *line != '#' && *line != ';' && !strchr(line, '='))
		complain(parser, "\"%s\" is no section, no \"key = value\", and no comment", line);
	else
		return true;
	return false;
}

/* The library's fgets: a line without the blanks before it, by which it would continue the one before. */
static char *read_line(char *ret_line, int size, void *data)
{
	struct parser *parser = data;
	char line[MAX_CONFIG_BYTES + 1];

	if (parser->next == parser->end)
		return NULL;
	parser->line++;
	const char *newline = memchr(parser->next, '\n', parser->end - parser->next);
	const char *end = newline ? newline : parser->end;
	while (parser->next < end && isspace((unsigned char)*parser->next))
		parser->next++;
	size_t n_bytes = end - parser->next;
	memcpy(line, parser->next, n_bytes);
	line[n_bytes] = '\0';
	parser->next = newline ? newline + 1 : parser->end;
	if (strlen(line) < n_bytes) {
		complain(parser, "the line has a zero byte");
		line[0] = '\0';
	}
	while (n_bytes > 0 && isspace((unsigned char)line[n_bytes - 1]))
		line[--n_bytes] = '\0';
	snprintf(ret_line, size, "%s\n", is_sound(parser, line) ? line : "");
	return ret_line;
}

/* ---- values ---- */

static bool parse_number(const char *text, uint64_t *ret_value)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	uint64_t value = strtoull(text, &end, strncmp(text, "0x", 2) == 0 ? 16 : 10);
	if (errno || *end)
		return false;
	*ret_value = value;
	return true;
}

static void set_number(struct parser *parser, const struct setting *setting, const char *text)
{
	uint64_t value = 0;
	if (parse_number(text, &value) &&
		((value >= setting->min && value <= setting->max) || (value == 0 && setting->may_be_0))) {
		settings_set(&parser->settings, setting, value);
		return;
	}
	complain(parser, "%s is \"%s\"; %sa number from %" PRIu32 " to %" PRIu32 " is allowed", setting->key,
		text, setting->may_be_0 ? "0 or " : "", setting->min, setting->max);
}

/* As struct config_reader has it. */
static int look_up(const struct parser *parser, bool group, const char *name, uint32_t *ret_id)
{
	const struct config_reader *reader = parser->reader;
	return group ? reader->find_group(reader->data, name, ret_id)
		     : reader->find_user(reader->data, name, ret_id);
}

/* A user or group, by name or number. */
static bool find_id(struct parser *parser, const char *key, bool group, const char *text, uint32_t *ret_id)
{
	uint64_t number;

	if (isdigit((unsigned char)*text)) {
		if (parse_number(text, &number) && number < UINT32_MAX) {
			*ret_id = number;
			return true;
		}
		complain(parser, "%s has \"%s\", which is no name and no number from 0 to %" PRIu32, key,
			text, UINT32_MAX - 1);
		return false;
	}
	int found = look_up(parser, group, text, ret_id);
	if (found == 0)
		complain(parser, "%s has \"%s\", and there is no such %s", key, text,
			group ? "group" : "user");
	else if (found < 0)
		complain(parser, "%s has \"%s\", and whether there is such a %s cannot be told: %s", key,
			text, group ? "group" : "user", strerror(errno));
	return found > 0;
}

static void set_ids(
	struct parser *parser, const char *key, bool group, const char *value, struct id_list *ret_list)
{
	char names[MAX_CONFIG_LINE_BYTES + 1], *rest = names;

	*ret_list = (struct id_list){0};
	snprintf(names, sizeof(names), "%s", value);
	for (char *name; (name = strtok_r(rest, ", \t", &rest));) {
		uint32_t id;
		if (!find_id(parser, key, group, name, &id))
			continue;
		if (ret_list->n == MAX_CONFIG_IDS) {
			complain(parser, "%s has more than %u names", key, MAX_CONFIG_IDS);
			return;
		}
		ret_list->ids[ret_list->n++] = id;
	}
}

static void set_admin_users(struct parser *parser, const char *key, const char *value)
{
	set_ids(parser, key, false, value, &parser->settings.admin_uids);
}

static void set_admin_groups(struct parser *parser, const char *key, const char *value)
{
	set_ids(parser, key, true, value, &parser->settings.admin_gids);
}

static void set_domain_uid_base(struct parser *parser, const char *key, const char *value)
{
	uint32_t uid;

	parser->settings.domain_uid_base = 0;
	if (strcmp(value, "none") == 0 || !find_id(parser, key, false, value, &uid))
		return;
	if (uid == 0 || uid > MAX_DOMAIN_UID_BASE)
		complain(parser, "%s is uid %" PRIu32 "; 1 to %" PRIu32 " is allowed", key, uid,
			MAX_DOMAIN_UID_BASE);
	else
		parser->settings.domain_uid_base = uid;
}

/* "0x100" or "0x100-0x1ff" */
static bool parse_window(char *text, struct gfn_window *ret_window)
{
	char *last = strchr(text, '-');

	if (last)
		*last++ = '\0';
	return parse_number(text, &ret_window->first) &&
	       parse_number(last ? last : text, &ret_window->last) && ret_window->first <= ret_window->last &&
	       ret_window->last < MAX_GFN;
}

static void set_windows(
	struct parser *parser, const char *key, const char *value, struct window_list *ret_list)
{
	char texts[MAX_CONFIG_LINE_BYTES + 1], *rest = texts;

	*ret_list = (struct window_list){0};
	snprintf(texts, sizeof(texts), "%s", value);
	if (!texts[strspn(texts, ", \t")])
		complain(parser, "%s has no window; where pages may lie everywhere there is no such line",
			key);
	for (char *text; (text = strtok_r(rest, ", \t", &rest));) {
		struct gfn_window window;
		char copy[MAX_CONFIG_LINE_BYTES + 1];
		snprintf(copy, sizeof(copy), "%s", text);
		if (!parse_window(copy, &window)) {
			complain(parser, "%s has \"%s\", which is no FIRST-LAST of gfns below 0x%llx", key,
				text, MAX_GFN);
		} else if (ret_list->n == MAX_GFN_WINDOWS) {
			complain(parser, "%s has more than %u windows", key, MAX_GFN_WINDOWS);
			return;
		} else {
			ret_list->windows[ret_list->n++] = window;
		}
	}
}

static void set_vram(struct parser *parser, const char *key, const char *value)
{
	set_windows(parser, key, value, &parser->settings.vram);
}

static void set_backing(struct parser *parser, const char *key, const char *value)
{
	set_windows(parser, key, value, &parser->settings.backing);
}

/* One that need not exist. A lookup that fails is a fault: it would take from its members what they have. */
static bool find_usual(struct parser *parser, const char *key, bool group, const char *name, uint32_t *ret_id)
{
	int found = look_up(parser, group, name, ret_id);
	if (found < 0) {
		parser->line = 0;
		complain(parser, "%s is not set, and whether there is its usual %s \"%s\" cannot be told: %s",
			key, group ? "group" : "user", name, strerror(errno));
	}
	return found > 0;
}

static void set_usual_admin_groups(struct parser *parser)
{
	uint32_t gid;
	if (find_usual(parser, "admin-groups", true, "xenvram", &gid))
		parser->settings.admin_gids = (struct id_list){1, {gid}};
}

static void set_usual_domain_uid_base(struct parser *parser)
{
	uint32_t uid;
	if (find_usual(parser, "domain-uid-base", false, "xen-qemuuser-range-base", &uid) && uid > 0 &&
		uid <= MAX_DOMAIN_UID_BASE)
		parser->settings.domain_uid_base = uid;
}

static const struct word words[N_WORDS] = {
	{"access", "admin-users", set_admin_users, NULL},
	{"access", "admin-groups", set_admin_groups, set_usual_admin_groups},
	{"access", "domain-uid-base", set_domain_uid_base, set_usual_domain_uid_base},
	{"gfns", "vram", set_vram, NULL},
	{"gfns", "backing", set_backing, NULL},
};

static void note_seen(struct parser *parser, const char *key, unsigned int *seen_in)
{
	if (*seen_in)
		complain(parser, "%s is set already, in line %u", key, *seen_in);
	*seen_in = parser->line;
}

/* Called for each key with a value. */
static int on_value(void *data, const char *section, const char *key, const char *value)
{
	struct parser *parser = data;

	for (size_t i = 0; i < N_WORDS; i++) {
		if (strcmp(words[i].section, section) != 0 || strcmp(words[i].key, key) != 0)
			continue;
		note_seen(parser, key, &parser->word_seen_in[i]);
		words[i].set(parser, key, value);
		return 1;
	}
	for (size_t i = 0; i < SETTINGS_N_NUMBERS; i++) {
		const struct setting *setting = &settings_numbers[i];
		if (strcmp(setting->section, section) != 0 || strcmp(setting->key, key) != 0)
			continue;
		note_seen(parser, key, &parser->number_seen_in[i]);
		set_number(parser, setting, value);
		return 1;
	}
	if (!*section)
		complain(parser, "%s stands before the first section", key);
	else if (is_section(section, strlen(section)))
		complain(parser, "section [%s] has no key \"%s\"", section, key);
	return 1; /* an unknown section was complained about at its beginning */
}

static void set_usual(struct parser *parser)
{
	for (size_t i = 0; i < N_WORDS; i++) {
		if (!parser->word_seen_in[i] && words[i].set_usual)
			words[i].set_usual(parser);
	}
}

/* What each is allowed to be by itself, but not together. */
static void check_together(struct parser *parser)
{
	const struct settings *settings = &parser->settings;
	uint32_t needed = QUEUED_BYTES_FOR(settings->requests_in_flight);

	if (settings->queued_bytes >= needed)
		return;
	parser->line = parser->number_seen_in[settings_number_at(offsetof(struct settings, queued_bytes)) -
					      settings_numbers];
	complain(parser,
		"queued-bytes is %" PRIu32
		", too few for the replies to %u requests in flight; at least %" PRIu32
		" are needed, or requests-in-flight must be less",
		settings->queued_bytes, settings->requests_in_flight, needed);
}

int config_parse(
	const struct config_reader *reader, const char *text, size_t n_bytes, struct settings *ret_settings)
{
	struct parser parser = {.reader = reader, .next = text, .end = text + n_bytes};

	settings_init(&parser.settings);
	snprintf(parser.settings.file, sizeof(parser.settings.file), "%s", reader->file);
	if (n_bytes > MAX_CONFIG_BYTES) {
		complain(&parser, "the file has more than the %u bytes that are allowed", MAX_CONFIG_BYTES);
		return -1;
	}
	int faulty_line = ini_parse_stream(read_line, &parser, on_value, &parser);
	if (faulty_line != 0 && parser.n_faults == 0) {
		parser.line = faulty_line;
		complain(&parser, "the line cannot be understood");
	}
	set_usual(&parser);
	if (parser.n_faults == 0)
		check_together(&parser);
	if (parser.n_faults > 0)
		return -1;
	*ret_settings = parser.settings;
	return 0;
}
