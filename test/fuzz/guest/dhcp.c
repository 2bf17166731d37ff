// fuzz: what a DHCP server says. The client never sets up what is no address, and is always in a state that it
// leaves again. An input is messages, each with a byte of what else happens and its length in front.
#include "network/dhcp.c"

#include "fuzz.h"

enum { MAKE_OURS = 1, RETRY = 2, RENEW = 4, LATER = 8 };

static int64_t now;
static timer_callback awaited;

int64_t now_ms(void) {
  return now;
}

void loop_add(struct source *source, int fd, uint32_t events, fd_callback callback, void *context) {
  *source = (struct source){fd, events, callback, context};
}

void loop_timer(int delay_ms, timer_callback callback, void *context) {
  (void)context;
  REQUIRE(delay_ms >= 0);
  awaited = callback;
}

void loop_cancel(timer_callback callback, void *context) {
  (void)context;
  if (awaited == callback) awaited = NULL;
}

static void require_address(const char *text, bool may_be_empty) {
  struct in_addr parsed;
  REQUIRE((may_be_empty && text[0] == '\0') || inet_pton(AF_INET, text, &parsed) == 1);
}

static void take_lease_settings(const char *on, const struct network *network) {
  REQUIRE(strcmp(on, device) == 0);
  if (network == NULL) return;
  require_address(network->address, false);
  require_address(network->mask, false);
  require_address(network->gateway, true);
  for (int i = 0; i < NAME_SERVERS_MAX; i++) require_address(network->name_servers[i], true);
}

static void take_message(struct input *input, uint8_t what) {
  struct message message = {0};
  struct answer answer;
  size_t length = take_number(input) % (sizeof message + 1);
  if (length > input->size) length = input->size;
  if (length > 0) memcpy(&message, input->data, length);
  input->data += length;
  input->size -= length;
  if (what & MAKE_OURS) {
    message.op = 2;
    message.xid = transaction;
    message.cookie = htonl(MAGIC_COOKIE);
    memcpy(message.chaddr, mac, sizeof mac);
  }
  if (read_answer(&answer, &message, length)) take_answer(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct input input = {data, size};
  now = 1000;
  server.fd = -1;
  strcpy(device, "eth0");
  strcpy(host_name, "guest");
  report_lease = take_lease_settings;
  begin();
  while (input.size > 0) {
    uint8_t what = take_byte(&input);
    if (what & LATER) now += (int64_t)take_number(&input) * 1000;
    take_message(&input, what);
    if ((what & RETRY) && awaited == retry) retry(NULL);
    if ((what & RENEW) && awaited == renew) renew(NULL);
    REQUIRE(awaited == (state == BOUND ? renew : retry));
    if (state != SELECTING) REQUIRE(lease.address != 0);
  }
  dhcp_release();
  return 0;
}
