/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/xenvramctl/parse.h"

#include <string.h>

#include "client/xenvramctl/names.h"

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

bool parse_number(const char *text, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;
	int base = 10;

	if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
		base = 16;
		text += 2;
	}
	if (!*text)
		return false;
	for (; *text; text++) {
		int value = digit(*text);
		if (value >= base || __builtin_mul_overflow(number, base, &number) ||
			__builtin_add_overflow(number, value, &number))
			return false;
	}
	if (number > max)
		return false;
	*ret_number = number;
	return true;
}

bool parse_cache_attr(const char *text, enum xenvram_cache_attr *ret_cache_attr)
{
	for (int i = XENVRAM_CACHE_WB; i <= XENVRAM_CACHE_WP; i++) {
		if (strcmp(text, name_of_cache_attr((enum xenvram_cache_attr)i)) == 0) {
			*ret_cache_attr = (enum xenvram_cache_attr)i;
			return true;
		}
	}
	return false;
}
