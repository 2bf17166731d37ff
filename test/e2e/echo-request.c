// test: sends one ICMP echo request of 84 bytes to an address, and prints "answers" when the echo comes within a second.
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

static unsigned short checksum(const unsigned char *bytes, size_t count) {
  unsigned long sum = 0;
  for (size_t i = 0; i < count; i += 2) sum += (unsigned long)(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return htons((unsigned short)~sum);
}

int main(int count, char **arguments) {
  unsigned char request[64] = {ICMP_ECHO};
  unsigned char answer[256];
  struct sockaddr_in to = {.sin_family = AF_INET};
  struct timeval limit = {.tv_sec = 1};
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
  if (count != 2 || fd < 0 || inet_pton(AF_INET, arguments[1], &to.sin_addr) != 1) return 2;
  unsigned short sum = checksum(request, sizeof request);
  memcpy(request + 2, &sum, sizeof sum);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  // The host answers with an error when it refuses the packet, and sending fails when there is no route.
  if (sendto(fd, request, sizeof request, 0, (struct sockaddr *)&to, sizeof to) < 0) return 1;
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, answer, sizeof answer, 0, (struct sockaddr *)&from, &size);
    if (length <= 0) return 1;
    size_t header = (size_t)(answer[0] & 15) * 4;
    if ((size_t)length <= header || from.sin_addr.s_addr != to.sin_addr.s_addr) continue;
    if (answer[header] != ICMP_ECHOREPLY) continue;
    puts("answers");
    return 0;
  }
}
