/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/slots.h"

#include <errno.h>

int slots_take(bool *slots, unsigned int n_slots, unsigned int *slot)
{
	unsigned int taken = *slot;

	if (taken == n_slots) {
		for (taken = 0; taken < n_slots && slots[taken]; taken++)
			;
		if (taken == n_slots) {
			errno = ENOSPC;
			return -1;
		}
	}
	if (taken > n_slots || slots[taken]) {
		errno = EEXIST;
		return -1;
	}
	slots[taken] = true;
	*slot = taken;
	return 0;
}
