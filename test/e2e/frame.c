// test: sends frames as they are given, each as hex digits, by an interface.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>

int main(int count, char **arguments) {
  unsigned char frame[ETH_FRAME_LEN];
  struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = ETH_ALEN};
  int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
  if (count < 3) return 2;
  to.sll_ifindex = (int)if_nametoindex(arguments[1]);
  for (int i = 2; i < count; i++) {
    size_t length = 0;
    const char *text = arguments[i];
    while (length < sizeof frame && sscanf(text + length * 2, "%2hhx", &frame[length]) == 1) length++;
    if (sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  }
  return 0;
}
