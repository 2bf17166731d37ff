// guest: a DHCP client (RFC 2131) for `ip=` with `dhcp`: gets a lease, renews it, and returns it when the guest powers off.
// network.c applies what the lease says.
#include "network/dhcp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop.h"
#include "base/say.h"

#define CLIENT_PORT 68
#define SERVER_PORT 67
#define MAGIC_COOKIE 0x63825363u
#define BROADCAST_FLAG 0x8000
#define OPTIONS_BYTES 312
// After this time the boot continues without a lease. The client keeps trying.
#define FIRST_LEASE_MS 10000
#define RETRY_MS_MIN 500
#define RETRY_MS_MAX 4000
// After this number of requests without an answer the offer is given up.
#define REQUESTS_MAX 4
// Timers count milliseconds in an int. A longer lease is renewed earlier than necessary.
#define LEASE_SECONDS_MAX 1000000u
#define LEASE_SECONDS_MIN 2u

enum message_type { DISCOVER = 1, OFFER = 2, REQUEST = 3, ACK = 5, NAK = 6, RELEASE = 7 };

enum option {
  PAD = 0,
  SUBNET_MASK = 1,
  ROUTER = 3,
  NAME_SERVERS = 6,
  HOST_NAME = 12,
  REQUESTED_ADDRESS = 50,
  LEASE_SECONDS = 51,
  MESSAGE_TYPE = 53,
  SERVER_ID = 54,
  PARAMETERS = 55,
  END = 255,
};

// RFC 2131, section 2.
struct message {
  uint8_t op, htype, hlen, hops;
  uint32_t xid;
  uint16_t secs, flags;
  uint32_t ciaddr, yiaddr, siaddr, giaddr;
  uint8_t chaddr[16], sname[64], file[128];
  uint32_t cookie;
  uint8_t options[OPTIONS_BYTES];
};

// The parts of an answer that are used. Addresses are in network byte order. 0: not given.
struct answer {
  enum message_type type;
  uint32_t address, server, mask, router, name_servers[NAME_SERVERS_MAX];
  uint32_t lease_seconds;
};

static enum { SELECTING, REQUESTING, BOUND, RENEWING } state;
static struct source server;
static char device[IFNAMSIZ];
static char host_name[64];
static uint8_t mac[6];
static uint32_t transaction;
static lease_callback report_lease;
static struct answer lease;  // the offer or the lease
static int64_t begun_at_ms, renew_at_ms, expires_at_ms;
static int retry_ms, tries;

static void retry(void *context);

// ---- messages

static size_t put_option(uint8_t *options, size_t at, enum option code, const void *value, size_t length) {
  options[at] = (uint8_t)code;
  options[at + 1] = (uint8_t)length;
  memcpy(options + at + 2, value, length);
  return at + 2 + length;
}

static void send_message(enum message_type type) {
  static const uint8_t parameters[] = {SUBNET_MASK, ROUTER, NAME_SERVERS, LEASE_SECONDS};
  bool has_address = state == BOUND || state == RENEWING;
  uint8_t code = (uint8_t)type;
  struct message message = {.op = 1, .htype = 1, .hlen = sizeof mac, .xid = transaction};
  message.cookie = htonl(MAGIC_COOKIE);
  message.secs = htons((uint16_t)((now_ms() - begun_at_ms) / 1000));
  memcpy(message.chaddr, mac, sizeof mac);
  if (has_address) message.ciaddr = lease.address;
  // A client without an address needs the answer as a broadcast.
  else message.flags = htons(BROADCAST_FLAG);
  size_t at = put_option(message.options, 0, MESSAGE_TYPE, &code, 1);
  if (type == REQUEST && !has_address) {
    at = put_option(message.options, at, REQUESTED_ADDRESS, &lease.address, 4);
  }
  if ((type == REQUEST && !has_address) || type == RELEASE) {
    at = put_option(message.options, at, SERVER_ID, &lease.server, 4);
  }
  if (type != RELEASE) {
    at = put_option(message.options, at, PARAMETERS, parameters, sizeof parameters);
    size_t length = strlen(host_name);
    if (length > 0) at = put_option(message.options, at, HOST_NAME, host_name, length);
  }
  message.options[at] = END;
  // Its own server first; when that is silent for long, any (RFC 2131, 4.4.5).
  bool any = !has_address || (type == REQUEST && now_ms() > renew_at_ms + (expires_at_ms - renew_at_ms) / 2);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(SERVER_PORT)};
  to.sin_addr.s_addr = any ? INADDR_BROADCAST : lease.server;
  // What is lost is sent again.
  sendto(server.fd, &message, sizeof message, MSG_NOSIGNAL, (struct sockaddr *)&to, sizeof to);
}

