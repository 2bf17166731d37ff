// addon: IPv4 addresses of interfaces, by netlink. Addresses of others stay. The ioctl for addresses would replace them, with
// their routes.
#include "address.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "errno_error.h"
#include "exports.h"
#include "netlink.h"
#include "unique_fd.h"

namespace volant {

namespace {

struct AddressRequest {
  nlmsghdr header;
  ifaddrmsg message;
  rtattr local_header;
  in_addr local;
  rtattr broadcast_header;
  in_addr broadcast;
};
static_assert(sizeof(AddressRequest) ==
              NLMSG_LENGTH(sizeof(ifaddrmsg)) + 2 * RTA_LENGTH(sizeof(in_addr)));

/** Sends one request about an address. Returns 0 or an errno. */
int SendAddressRequest(int socket, uint16_t type, uint16_t flags, unsigned index,
                       const InterfaceAddress& address) {
  AddressRequest request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = type;
  request.header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  request.message.ifa_family = AF_INET;
  request.message.ifa_prefixlen = static_cast<uint8_t>(address.prefix_length);
  request.message.ifa_index = index;
  request.local_header = {RTA_LENGTH(sizeof(in_addr)), IFA_LOCAL};
  request.local = address.address;
  request.broadcast_header = {RTA_LENGTH(sizeof(in_addr)), IFA_BROADCAST};
  request.broadcast.s_addr = address.address.s_addr;
  if (address.prefix_length < 31) request.broadcast.s_addr |= htonl(0xffffffffU >> address.prefix_length);
  return Transact(socket, &request, sizeof(request));
}

UniqueFd OpenRouteSocket(Napi::Env env) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) throw ErrnoError(env, errno, "socket(AF_NETLINK)");
  return socket;
}

}  // namespace

InterfaceAddress RequireAddress(const Napi::Value& address, const Napi::Value& prefix_length,
                                std::string_view usage) {
  if (!address.IsString() || !prefix_length.IsNumber()) throw UsageError(address.Env(), usage);
  InterfaceAddress result{};
  const std::string text = address.As<Napi::String>();
  result.prefix_length = prefix_length.As<Napi::Number>().Int32Value();
  if (::inet_pton(AF_INET, text.c_str(), &result.address) != 1 || result.prefix_length < 1 ||
      result.prefix_length > 32) {
    throw UsageError(address.Env(), usage);
  }
  return result;
}

void AddAddress(Napi::Env env, const std::string& name, const InterfaceAddress& address) {
  UniqueFd socket = OpenRouteSocket(env);
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) throw ErrnoError(env, errno, "if_nametoindex", name);
  const int err =
      SendAddressRequest(socket.get(), RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, address);
  if (err != 0 && err != EEXIST) throw ErrnoError(env, err, "rtnetlink(RTM_NEWADDR)", name);
}

Napi::Value AddressDelete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "addressDelete(name: string, address: string, prefixLength: number)";
  if (info.Length() != 3) throw UsageError(env, usage);
  const std::string name = RequireLinkName(info[0], usage);
  const InterfaceAddress address = RequireAddress(info[1], info[2], usage);
  UniqueFd socket = OpenRouteSocket(env);
  const unsigned index = ::if_nametoindex(name.c_str());
  if (index == 0) return env.Undefined();
  const int err = SendAddressRequest(socket.get(), RTM_DELADDR, 0, index, address);
  if (err != 0 && err != EADDRNOTAVAIL && err != ENODEV) {
    throw ErrnoError(env, err, "rtnetlink(RTM_DELADDR)", name);
  }
  return env.Undefined();
}

Napi::Value LinkAddresses(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "linkAddresses(name: string)";
  if (info.Length() != 1) throw UsageError(env, usage);
  const std::string name = RequireLinkName(info[0], usage);
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) < 0) throw ErrnoError(env, errno, "getifaddrs");
  Napi::Array found = Napi::Array::New(env);
  uint32_t count = 0;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    // An address may have a label of its own, such as eth0:1.
    const std::string_view label(entry->ifa_name);
    if (name != label.substr(0, label.find(':')) || entry->ifa_addr == nullptr || entry->ifa_netmask == nullptr) continue;
    if (entry->ifa_addr->sa_family != AF_INET) continue;
    char text[INET_ADDRSTRLEN];
    ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(entry->ifa_addr)->sin_addr, text, sizeof(text));
    const uint32_t mask = reinterpret_cast<sockaddr_in*>(entry->ifa_netmask)->sin_addr.s_addr;
    found.Set(count++, std::string(text) + "/" + std::to_string(std::popcount(mask)));
  }
  ::freeifaddrs(list);
  return found;
}

}  // namespace volant
