// guest: address, route, names, as the command line's `ip=` or a lease says. `ip=` is read here, for many
// kernels for clouds are built without their own reading of it.
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
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

static struct network current;
// On a root disk with an init of its own they are not.
static bool files_are_ours;

const char *network_address(void) {
  return current.address;
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

static const char *device_from(char *const *fields) {
  return fields[DEVICE] != NULL && fields[DEVICE][0] != '\0' ? fields[DEVICE] : "eth0";
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
  char text[512], hostname[65] = "";
  gethostname(hostname, sizeof hostname - 1);
  const char *address = current.address[0] != '\0' ? current.address : "127.0.1.1";
  // Without IPv6 in the kernel nobody could reach ::1.
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

// Those who knew another guest under this address learn of the new one (a gratuitous ARP, RFC 5227, 3).
static void announce(int control, const char *device, const char *address) {
  struct ether_arp arp = {.ea_hdr = {.ar_hrd = htons(ARPHRD_ETHER),
                                     .ar_pro = htons(ETH_P_IP),
                                     .ar_hln = ETH_ALEN,
                                     .ar_pln = sizeof(struct in_addr),
                                     .ar_op = htons(ARPOP_REQUEST)}};
  struct sockaddr_ll to = {.sll_family = AF_PACKET,
                           .sll_protocol = htons(ETH_P_ARP),
                           .sll_ifindex = (int)if_nametoindex(device),
                           .sll_halen = ETH_ALEN,
                           .sll_addr = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
  struct ifreq interface = {0};
  snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", device);
  // A kernel without packet sockets cannot: then others learn it when their knowledge gets old.
  int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  if (ioctl(control, SIOCGIFHWADDR, &interface) == 0 && inet_pton(AF_INET, address, arp.arp_spa) == 1) {
    memcpy(arp.arp_sha, interface.ifr_hwaddr.sa_data, ETH_ALEN);
    memcpy(arp.arp_tpa, arp.arp_spa, sizeof arp.arp_tpa);
    sendto(fd, &arp, sizeof arp, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to);
  }
  close(fd);
}

static bool configure(int control, const char *device, const struct network *network) {
  if (!set_address(control, device, SIOCSIFADDR, network->address) ||
      !set_address(control, device, SIOCSIFNETMASK, network->mask) || !bring_up(control, device)) {
    say("cannot set up %s with %s: %s", device, network->address, strerror(errno));
    return false;
  }
  if (network->gateway[0] != '\0' && !set_gateway(control, network->gateway)) {
    say("cannot route over %s: %s", network->gateway, strerror(errno));
  }
  announce(control, device, network->address);
  return true;
}

void network_apply(const char *device, const struct network *network) {
  static const struct network none;
  if (network == NULL) network = &none;
  if (memcmp(network, &current, sizeof current) == 0) return;
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0) {
    say("no network: %s", strerror(errno));
    return;
  }
  // With the address its routes go, too.
  if (network->address[0] == '\0') set_address(control, device, SIOCSIFADDR, "0.0.0.0");
  if (network->address[0] == '\0' || configure(control, device, network)) current = *network;
  close(control);
  if (files_are_ours) network_write_files();
}

static void copy_field(char *target, const char *field, const char *fallback) {
  snprintf(target, INET_ADDRSTRLEN, "%s", field != NULL && field[0] != '\0' ? field : fallback);
}

static void apply_fields(char *const *fields) {
  struct network network = {0};
  if (fields[CLIENT] == NULL || fields[CLIENT][0] == '\0') return;
  copy_field(network.address, fields[CLIENT], "");
  copy_field(network.mask, fields[NETMASK], "255.255.255.0");
  copy_field(network.gateway, fields[GATEWAY], "");
  for (int i = DNS0; i <= DNS1; i++) copy_field(network.name_servers[i - DNS0], fields[i], "");
  network_apply(device_from(fields), &network);
}

static void ask_for_lease(const char *device, const char *hostname) {
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool is_up = control >= 0 && bring_up(control, device);
  if (control >= 0) close(control);
  if (is_up) dhcp_start(device, hostname);
  else say("cannot bring up %s: %s", device, strerror(errno));
}

void network_setup(void) {
  char *fields[FIELDS];
  char *copy = read_fields(fields);
  const char *hostname = hostname_from(fields);
  if (hostname[0] != '\0') sethostname(hostname, strlen(hostname));
  int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control >= 0) {
    bring_up(control, "lo");
    close(control);
  }
  bool leases = fields[AUTOCONF] != NULL && strcmp(fields[AUTOCONF], "dhcp") == 0;
  if (leases) ask_for_lease(device_from(fields), hostname);
  else apply_fields(fields);
  free(copy);
}