static uint32_t address_of(const uint8_t *value) {
  uint32_t address;
  memcpy(&address, value, sizeof address);
  return address;
}

static void read_option(struct answer *answer, uint8_t code, const uint8_t *value, size_t length) {
  if (code == MESSAGE_TYPE && length == 1) answer->type = (enum message_type)value[0];
  if (length < 4) return;
  if (code == SUBNET_MASK) answer->mask = address_of(value);
  if (code == ROUTER) answer->router = address_of(value);
  if (code == SERVER_ID) answer->server = address_of(value);
  if (code == LEASE_SECONDS) answer->lease_seconds = ntohl(address_of(value));
  if (code == NAME_SERVERS) {
    for (size_t i = 0; i < NAME_SERVERS_MAX && i * 4 + 4 <= length; i++) {
      answer->name_servers[i] = address_of(value + i * 4);
    }
  }
}

// Returns false if the message is no answer to this client.
static bool read_answer(struct answer *answer, const struct message *message, size_t length) {
  size_t head = offsetof(struct message, options);
  if (length < head || message->op != 2 || message->xid != transaction) return false;
  if (ntohl(message->cookie) != MAGIC_COOKIE || memcmp(message->chaddr, mac, sizeof mac) != 0) return false;
  memset(answer, 0, sizeof *answer);
  answer->address = message->yiaddr;
  size_t size = length - head;
  for (size_t at = 0; at < size && message->options[at] != END;) {
    uint8_t code = message->options[at];
    if (code == PAD) {
      at++;
      continue;
    }
    if (at + 2 > size || at + 2 + message->options[at + 1] > size) return false;
    read_option(answer, code, message->options + at + 2, message->options[at + 1]);
    at += 2u + message->options[at + 1];
  }
  return true;
}

// ---- states

static void enter(int next) {
  state = next;
  retry_ms = RETRY_MS_MIN;
  tries = 0;
  retry(NULL);
}

static void begin(void) {
  begun_at_ms = now_ms();
  if (getrandom(&transaction, sizeof transaction, GRND_NONBLOCK) < 0) transaction = (uint32_t)begun_at_ms;
  memset(&lease, 0, sizeof lease);
  enter(SELECTING);
}

static void lose_lease(const char *why) {
  say("the lease of %s is lost: %s", device, why);
  report_lease(device, NULL);
  begin();
}

static void renew(void *context) {
  (void)context;
  begun_at_ms = now_ms();
  enter(RENEWING);
}

// Repeats a message without an answer, with growing pauses, until the lease ends or the offer is given up.
static void retry(void *context) {
  (void)context;
  if (state == RENEWING && now_ms() >= expires_at_ms) return lose_lease("no server renewed it");
  if (state == REQUESTING && tries == REQUESTS_MAX) return begin();
  tries++;
  send_message(state == SELECTING ? DISCOVER : REQUEST);
  int delay_ms = retry_ms;
  retry_ms = retry_ms * 2 > RETRY_MS_MAX ? RETRY_MS_MAX : retry_ms * 2;
  if (state == RENEWING && delay_ms > expires_at_ms - now_ms()) delay_ms = (int)(expires_at_ms - now_ms()) + 1;
  loop_timer(delay_ms, retry, NULL);
}

static void text_of(char *text, uint32_t address) {
  struct in_addr in = {.s_addr = address};
  if (address == 0 || inet_ntop(AF_INET, &in, text, INET_ADDRSTRLEN) == NULL) text[0] = '\0';
}

