// guest: addresses, routes and state of a network interface, by ioctl.
#include "network/interface.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/say.h"

// A socket for ioctl, or -1.
static int open_control(void) {
  return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
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

// Announces the address, so that hosts that knew another guest by it update their caches (RFC 5227, section 3).
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
  // A kernel without packet sockets cannot announce. Then the entries in the caches of others expire.
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

bool interface_up(const char *device) {
  int control = open_control();
  if (control < 0) return false;
  bool is_up = bring_up(control, device);
  int why = errno;
  close(control);
  errno = why;
  return is_up;
}

bool interface_configure(const char *device, const struct network *network) {
  int control = open_control();
  if (control < 0) {
    say("no network: %s", strerror(errno));
    return false;
  }
  bool is_configured = configure(control, device, network);
  close(control);
  return is_configured;
}

void interface_clear(const char *device) {
  int control = open_control();
  if (control < 0) return;
  set_address(control, device, SIOCSIFADDR, "0.0.0.0");
  close(control);
}
