/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ABI between libxentoolcore and the other Xen libraries; Xen keeps it stable but installs no header. */
#ifndef XENVRAM_SIMXEN_ACTIVE_HANDLE_H
#define XENVRAM_SIMXEN_ACTIVE_HANDLE_H

#include <sys/queue.h>
#include <xen/xen.h>

typedef struct Xentoolcore__Active_Handle Xentoolcore__Active_Handle;
typedef int Xentoolcore__Restrict_Callback(Xentoolcore__Active_Handle *handle, domid_t domid);

struct Xentoolcore__Active_Handle {
	Xentoolcore__Restrict_Callback *restrict_callback; /* 0, or -1 with errno */
	LIST_ENTRY(Xentoolcore__Active_Handle) entry;
};

void xentoolcore__register_active_handle(Xentoolcore__Active_Handle *handle);
void xentoolcore__deregister_active_handle(Xentoolcore__Active_Handle *handle);
int xentoolcore__restrict_by_dup2_null(int fd);

#endif
