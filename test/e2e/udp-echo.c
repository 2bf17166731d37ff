// test: a program for guests: answers each datagram at a port with the guest's name and the datagram.
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **arguments) {
  static char text[65536];
  struct sockaddr_in at = {.sin_family = AF_INET}, from;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  at.sin_port = htons((unsigned short)atoi(count > 1 ? arguments[1] : "0"));
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0) return 1;
  gethostname(text, 64);
  size_t name = strlen(text);
  text[name++] = ' ';
  for (;;) {
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, text + name, sizeof text - name, 0, (struct sockaddr *)&from, &size);
    if (length >= 0) sendto(fd, text, name + (size_t)length, 0, (struct sockaddr *)&from, size);
  }
}
