// addon: sends one netlink request to the kernel and reads its answer.
#include "netlink.h"

#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>

namespace volant {

int Transact(int socket, const void* request, size_t size) {
  if (::send(socket, request, size, 0) < 0) return errno;
  alignas(nlmsghdr) char answer[1024];
  const ssize_t length = ::recv(socket, answer, sizeof(answer), 0);
  if (length < 0) return errno;
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (!NLMSG_OK(header, static_cast<size_t>(length)) || header->nlmsg_type != NLMSG_ERROR) return EPROTO;
  return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
}

}  // namespace volant
