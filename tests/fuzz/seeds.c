/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Usage: fuzz-seeds DIR. Writes a few good inputs for each target, from which mutation reaches the rest. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "daemon/broker/region_journal.h"
#include "proto/internal.pb-c.h"
#include "proto/region_log.h"

static const char *dir;

static void write_seed(const char *target, unsigned int number, const void *bytes, size_t n_bytes)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s/%s", dir, target);
	mkdir(path, 0777);
	snprintf(path, sizeof(path), "%s/%s/seed-%02u", dir, target, number);
	FILE *file = fopen(path, "wb");
	if (!file || fwrite(bytes, 1, n_bytes, file) != n_bytes || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

/* An empty message of every arm of a oneof, and of each of its own kind. */
static void write_arms(
	const char *target, unsigned int *number, int selector, const ProtobufCMessageDescriptor *descriptor)
{
	for (unsigned int i = 0; i < descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
		uint8_t bytes[8];
		unsigned int n = 0;
		if (selector >= 0)
			bytes[n++] = selector;
		if (field->type == PROTOBUF_C_TYPE_MESSAGE) {
			bytes[n++] = 1 << 3; /* a serial, where there is one */
			bytes[n++] = 1;
			bytes[n++] = field->id << 3 | 2;
			bytes[n++] = 2;
			bytes[n++] = 1 << 3;
			bytes[n++] = 1;
		} else {
			bytes[n++] = field->id << 3;
			bytes[n++] = 1;
		}
		write_seed(target, (*number)++, bytes, n);
	}
}

static void write_requests(void)
{
	Xenvram__V1__CreateRegion create = XENVRAM__V1__CREATE_REGION__INIT;
	Xenvram__V1__Request request = XENVRAM__V1__REQUEST__INIT;
	unsigned int number = 0;
	uint8_t bytes[256];

	request.serial = 1;
	request.operation_case = XENVRAM__V1__REQUEST__OPERATION_CREATE_REGION;
	request.create_region = &create;
	create.domid = 1;
	create.vram_gfn = 0xf1000;
	create.backing_gfn = 0x7000;
	create.nr_pages = 4096;
	write_seed("request", number++, bytes, xenvram__v1__request__pack(&request, bytes));
	write_arms("request", &number, -1, &xenvram__v1__request__descriptor);
}

static void write_snapshot_reply(unsigned int number)
{
	Xenvram__V1__SnapshotReply snapshot = XENVRAM__V1__SNAPSHOT_REPLY__INIT;
	Xenvram__V1__Reply reply = XENVRAM__V1__REPLY__INIT;
	Xenvram__V1__Packet packet = XENVRAM__V1__PACKET__INIT;
	uint8_t bitmap[8] = {1};
	uint8_t bytes[64] = {8}; /* which message it is */

	packet.content_case = XENVRAM__V1__PACKET__CONTENT_REPLY;
	packet.reply = &reply;
	reply.serial = 1;
	reply.result_case = XENVRAM__V1__REPLY__RESULT_SNAPSHOT;
	reply.snapshot = &snapshot;
	snapshot.generation = 300;
	snapshot.nr_pages = 64;
	snapshot.dirty_pages = 1;
	snapshot.bitmap = (ProtobufCBinaryData){sizeof(bitmap), bitmap};
	write_seed("internal", number, bytes, 1 + xenvram__v1__packet__pack(&packet, bytes + 1));
}

static void write_internal(void)
{
	unsigned int number = 0;
	write_snapshot_reply(number++);
	write_arms("internal", &number, 0, &xenvram__internal__to_broker__descriptor);
	write_arms("internal", &number, 1, &xenvram__internal__from_broker__descriptor);
	write_arms("internal", &number, 2, &xenvram__internal__to_worker__descriptor);
	write_arms("internal", &number, 3, &xenvram__internal__from_worker__descriptor);
	write_arms("internal", &number, 4, &xenvram__internal__command__descriptor);
	write_arms("internal", &number, 5, &xenvram__internal__done__descriptor);
	write_arms("internal", &number, 8, &xenvram__v1__packet__descriptor);
}

static void write_journal(void)
{
	uint8_t slot[JOURNAL_SLOT_BYTES];
	struct region_record record = {
		.cookie = 1,
		.domid = 1,
		.uuid = "00000000-0000-0000-0000-000000000001",
		.vram_gfn = MAX_GFN - 1,
		.backing_gfn = 0x7000,
		.nr_pages = 1,
		.live = extents_whole(1),
		.frontier = 1,
		.state = XENVRAM__V1__REGION_STATE__ACTIVE,
	};
	region_journal_encode(&record, slot);
	write_seed("journal", 0, slot, sizeof(slot));

	record.vram_gfn = 0xf0000;
	record.nr_pages = 4096;
	record.live = (struct extents){{{0, 100}, {200, 3000}}, 2};
	record.state = XENVRAM__V1__REGION_STATE__SHRINKING;
	record.going = (struct extent){300, 1000};
	record.frontier = 556;
	record.unsettled = 256;
	region_journal_encode(&record, slot);
	write_seed("journal", 1, slot, sizeof(slot));

	record.going = (struct extent){0};
	record.state = XENVRAM__V1__REGION_STATE__MOVING;
	record.between = record.going_back = true;
	record.old_vram_gfn = 0xe0000;
	region_journal_encode(&record, slot);
	write_seed("journal", 2, slot, sizeof(slot));
}

static void write_region_logs(void)
{
	static const uint64_t counts[] = {1, 64, 65, 200};
	for (unsigned int i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		size_t n_bytes = region_log_bytes(counts[i]);
		char *bytes = calloc(1, n_bytes);
		if (!bytes)
			exit(1);
		*(struct region_log_header *)bytes = (struct region_log_header){
			.magic = REGION_LOG_MAGIC,
			.version = REGION_LOG_VERSION,
			.nr_pages = counts[i],
			.generation = 9,
		};
		memset(bytes + REGION_LOG_HEADER_BYTES, 3, n_bytes - REGION_LOG_HEADER_BYTES);
		write_seed("region_log", i, bytes, n_bytes);
		free(bytes);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fprintf(stderr, "Usage: %s DIR\n", argv[0]);
		return 2;
	}
	dir = argv[1];
	write_requests();
	write_internal();
	write_journal();
	write_region_logs();
	return 0;
}
