// guest: address, route and names, as `ip=` of the command line or a lease says. `ip=` is read here, because many kernels for
// clouds are built without support for it.
#include "network/network.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/say.h"
#include "network/dhcp.h"
#include "network/interface.h"
#include "system/cmdline.h"

// client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1
// (Documentation/admin-guide/nfs/nfsroot.rst)
enum field { CLIENT, SERVER, GATEWAY, NETMASK, HOSTNAME, DEVICE, AUTOCONF, DNS0, DNS1, FIELDS };

static struct network current;
// Whether the agent writes the files. Beside an init it does not.
static bool files_are_ours;

const char *network_address(void) {
  return current.address;
}

// Splits `ip=` into its fields, each NULL if it is missing. The caller frees the result.
static char *read_fields(char **fields) {
  const char *given = cmdline_value("ip");
  char *copy = given != NULL ? strdup(given) : NULL;
  char *rest = copy;
  for (int i = 0; i < FIELDS; i++) fields[i] = rest != NULL ? strsep(&rest, ":") : NULL;
  return copy;
}

static const char *hostname_from(char *const *fields) {
  const char *hostname = cmdline_value("volant.hostname");
  if (hostname != NULL) return hostname;
  return fields[HOSTNAME] != NULL ? fields[HOSTNAME] : "";
}

static const char *device_from(char *const *fields) {
  return fields[DEVICE] != NULL && fields[DEVICE][0] != '\0' ? fields[DEVICE] : "eth0";
}

// Does not follow a link of a root disk, which may lead anywhere and belongs to a program that makes its target.
static void replace_file(const char *path, const char *text) {
  struct stat found;
  if (lstat(path, &found) == 0 && !S_ISREG(found.st_mode)) {
    say("%s is not a regular file: it stays as it is", path);
  } else if (!write_file(path, text)) {
    say("cannot write %s: %s", path, strerror(errno));
  }
}

void network_write_files(void) {
  char text[512], hostname[65] = "";
  gethostname(hostname, sizeof hostname - 1);
  const char *address = current.address[0] != '\0' ? current.address : "127.0.1.1";
  // Without IPv6 in the kernel ::1 cannot be reached.
  bool has_ipv6 = access("/proc/net/if_inet6", F_OK) == 0;
  snprintf(text, sizeof text, "127.0.0.1 localhost\n%s%s%s%s\n",
           has_ipv6 ? "::1 localhost ip6-localhost ip6-loopback\n" : "", address,
           hostname[0] != '\0' ? " " : " localhost ", hostname);
  replace_file("/etc/hosts", text);
  size_t length = 0;
  for (int i = 0; i < NAME_SERVERS_MAX; i++) {
    if (current.name_servers[i][0] == '\0') continue;
    length += (size_t)snprintf(text + length, sizeof text - length, "nameserver %s\n", current.name_servers[i]);
  }
  if (length > 0) replace_file("/etc/resolv.conf", text);
  files_are_ours = true;
}

// Applies what a command line or a lease says. NULL takes the address away.
static void apply(const char *device, const struct network *network) {
  static const struct network none;
  if (network == NULL) network = &none;
  if (memcmp(network, &current, sizeof current) == 0) return;
  bool is_applied = true;
  if (network->address[0] == '\0') interface_clear(device);
  else is_applied = interface_configure(device, network);
  if (is_applied) current = *network;
  if (files_are_ours) network_write_files();
}

static void copy_field(char *target, const char *field, const char *fallback) {
  snprintf(target, sizeof current.address, "%s", field != NULL && field[0] != '\0' ? field : fallback);
}

static void apply_fields(char *const *fields) {
  struct network network = {0};
  if (fields[CLIENT] == NULL || fields[CLIENT][0] == '\0') return;
  copy_field(network.address, fields[CLIENT], "");
  copy_field(network.mask, fields[NETMASK], "255.255.255.0");
  copy_field(network.gateway, fields[GATEWAY], "");
  for (int i = DNS0; i <= DNS1; i++) copy_field(network.name_servers[i - DNS0], fields[i], "");
  apply(device_from(fields), &network);
}

static void ask_for_lease(const char *device, const char *hostname) {
  if (interface_up(device)) dhcp_start(device, hostname, apply);
  else say("cannot bring up %s: %s", device, strerror(errno));
}

void network_setup(void) {
  char *fields[FIELDS];
  char *copy = read_fields(fields);
  const char *hostname = hostname_from(fields);
  if (hostname[0] != '\0') sethostname(hostname, strlen(hostname));
  interface_up("lo");
  bool leases = fields[AUTOCONF] != NULL && strcmp(fields[AUTOCONF], "dhcp") == 0;
  if (leases) ask_for_lease(device_from(fields), hostname);
  else apply_fields(fields);
  free(copy);
}
