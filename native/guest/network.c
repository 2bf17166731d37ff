// guest: address, route, names. The command line's `ip=` is read here: many kernels for clouds are
// built without their own reading of it.
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

// client:server:gateway:netmask:hostname:device:autoconf:dns0:dns1
// (Documentation/admin-guide/nfs/nfsroot.rst)
enum field { CLIENT, SERVER, GATEWAY, NETMASK, HOSTNAME, DEVICE, AUTOCONF, DNS0, DNS1, FIELDS };

static char address[INET_ADDRSTRLEN];

const char *network_address(void) {
  return address;
}

static bool set_address(int control, const char *device, unsigned long request, const char *text) {
  struct ifreq interface = {0};
  struct sockaddr_in *inet = (struct sockaddr_in *)&interface.ifr_addr;
  snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", device);
  inet->sin_family = AF_INET;
  if (inet_pton(AF_INET, text, &inet->sin_addr) != 1) return false;
  return ioctl(control, request, &interface) == 0;
}

static bool bring_up(int control, const char *device) {
  struct ifreq interface = {0};
  snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", device);
  if (ioctl(control, SIOCGIFFLAGS, &interface) < 0) return false;
  interface.ifr_flags |= IFF_UP;
  return ioctl(control, SIOCSIFFLAGS, &interface) == 0;
}

static bool set_gateway(int control, const char *gateway) {
  struct rtentry route = {0};
  struct sockaddr_in *to = (struct sockaddr_in *)&route.rt_dst;
  struct sockaddr_in *mask = (struct sockaddr_in *)&route.rt_genmask;
  struct sockaddr_in *via = (struct sockaddr_in *)&route.rt_gateway;
  to->sin_family = mask->sin_family = via->sin_family = AF_INET;
  route.rt_flags = RTF_UP | RTF_GATEWAY;
  if (inet_pton(AF_INET, gateway, &via->sin_addr) != 1) return false;
  return ioctl(control, SIOCADDRT, &route) == 0 || errno == EEXIST;
}

// The fields of `ip=`, each NULL when it is missing. The caller frees the result.
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

static void set_interface(int control, char *const *fields) {
  const char *client = fields[CLIENT];
  if (client == NULL || client[0] == '\0') return;
  const char *device = fields[DEVICE] != NULL && fields[DEVICE][0] != '\0' ? fields[DEVICE] : "eth0";
  const char *mask = fields[NETMASK] != NULL ? fields[NETMASK] : "255.255.255.0";
  bool up = set_address(control, device, SIOCSIFADDR, client) &&
            set_address(control, device, SIOCSIFNETMASK, mask) && bring_up(control, device);
  if (!up) {
    say("cannot set up %s with %s: %s", device, client, strerror(errno));
    return;
  }
  snprintf(address, sizeof address, "%s", client);
  const char *gateway = fields[GATEWAY];
  if (gateway != NULL && gateway[0] != '\0' && !set_gateway(control, gateway)) {
    say("cannot route over %s: %s", gateway, strerror(errno));
  }
}

void network_setup(void) {
  char *fields[FIELDS];
  char *copy = read_fields(fields);
  const char *hostname = hostname_from(fields);
  if (hostname[0] != '\0') sethostname(hostname, strlen(hostname));
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control >= 0) {
    bring_up(control, "lo");
    set_interface(control, fields);
    close(control);
  } else {
    say("no network: %s", strerror(errno));
  }
  free(copy);
}

// A link on a root disk may lead anywhere, and belongs to a program that will make its target.
static void replace_file(const char *path, const char *text) {
  struct stat found;
  if (lstat(path, &found) == 0 && !S_ISREG(found.st_mode)) {
    say("%s is not a regular file: it stays as it is", path);
  } else if (!write_file(path, text)) {
    say("cannot write %s: %s", path, strerror(errno));
  }
}

void network_write_files(void) {
  char text[512];
  char *fields[FIELDS];
  char *copy = read_fields(fields);
  const char *hostname = hostname_from(fields);
  snprintf(text, sizeof text, "127.0.0.1 localhost\n%s%s%s\n", address[0] != '\0' ? address : "127.0.1.1",
           hostname[0] != '\0' ? " " : " localhost ", hostname);
  replace_file("/etc/hosts", text);
  size_t length = 0;
  for (int i = DNS0; i <= DNS1; i++) {
    if (fields[i] == NULL || fields[i][0] == '\0') continue;
    length += (size_t)snprintf(text + length, sizeof text - length, "nameserver %.64s\n", fields[i]);
  }
  if (length > 0) replace_file("/etc/resolv.conf", text);
  free(copy);
}
