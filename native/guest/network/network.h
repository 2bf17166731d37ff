// guest: the guest's network: address, route and names, from the command line or a lease.
#ifndef VOLANT_GUEST_NETWORK_H
#define VOLANT_GUEST_NETWORK_H

// Sets host name, address and route as the command line says. Waits some seconds for a lease if it asks for one. A failure is
// reported on the console.
void network_setup(void);
// Writes /etc/hosts and /etc/resolv.conf, and keeps them up to date from then on. A file that is no regular file stays.
void network_write_files(void);
// The guest's address as a dotted quad, or an empty string.
const char *network_address(void);

#endif
