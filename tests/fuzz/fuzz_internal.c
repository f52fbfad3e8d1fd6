/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What one role reads from another, should the other have been taken over; and what the library reads from
 * the daemon. The first byte says which message it is.
 */
#include <stdint.h>
#include <string.h>

#include "proto/frame.h"
#include "proto/internal.pb-c.h"
#include "tests/fuzz/compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const ProtobufCMessageDescriptor *const descriptors[] = {
	&xenvram__internal__to_broker__descriptor,
	&xenvram__internal__from_broker__descriptor,
	&xenvram__internal__to_worker__descriptor,
	&xenvram__internal__from_worker__descriptor,
	&xenvram__internal__command__descriptor,
	&xenvram__internal__done__descriptor,
	&xenvram__internal__connection_state__descriptor,
	&xenvram__internal__subscription_state__descriptor,
	&xenvram__v1__packet__descriptor,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame frame;

	if (size == 0 || size - 1 > sizeof(frame.bytes))
		return 0;
	memcpy(frame.bytes, data + 1, size - 1);
	frame.n_bytes = size - 1;
	ProtobufCMessage *message =
		frame_unpack(&frame, descriptors[data[0] % (sizeof(descriptors) / sizeof(descriptors[0]))]);
	if (message)
		compare_with_protobuf(&frame, message);
	frame_free_message(message);
	return 0;
}
