// test: the agent's DHCP client as a program of the host. Usage: dhcp-client DEVICE. Each lease is told on stdout
// and not set up; `once` as a second argument ends the program with the first one.
#include <stdio.h>
#include <stdlib.h>

#include "base/console.h"
#include "base/loop.h"
#include "network/dhcp.h"

static bool once;

bool console_write(const char *text, size_t length) {
  return fwrite(text, 1, length, stderr) == length;
}

static void print_lease(const char *device, const struct network *network) {
  if (network == NULL) return;
  printf("%s %s %s %s\n", device, network->address, network->gateway, network->name_servers[0]);
  fflush(stdout);
  if (once) exit(0);
}

int main(int count, char **arguments) {
  if (count < 2) return 2;
  once = count > 2;
  loop_init();
  dhcp_start(arguments[1], "guest", print_lease);
  loop_run();
}
