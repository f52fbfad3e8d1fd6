/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a record of the audit trail consists of: names and values. No I/O. */
#ifndef XENVRAM_BROKER_AUDIT_FIELDS_H
#define XENVRAM_BROKER_AUDIT_FIELDS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/xenvram.pb-c.h"

#define MAX_AUDIT_FIELDS         24u
#define MAX_AUDIT_TEXT_BYTES     1024u
#define MAX_AUDIT_SENTENCE_BYTES 768u

struct audit_fields {
	size_t n;
	const char *names[MAX_AUDIT_FIELDS];
	uint16_t begins[MAX_AUDIT_FIELDS]; /* of its value, in text */
	size_t n_bytes;
	char text[MAX_AUDIT_TEXT_BYTES];
};

/* Writes a record of the fields to the log. */
void audit_fields_write(const struct audit_fields *fields, int priority, const char *sentence);

/* Beyond the most fields, or bytes of them all, nothing is added. Names are not copied. */
void audit_fields_add(struct audit_fields *fields, const char *name, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The arm of the union that the request consists of; NULL if it has none that is known. */
const ProtobufCMessage *audit_operation(const Xenvram__V1__Request *request);

/* Its name, and each of its fields that is not zero; of lists, how long they are. */
void audit_fields_add_request(struct audit_fields *fields, const ProtobufCMessage *operation);
void audit_fields_add_reply(struct audit_fields *fields, const Xenvram__V1__Reply *reply);

/* The fields for a reader: "uid 5 (pid 7, for domain 3): DestroyRegion: NOT_FOUND: there is no region ..." */
void audit_fields_sentence(const struct audit_fields *fields, char *ret_sentence, size_t size);

#endif
