// addon: the list of interfaces, with bridge and state, in one request; and adding an interface to its bridge again.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "netlink.h"
#include "unique_fd.h"

namespace volant {

namespace {

constexpr size_t kReceiveBytes = 64 * 1024;
/** Interfaces may change while the kernel lists them. A list that may be incomplete is requested again. */
constexpr int kAttempts = 8;

struct Link {
  std::string name;
  int master = 0;
  bool is_up = false;
};

struct ListRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr attribute;
  uint32_t mask;
};

struct JoinRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr attribute;
  uint32_t master;
};

UniqueFd OpenRouteSocket(Napi::Env env) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) throw ErrnoError(env, errno, "socket(AF_NETLINK)");
  return socket;
}

void Take(std::map<int, Link>& links, const nlmsghdr* header) {
  if (header->nlmsg_type != RTM_NEWLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) return;
  const auto* message = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  Link link;
  link.is_up = (message->ifi_flags & IFF_UP) != 0;
  int size = static_cast<int>(IFLA_PAYLOAD(header));
  for (const rtattr* part = IFLA_RTA(message); RTA_OK(part, size); part = RTA_NEXT(part, size)) {
    if (part->rta_type == IFLA_IFNAME) link.name = static_cast<const char*>(RTA_DATA(part));
    if (part->rta_type == IFLA_MASTER) link.master = *static_cast<const int*>(RTA_DATA(part));
  }
  links[message->ifi_index] = std::move(link);
}

/** Returns 0 or an errno. EAGAIN: the list has changed while it was made. */
int List(int socket, std::map<int, Link>& links) {
  ListRequest request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  request.attribute.rta_type = IFLA_EXT_MASK;
  request.attribute.rta_len = RTA_LENGTH(sizeof(uint32_t));
  request.mask = RTEXT_FILTER_SKIP_STATS;
  if (::send(socket, &request, sizeof(request), 0) < 0) return errno;
  bool is_torn = false;
  std::vector<char> buffer(kReceiveBytes);
  for (;;) {
    const ssize_t length = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (length < 0) return errno;
    auto rest = static_cast<unsigned>(length);
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
      if ((header->nlmsg_flags & NLM_F_DUMP_INTR) != 0) is_torn = true;
      if (header->nlmsg_type == NLMSG_DONE) return is_torn ? EAGAIN : 0;
      if (header->nlmsg_type == NLMSG_ERROR) {
        return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
      }
      Take(links, header);
    }
  }
}

std::map<int, Link> ListLinks(Napi::Env env) {
  UniqueFd socket = OpenRouteSocket(env);
  int err = EAGAIN;
  for (int attempt = 0; err == EAGAIN && attempt < kAttempts; ++attempt) {
    std::map<int, Link> links;
    err = List(socket.get(), links);
    if (err == 0) return links;
  }
  throw ErrnoError(env, err, "rtnetlink(RTM_GETLINK)");
}

}  // namespace

Napi::Value Links(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::map<int, Link> links = ListLinks(env);
  Napi::Array result = Napi::Array::New(env, links.size());
  uint32_t count = 0;
  for (const auto& [index, link] : links) {
    const auto master = links.find(link.master);
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", link.name);
    entry.Set("master", master == links.end() ? env.Null() : Napi::String::New(env, master->second.name));
    entry.Set("isUp", link.is_up);
    result.Set(count++, entry);
  }
  return result;
}

Napi::Value LinkJoin(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "linkJoin(name: string, bridge: string)";
  if (info.Length() != 2) throw UsageError(env, usage);
  const std::string name = RequireLinkName(info[0], usage);
  const std::string bridge = RequireLinkName(info[1], usage);
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) throw ErrnoError(env, errno, "if_nametoindex", name);
  const unsigned master = ::if_nametoindex(bridge.c_str());
  if (master == 0) throw ErrnoError(env, errno, "if_nametoindex", bridge);
  UniqueFd socket = OpenRouteSocket(env);
  JoinRequest request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_NEWLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.link.ifi_index = static_cast<int>(index);
  request.link.ifi_flags = IFF_UP;
  request.link.ifi_change = IFF_UP;
  request.attribute.rta_type = IFLA_MASTER;
  request.attribute.rta_len = RTA_LENGTH(sizeof(uint32_t));
  request.master = master;
  const int err = Transact(socket.get(), &request, sizeof(request));
  if (err != 0) throw ErrnoError(env, err, "rtnetlink(IFLA_MASTER)", name);
  return env.Undefined();
}

}  // namespace volant