static void take_lease(const struct answer *answer) {
  struct network network = {0};
  // The answer to a renewal may leave out the server.
  uint32_t given_by = answer->server != 0 ? answer->server : lease.server;
  lease = *answer;
  lease.server = given_by;
  uint32_t seconds = lease.lease_seconds;
  if (seconds < LEASE_SECONDS_MIN) seconds = LEASE_SECONDS_MIN;
  if (seconds > LEASE_SECONDS_MAX) seconds = LEASE_SECONDS_MAX;
  text_of(network.address, lease.address);
  text_of(network.mask, lease.mask != 0 ? lease.mask : htonl(0xffffff00u));
  text_of(network.gateway, lease.router);
  for (int i = 0; i < NAME_SERVERS_MAX; i++) text_of(network.name_servers[i], lease.name_servers[i]);
  state = BOUND;
  renew_at_ms = now_ms() + (int64_t)seconds * 500;
  expires_at_ms = now_ms() + (int64_t)seconds * 1000;
  loop_cancel(retry, NULL);
  loop_timer((int)(seconds * 500), renew, NULL);
  report_lease(device, &network);
}

static void take_answer(const struct answer *answer) {
  if (answer->type == OFFER && state == SELECTING && answer->address != 0 && answer->server != 0) {
    lease = *answer;
    enter(REQUESTING);
  } else if (answer->type == ACK && (state == REQUESTING || state == RENEWING) && answer->address != 0) {
    take_lease(answer);
  } else if (answer->type == NAK && state == RENEWING) {
    lose_lease("the server took it back");
  } else if (answer->type == NAK && state == REQUESTING) {
    begin();
  }
}

static void on_message(void *context, uint32_t events) {
  struct message message;
  struct answer answer;
  ssize_t length;
  (void)context;
  (void)events;
  while ((length = recv(server.fd, &message, sizeof message, MSG_DONTWAIT)) >= 0) {
    if (read_answer(&answer, &message, (size_t)length)) take_answer(&answer);
  }
}

// ---- beginning and end

static bool open_socket(void) {
  int yes = 1;
  struct ifreq interface = {0};
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(CLIENT_PORT)};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  snprintf(interface.ifr_name, sizeof interface.ifr_name, "%s", device);
  bool ready = ioctl(fd, SIOCGIFHWADDR, &interface) == 0 &&
               setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) == 0 &&
               setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes) == 0 &&
               // The guest's own init may have a client as well.
               setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
               bind(fd, (struct sockaddr *)&own, sizeof own) == 0;
  if (!ready) {
    close(fd);
    return false;
  }
  memcpy(mac, interface.ifr_hwaddr.sa_data, sizeof mac);
  loop_add(&server, fd, EPOLLIN, on_message, NULL);
  return true;
}

void dhcp_start(const char *on_device, const char *name, lease_callback on_lease) {
  report_lease = on_lease;
  snprintf(device, sizeof device, "%s", on_device);
  snprintf(host_name, sizeof host_name, "%s", name);
  if (!open_socket()) {
    say("no lease can be asked for on %s: %s", device, strerror(errno));
    return;
  }
  begin();
  // The loop does not run yet, so this function waits for the first lease itself.
  int64_t until_ms = now_ms() + FIRST_LEASE_MS;
  int64_t again_ms = now_ms() + RETRY_MS_MIN;
  while (state != BOUND && now_ms() < until_ms) {
    struct pollfd readable = {.fd = server.fd, .events = POLLIN};
    int64_t rest_ms = again_ms - now_ms();
    if (poll(&readable, 1, rest_ms > 0 ? (int)rest_ms : 0) > 0) {
      on_message(NULL, EPOLLIN);
    } else {
      again_ms = now_ms() + retry_ms;
      retry(NULL);
    }
  }
  if (state != BOUND) say("no DHCP server answered on %s yet", device);
}

void dhcp_release(void) {
  if (state != BOUND && state != RENEWING) return;
  send_message(RELEASE);
  loop_cancel(renew, NULL);
  loop_cancel(retry, NULL);
  state = SELECTING;
}
