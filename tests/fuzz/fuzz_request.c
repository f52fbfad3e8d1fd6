/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What any client can send: the bytes of a packet, unpacked and checked. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/check.h"
#include "proto/frame.h"
#include "tests/fuzz/compare.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const Xenvram__V1__Request *request)
{
	struct failure failure;
	uint32_t version;

	memset(&failure, 'x', sizeof(failure));
	if (check_request(request, &failure) < 0 && !memchr(failure.text, '\0', sizeof(failure.text)))
		abort();
	if (request->operation_case != XENVRAM__V1__REQUEST__OPERATION_HELLO)
		return;
	memset(&failure, 'x', sizeof(failure));
	if (check_hello(request->hello, &version, &failure) < 0 &&
		!memchr(failure.text, '\0', sizeof(failure.text)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct frame frame;

	if (size > sizeof(frame.bytes))
		return 0;
	if (size > 0)
		memcpy(frame.bytes, data, size);
	frame.n_bytes = size;
	ProtobufCMessage *request = frame_unpack(&frame, &xenvram__v1__request__descriptor);
	if (request) {
		compare_with_protobuf(&frame, request);
		check((const Xenvram__V1__Request *)request);
	}
	frame_free_message(request);
	return 0;
}
