// guest: the requests of the daemon about execs.
#ifndef VOLANT_GUEST_ROUTES_H
#define VOLANT_GUEST_ROUTES_H

// Serves /agent/exec and what is below it.
void exec_serve(void);

#endif
