// guest: connections of the daemon to one exec: its output as it comes, and its input.
#ifndef VOLANT_GUEST_ATTACH_H
#define VOLANT_GUEST_ATTACH_H

#include "exec/exec.h"
#include "http/connection.h"

// Answers with status 101 and then with frames. The query of the request says what is wanted: `stdout` and `stderr`, each a
// number of the first byte; `follow`, to continue until the end; `late`, to send output only after the end.
void attach_begin(struct connection *connection, const struct request *request, struct exec *exec);
// Moves on what is attached to this exec, or ends it if the exec was removed.
void attach_progress(struct exec *exec);

#endif
