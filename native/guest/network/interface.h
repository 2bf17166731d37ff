// guest: a network interface: its address, its route, whether it is up.
#ifndef VOLANT_GUEST_INTERFACE_H
#define VOLANT_GUEST_INTERFACE_H

#include <stdbool.h>

#define NAME_SERVERS_MAX 3

// What the command line or a lease says about a network. Dotted quads; empty strings where something is not known.
struct network {
  char address[16], mask[16], gateway[16], name_servers[NAME_SERVERS_MAX][16];
};

// Brings an interface up. Returns false, with errno, on failure.
bool interface_up(const char *device);
// Gives address and gateway to an interface, brings it up and announces the address by ARP. A failure is reported on the
// console. Returns false if the interface has no address then.
bool interface_configure(const char *device, const struct network *network);
// Takes the address from an interface. The kernel removes the routes with it.
void interface_clear(const char *device);

#endif
