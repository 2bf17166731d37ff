// addon: interfaces in general: their names, and deletion of many at once.
#include "link.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "netlink.h"

namespace volant {

namespace {

/**
 * Groups that interfaces are moved to before they are deleted together. The kernel's default group is
 * 0 and people use small numbers; each call takes a new one, so that two threads never share a group.
 */
std::atomic<uint32_t> next_group{0x766f0000};

struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr attribute;
  uint32_t group;
};
static_assert(sizeof(LinkRequest) == NLMSG_LENGTH(sizeof(ifinfomsg)) + RTA_LENGTH(sizeof(uint32_t)));

/** One rtnetlink request with a group attribute; 0 or an errno. */
int SendLinkRequest(int socket, uint16_t type, int index, uint32_t group) {
  LinkRequest request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.link.ifi_family = AF_UNSPEC;
  request.link.ifi_index = index;
  request.attribute.rta_type = IFLA_GROUP;
  request.attribute.rta_len = RTA_LENGTH(sizeof(uint32_t));
  request.group = group;
  return Transact(socket, &request, sizeof(request));
}

}  // namespace

UniqueFd OpenControlSocket(Napi::Env env) {
  UniqueFd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control) throw ErrnoError(env, errno, "socket");
  return control;
}

ifreq RequestFor(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof(request.ifr_name) - 1));
  return request;
}

void BringUp(Napi::Env env, int control, const std::string& name) {
  ifreq request = RequestFor(name);
  // SAFETY: control is an open socket of the caller; request is a zeroed ifreq with a terminated name.
  if (::ioctl(control, SIOCGIFFLAGS, &request) < 0) {
    throw ErrnoError(env, errno, "ioctl(SIOCGIFFLAGS)", name);
  }
  if ((request.ifr_flags & IFF_UP) != 0) return;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(control, SIOCSIFFLAGS, &request) < 0) {
    throw ErrnoError(env, errno, "ioctl(SIOCSIFFLAGS)", name);
  }
}

Napi::Value LinkNames(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  // Not /sys/class/net: that shows the network namespace of whoever mounted it.
  struct if_nameindex* list = ::if_nameindex();
  if (list == nullptr) throw ErrnoError(env, errno, "if_nameindex");
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = 0;
  for (const struct if_nameindex* entry = list; entry->if_index != 0; ++entry) {
    names.Set(count++, entry->if_name);
  }
  ::if_freenameindex(list);
  return names;
}

Napi::Value TapsDelete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "tapsDelete(names: string[])";
  if (info.Length() != 1 || !info[0].IsArray()) throw UsageError(env, usage);
  const Napi::Array given = info[0].As<Napi::Array>();
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) throw ErrnoError(env, errno, "socket(AF_NETLINK)");
  const uint32_t group = next_group.fetch_add(1);
  std::vector<std::string> names;
  bool any = false;
  for (uint32_t i = 0; i < given.Length(); ++i) {
    names.push_back(RequireLinkName(given.Get(i), usage));
    const unsigned index = ::if_nametoindex(names.back().c_str());
    if (index == 0) continue;
    const int err = SendLinkRequest(socket.get(), RTM_SETLINK, static_cast<int>(index), group);
    if (err == ENODEV) continue;
    if (err != 0) throw ErrnoError(env, err, "rtnetlink(IFLA_GROUP)", names.back());
    any = true;
  }
  if (any) {
    // Deleting one by one waits for a grace period of the kernel each time; a group waits once.
    const int err = SendLinkRequest(socket.get(), RTM_DELLINK, 0, group);
    if (err != 0 && err != ENODEV) throw ErrnoError(env, err, "rtnetlink(RTM_DELLINK)");
  }
  for (const std::string& name : names) {
    if (::if_nametoindex(name.c_str()) != 0) throw ErrnoError(env, EBUSY, "rtnetlink(RTM_DELLINK)", name);
  }
  return env.Undefined();
}

}  // namespace volant
