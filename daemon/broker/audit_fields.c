/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "daemon/broker/audit_fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/common/log.h"

void audit_fields_add(struct audit_fields *fields, const char *name, const char *format, ...)
{
	char *text = fields->text + fields->n_bytes;
	size_t room = sizeof(fields->text) - fields->n_bytes;
	va_list args;

	if (fields->n == MAX_AUDIT_FIELDS || room < 2)
		return;
	va_start(args, format);
	int n = vsnprintf(text, room, format, args);
	va_end(args);
	if (n < 0)
		return;
	size_t n_bytes = (size_t)n < room ? (size_t)n : room - 1;
	fields->names[fields->n] = name;
	fields->begins[fields->n++] = fields->n_bytes;
	fields->n_bytes += n_bytes + 1;
}

static const char *value_of(const struct audit_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->n; i++) {
		if (strcmp(fields->names[i], name) == 0)
			return fields->text + fields->begins[i];
	}
	return NULL;
}

void audit_fields_write(const struct audit_fields *fields, int priority, const char *sentence)
{
	struct log_field pairs[MAX_AUDIT_FIELDS];
	for (size_t i = 0; i < fields->n; i++)
		pairs[i] = (struct log_field){fields->names[i], fields->text + fields->begins[i]};
	log_record(priority, sentence, pairs, fields->n);
}

/* ---- requests ---- */

const ProtobufCMessage *audit_operation(const Xenvram__V1__Request *request)
{
	/* One arm of the union, whichever it is. */
	return request->operation_case == XENVRAM__V1__REQUEST__OPERATION__NOT_SET ? NULL
										   : &request->hello->base;
}

/* Frames, cookies and generations are read in hexadecimal, the rest in decimal. */
static void add_field(
	struct audit_fields *fields, const ProtobufCMessage *operation, const ProtobufCFieldDescriptor *field)
{
	const char *value = (const char *)operation + field->offset;
	uint64_t wide = 0;
	uint32_t narrow = 0;
	size_t n = 0;

	if (field->label == PROTOBUF_C_LABEL_REPEATED) {
		memcpy(&n, (const char *)operation + field->quantifier_offset, sizeof(n));
		audit_fields_add(fields, field->name, "%zu of them", n);
		return;
	}
	switch (field->type) {
	case PROTOBUF_C_TYPE_UINT64:
		memcpy(&wide, value, sizeof(wide));
		if (wide)
			audit_fields_add(fields, field->name, "0x%" PRIx64, wide);
		break;
	case PROTOBUF_C_TYPE_BOOL:
	case PROTOBUF_C_TYPE_ENUM:
	case PROTOBUF_C_TYPE_UINT32:
		memcpy(&narrow, value, sizeof(narrow));
		if (narrow || strcmp(field->name, "domid") == 0) /* there is a domain 0 */
			audit_fields_add(fields, field->name, "%" PRIu32, narrow);
		break;
	default: /* a client's own words have no business here */
		break;
	}
}

void audit_fields_add_request(struct audit_fields *fields, const ProtobufCMessage *operation)
{
	audit_fields_add(fields, "operation", "%s", operation->descriptor->short_name);
	for (unsigned int i = 0; i < operation->descriptor->n_fields; i++)
		add_field(fields, operation, &operation->descriptor->fields[i]);
}

void audit_fields_add_reply(struct audit_fields *fields, const Xenvram__V1__Reply *reply)
{
	const ProtobufCEnumValue *status =
		protobuf_c_enum_descriptor_get_value(&xenvram__v1__status__descriptor, reply->status);

	if (reply->result_case == XENVRAM__V1__REPLY__RESULT_CREATE_REGION && reply->create_region->cookie)
		audit_fields_add(fields, "cookie", "0x%" PRIx64, reply->create_region->cookie);
	audit_fields_add(fields, "status", "%s", status ? status->name : "?");
	if (reply->os_error)
		audit_fields_add(fields, "errno", "%" PRId32, reply->os_error);
	if (reply->message && *reply->message)
		audit_fields_add(fields, "reason", "%s", reply->message);
}

void audit_fields_sentence(const struct audit_fields *fields, char *ret_sentence, size_t size)
{
	const char *uid = value_of(fields, "uid"), *pid = value_of(fields, "pid");
	const char *domid = value_of(fields, "bound_domid"), *operation = value_of(fields, "operation");
	const char *status = value_of(fields, "status"), *reason = value_of(fields, "reason");
	const char *rule = value_of(fields, "rule");

	snprintf(ret_sentence, size, "uid %s (pid %s%s%s): %s: %s%s%s%s%s%s", uid ? uid : "?",
		pid ? pid : "?", domid ? ", for domain " : "", domid ? domid : "",
		operation ? operation : "no operation", status ? status : "?", reason ? ": " : "",
		reason ? reason : "", rule ? " (" : "", rule ? rule : "", rule ? ")" : "");
}
