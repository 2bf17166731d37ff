// guest: the log of the workload as a stream of server-sent events.
#ifndef VOLANT_GUEST_LOG_STREAM_H
#define VOLANT_GUEST_LOG_STREAM_H

#include "http/connection.h"

// Answers with the log as a stream. The query may have `tail` (a number of lines) or `after` (the number of a line).
void log_stream_begin(struct connection *connection, const struct request *request);
// Sends lines that the client of a stream does not have yet.
void log_stream_send(struct connection *connection);

#endif
