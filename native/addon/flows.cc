// addon: connections as the kernel's connection tracking knows them (ctnetlink). What it knows is not
// looked up in the rules again, so what must follow changed rules has to be forgotten.
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <unordered_set>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "netlink.h"
#include "unique_fd.h"

namespace volant {

namespace {

constexpr size_t kReceiveBytes = 64 * 1024;
constexpr int kTypeMask = NLA_TYPE_MASK;

/** What a call wants to be forgotten; addresses and ports in network order. */
struct Wanted {
  std::unordered_set<uint16_t> udp_ports;
  std::unordered_set<uint32_t> guests;
  std::unordered_set<uint32_t> own_addresses;
};

struct Tuple {
  uint32_t source = 0;
  uint32_t destination = 0;
  uint8_t protocol = 0;
  uint16_t destination_port = 0;
};

/** Attributes that name one entry, as they came. */
using EntryName = std::vector<char>;

/** Calls `visit(type, value, size, attribute)` for each attribute of a region. */
template <typename Visit>
void ForEachAttribute(const char* data, size_t size, Visit visit) {
  while (size >= NLA_HDRLEN) {
    nlattr attribute;
    std::memcpy(&attribute, data, sizeof(attribute));
    if (attribute.nla_len < NLA_HDRLEN || attribute.nla_len > size) return;
    visit(attribute.nla_type & kTypeMask, data + NLA_HDRLEN, attribute.nla_len - NLA_HDRLEN, data);
    const size_t step = std::min(size, static_cast<size_t>(NLA_ALIGN(attribute.nla_len)));
    data += step;
    size -= step;
  }
}

template <typename Value>
void Read(Value& into, const char* value, size_t size) {
  if (size == sizeof(into)) std::memcpy(&into, value, sizeof(into));
}

Tuple ReadTuple(const char* data, size_t size) {
  Tuple tuple;
  ForEachAttribute(data, size, [&](int part, const char* value, size_t length, const char*) {
    ForEachAttribute(value, length, [&](int type, const char* inner, size_t inner_length, const char*) {
      if (part == CTA_TUPLE_IP && type == CTA_IP_V4_SRC) Read(tuple.source, inner, inner_length);
      if (part == CTA_TUPLE_IP && type == CTA_IP_V4_DST) Read(tuple.destination, inner, inner_length);
      if (part == CTA_TUPLE_PROTO && type == CTA_PROTO_NUM) Read(tuple.protocol, inner, inner_length);
      if (part == CTA_TUPLE_PROTO && type == CTA_PROTO_DST_PORT) {
        Read(tuple.destination_port, inner, inner_length);
      }
    });
  });
  return tuple;
}

bool IsOwn(const Wanted& wanted, uint32_t address) {
  return (ntohl(address) >> 24) == 127 || wanted.own_addresses.contains(address);
}

bool IsWanted(const Wanted& wanted, const Tuple& original, const Tuple& reply) {
  if (wanted.guests.contains(original.source) || wanted.guests.contains(reply.source)) return true;
  return original.protocol == IPPROTO_UDP && wanted.udp_ports.contains(original.destination_port) &&
         IsOwn(wanted, original.destination);
}

/** Adds the names of wanted entries of one message of the dump. */
void Collect(const Wanted& wanted, const nlmsghdr* header, std::vector<EntryName>& found) {
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nfgenmsg))) return;
  const char* data = static_cast<const char*>(NLMSG_DATA(header)) + NLMSG_ALIGN(sizeof(nfgenmsg));
  const size_t size = header->nlmsg_len - NLMSG_LENGTH(sizeof(nfgenmsg));
  Tuple original, reply;
  EntryName name;
  ForEachAttribute(data, size, [&](int type, const char* value, size_t length, const char* attribute) {
    if (type == CTA_TUPLE_ORIG) original = ReadTuple(value, length);
    if (type == CTA_TUPLE_REPLY) reply = ReadTuple(value, length);
    if (type != CTA_TUPLE_ORIG && type != CTA_ID && type != CTA_ZONE) return;
    name.insert(name.end(), attribute, attribute + NLA_HDRLEN + length);
    name.resize(NLA_ALIGN(name.size()));
  });
  if (IsWanted(wanted, original, reply)) found.push_back(std::move(name));
}

