// guest: the metadata service: requests of the workload to it, and of the daemon about it.
#ifndef VOLANT_GUEST_SERVICE_H
#define VOLANT_GUEST_SERVICE_H

#include <stdint.h>

// Serves the daemon's requests. With its first document the service listens on this port of the loopback address.
// `on_result` is called when the workload has posted a result.
void metadata_serve(uint16_t port, void (*on_result)(void));

#endif
