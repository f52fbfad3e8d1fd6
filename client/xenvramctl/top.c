/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/xenvramctl/commands.h"
#include "client/xenvramctl/live.h"
#include "client/xenvramctl/names.h"
#include "client/xenvramctl/polling.h"

#define SCREEN_INTERVAL_MS 1000u
#define ROWS_BESIDE_TABLE  6u /* host, titles, the end of a long table, legend, notice, and the cursor */
#define US_PER_MS          1000.0
#define PPM_PER_PERCENT    10000.0

struct top {
	struct live live;
	struct xenvram_poll_budget budget;
	struct polling polling;
};

/* ---- a frame, in two dresses ---- */

static void format_ms(char *text, size_t n_bytes, uint32_t us)
{
	if (us == 0)
		snprintf(text, n_bytes, "-");
	else
		snprintf(text, n_bytes, "%.1f", us / US_PER_MS);
}

static void format_rates(const struct polled_domain *domain, char *text, size_t n_bytes)
{
	if (domain->has_rates)
		snprintf(text, n_bytes, "%8.1f %6.2f  %.0f/%.0f/%.0f", domain->polls_per_s,
			domain->cpu_percent, domain->dirty_guest_pages_per_s,
			domain->dirty_device_model_pages_per_s, domain->dirty_forced_pages_per_s);
	else
		snprintf(text, n_bytes, "%8s %6s  -", "-", "-");
}

static void show_domain(const struct live *live, const struct polled_domain *domain)
{
	const struct xenvram_domain *info = &domain->info;
	char line[LIVE_LINE_BYTES], wanted_ms[16], period_ms[16], rates[128];

	format_ms(wanted_ms, sizeof(wanted_ms), info->wanted_period_us);
	format_ms(period_ms, sizeof(period_ms), info->period_us);
	format_rates(domain, rates, sizeof(rates));
	snprintf(line, sizeof(line), "%5" PRIu32 " %7" PRIu32 " %7" PRIu32 " %7s %7s %-7s %s", info->domid,
		info->regions, info->subscriptions, wanted_ms, period_ms, name_of_stretch(info->stretch),
		rates);
	live_line(live, line);
}

static void show_table(const struct top *top)
{
	const struct live *live = &top->live;
	const struct polling *polling = &top->polling;
	size_t n_shown = polling->n_domains;
	char line[LIVE_LINE_BYTES];

	if (live->on_screen) {
		size_t room =
			live->screen.rows > ROWS_BESIDE_TABLE ? live->screen.rows - ROWS_BESIDE_TABLE : 0;
		n_shown = n_shown < room ? n_shown : room;
	}
	live_begin_frame(live);
	snprintf(line, sizeof(line), "polling: budget %.2f %%  used %.2f %%  one domain %.2f %%",
		top->budget.budget_ppm / PPM_PER_PERCENT, top->budget.used_ppm / PPM_PER_PERCENT,
		top->budget.share_ppm / PPM_PER_PERCENT);
	live_line(live, line);
	snprintf(line, sizeof(line), "%5s %7s %7s %7s %7s %-7s %8s %6s  %s", "DOMID", "REGIONS", "READERS",
		"WANTED", "PERIOD", "WHY", "POLLS/S", "CPU%", "DIRTY/S");
	live_line(live, line);
	for (size_t i = 0; i < n_shown; i++)
		show_domain(live, &polling->domains[i]);
	if (n_shown < polling->n_domains) {
		snprintf(line, sizeof(line), "and %zu more", polling->n_domains - n_shown);
		live_line(live, line);
	}
	if (live->on_screen)
		live_line(live, "periods in ms; dirty pages by guest/device model/forced  q quits");
	live_end_frame(live);
}

static struct json_object *domain_to_json(const struct polled_domain *domain)
{
	struct xenvram_domain info = domain->info;
	info.uuid = domain->uuid;
	struct json_object *object = ctl_domain_to_json(&info);

	json_object_object_add(
		object, "polls_per_s", ctl_rate_to_json(domain->has_rates, domain->polls_per_s));
	json_object_object_add(
		object, "cpu_percent", ctl_rate_to_json(domain->has_rates, domain->cpu_percent));
	json_object_object_add(object, "dirty_guest_pages_per_s",
		ctl_rate_to_json(domain->has_rates, domain->dirty_guest_pages_per_s));
	json_object_object_add(object, "dirty_device_model_pages_per_s",
		ctl_rate_to_json(domain->has_rates, domain->dirty_device_model_pages_per_s));
	json_object_object_add(object, "dirty_forced_pages_per_s",
		ctl_rate_to_json(domain->has_rates, domain->dirty_forced_pages_per_s));
	return object;
}

static void print_json(const struct top *top)
{
	struct json_object *object = json_object_new_object();
	struct json_object *domains = json_object_new_array();
	uint64_t elapsed_ns = top->polling.taken_ns - top->live.begin_ns;

	json_object_object_add(object, "elapsed_ms", json_object_new_uint64(elapsed_ns / NS_PER_MS));
	json_object_object_add(object, "budget_ppm", json_object_new_uint64(top->budget.budget_ppm));
	json_object_object_add(object, "used_ppm", json_object_new_uint64(top->budget.used_ppm));
	json_object_object_add(object, "share_ppm", json_object_new_uint64(top->budget.share_ppm));
	for (size_t i = 0; i < top->polling.n_domains; i++)
		json_object_array_add(domains, domain_to_json(&top->polling.domains[i]));
	json_object_object_add(object, "domains", domains);
	ctl_print_json(object);
	fflush(stdout);
}

/* ---- from listing to listing ---- */

static int add_domain(const struct xenvram_domain *domain, void *data)
{
	return polling_add(data, domain) < 0 ? 1 : 0;
}

/* False: there is none this time. What was is kept: rates of the next go back to it. */
static bool take(struct top *top)
{
	struct xenvram *conn = top->live.ctl->conn;
	struct polling polling;

	polling_init(&polling, live_now_ns());
	int result = xenvram_list_domains(conn, add_domain, &polling);
	if (result == 0)
		result = xenvram_get_poll_budget(conn, &top->budget);
	if (result == 0) {
		polling_compare(&polling, &top->polling);
		polling_deinit(&top->polling);
		top->polling = polling;
		return true;
	}
	int error = errno;
	polling_deinit(&polling);
	if (result > 0)
		live_fail(&top->live, "out of memory");
	else if (error == EAGAIN || error == ETIMEDOUT)
		live_notice(&top->live, xenvram_error(conn));
	else
		live_fail(&top->live, xenvram_error(conn));
	return false;
}

static bool show_frame(void *data)
{
	struct top *top = data;
	bool is_new = take(top);

	/* On screen the notice goes with what was seen last. */
	if (!top->live.ctl->json && (is_new || top->live.on_screen))
		show_table(top);
	else if (is_new)
		print_json(top);
	return is_new;
}

static void on_restarted(void *data)
{
	struct top *top = data;
	live_notice(&top->live, "a part of the service was restarted");
}

int command_top(struct ctl *ctl, int argc, char **argv)
{
	struct top top = {.live = {.ctl = ctl, .show = show_frame, .data = &top}};
	const struct xenvram_handlers handlers = {NULL, on_restarted};

	live_parse(&top.live, argc, argv, 0, SCREEN_INTERVAL_MS);
	if (ctl_connect(ctl) < 0)
		return EXIT_FAILURE;
	xenvram_set_handlers(ctl->conn, &handlers, &top);
	take(&top);
	int status = top.live.quit ? EXIT_FAILURE : live_run(&top.live);
	polling_deinit(&top.polling);
	return status;
}