std::vector<char> RequestOf(uint16_t operation, uint16_t flags, const EntryName& name) {
  std::vector<char> request(NLMSG_LENGTH(sizeof(nfgenmsg)) + name.size());
  nlmsghdr header{};
  header.nlmsg_len = static_cast<uint32_t>(request.size());
  header.nlmsg_type = static_cast<uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | operation);
  header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  nfgenmsg message{};
  message.nfgen_family = AF_INET;
  message.version = NFNETLINK_V0;
  std::memcpy(request.data(), &header, sizeof(header));
  std::memcpy(request.data() + NLMSG_HDRLEN, &message, sizeof(message));
  if (!name.empty()) std::memcpy(request.data() + NLMSG_LENGTH(sizeof(nfgenmsg)), name.data(), name.size());
  return request;
}

/** Reads the whole table; 0 or an errno. */
int Find(int socket, const Wanted& wanted, std::vector<EntryName>& found) {
  const std::vector<char> request = RequestOf(IPCTNL_MSG_CT_GET, NLM_F_DUMP, {});
  if (::send(socket, request.data(), request.size(), 0) < 0) return errno;
  std::vector<char> answer(kReceiveBytes);
  for (;;) {
    const ssize_t length = ::recv(socket, answer.data(), answer.size(), 0);
    if (length < 0) return errno;
    auto rest = static_cast<size_t>(length);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(answer.data()); NLMSG_OK(header, rest);
         header = NLMSG_NEXT(header, rest)) {
      if (header->nlmsg_type == NLMSG_DONE) return 0;
      if (header->nlmsg_type == NLMSG_ERROR) {
        return -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
      }
      Collect(wanted, header, found);
    }
  }
}

std::unordered_set<uint32_t> OwnAddresses(Napi::Env env) {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) < 0) throw ErrnoError(env, errno, "getifaddrs");
  std::unordered_set<uint32_t> addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != AF_INET) continue;
    addresses.insert(reinterpret_cast<sockaddr_in*>(entry->ifa_addr)->sin_addr.s_addr);
  }
  ::freeifaddrs(list);
  return addresses;
}

Wanted RequireWanted(const Napi::CallbackInfo& info, std::string_view usage) {
  Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsArray() || !info[1].IsArray()) throw UsageError(env, usage);
  Wanted wanted;
  const Napi::Array ports = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < ports.Length(); ++i) {
    const Napi::Value port = ports.Get(i);
    if (!port.IsNumber()) throw UsageError(env, usage);
    wanted.udp_ports.insert(htons(static_cast<uint16_t>(port.As<Napi::Number>().Uint32Value())));
  }
  const Napi::Array guests = info[1].As<Napi::Array>();
  for (uint32_t i = 0; i < guests.Length(); ++i) {
    const Napi::Value guest = guests.Get(i);
    in_addr address{};
    const std::string text = guest.IsString() ? guest.As<Napi::String>().Utf8Value() : "";
    if (::inet_pton(AF_INET, text.c_str(), &address) != 1) throw UsageError(env, usage);
    wanted.guests.insert(address.s_addr);
  }
  wanted.own_addresses = OwnAddresses(env);
  return wanted;
}

}  // namespace

Napi::Value FlowsForget(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Wanted wanted = RequireWanted(info, "flowsForget(udpPorts: number[], guests: string[])");
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket) throw ErrnoError(env, errno, "socket(NETLINK_NETFILTER)");
  std::vector<EntryName> found;
  const int err = Find(socket.get(), wanted, found);
  if (err != 0) throw ErrnoError(env, err, "ctnetlink(IPCTNL_MSG_CT_GET)");
  for (const EntryName& name : found) {
    const std::vector<char> request = RequestOf(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, name);
    const int deleted = Transact(socket.get(), request.data(), request.size());
    // ENOENT: it has ended by itself since.
    if (deleted != 0 && deleted != ENOENT) throw ErrnoError(env, deleted, "ctnetlink(IPCTNL_MSG_CT_DELETE)");
  }
  return Napi::Number::New(env, static_cast<double>(found.size()));
}

}  // namespace volant
