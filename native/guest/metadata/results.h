// guest: results that the workload posts. One at a time waits for the daemon, which keeps it, and only then its client is
// answered: a program that has its answer may end.
#ifndef VOLANT_GUEST_RESULTS_H
#define VOLANT_GUEST_RESULTS_H

#include "base/heads.h"
#include "http/connection.h"

// Sets who is called when a result waits. Must be set before the first one.
void results_on_post(void (*callback)(void));
// Takes a result of the workload. Answers 204 when the daemon has kept it, and an error if it is too large, comes too soon, is
// refused, or is not kept within half a minute.
void results_post(struct connection *connection, const struct request *request);
// Tells the daemon the result that waits: a line with its number and "json" or "text", then its bytes. 204 if none waits.
void results_tell(struct connection *connection);
// What the daemon did with the result of `number=`. `status=` is 204 if it is kept, 400 if it is refused, else 503.
void results_settle(struct connection *connection, const char *query);

#endif
