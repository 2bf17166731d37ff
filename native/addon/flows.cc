// addon: lists and deletes entries of connection tracking (ctnetlink). A tracked connection keeps its old path when rules
// change, so its entry has to be deleted.
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

/** Which entries a call deletes. Addresses and ports are in network byte order. */
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

/** The attributes that identify one entry, as the kernel sent them. */
using EntryName = std::vector<char>;

/** Calls `visit(type, value, size, attribute)` for each attribute in a region of memory. */
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

/** Calls `visit(original, reply, name)` for the entry in one message of the dump. */
template <typename Visit>
void VisitEntry(const nlmsghdr* header, Visit visit) {
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
  visit(original, reply, std::move(name));
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

/** Reads the whole table, and calls `visit` for each entry, as VisitEntry does. Returns 0 or an errno. */
template <typename Visit>
int ReadTable(int socket, Visit visit) {
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
      VisitEntry(header, visit);
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

/** IPv4 addresses in network byte order. */
std::unordered_set<uint32_t> RequireAddresses(Napi::Env env, const Napi::Array& texts, std::string_view usage) {
  std::unordered_set<uint32_t> addresses;
  for (uint32_t i = 0; i < texts.Length(); ++i) {
    const Napi::Value value = texts.Get(i);
    in_addr address{};
    const std::string text = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
    if (::inet_pton(AF_INET, text.c_str(), &address) != 1) throw UsageError(env, usage);
    addresses.insert(address.s_addr);
  }
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
  wanted.guests = RequireAddresses(env, info[1].As<Napi::Array>(), usage);
  wanted.own_addresses = OwnAddresses(env);
  return wanted;
}

/** Deletes entries. One that has expired in the meantime is no error. */
void Delete(Napi::Env env, int socket, const std::vector<EntryName>& names) {
  for (const EntryName& name : names) {
    const std::vector<char> request = RequestOf(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, name);
    const int deleted = Transact(socket, request.data(), request.size());
    if (deleted != 0 && deleted != ENOENT) throw ErrnoError(env, deleted, "ctnetlink(IPCTNL_MSG_CT_DELETE)");
  }
}

UniqueFd OpenTracking(Napi::Env env) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket) throw ErrnoError(env, errno, "socket(NETLINK_NETFILTER)");
  return socket;
}

/** A tracked connection, with the attributes that identify its entry. */
struct Flow {
  Tuple original;
  EntryName name;
};

}  // namespace

Napi::Value FlowsFrom(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "flowsFrom(sources: string[])";
  if (info.Length() != 1 || !info[0].IsArray()) throw UsageError(env, usage);
  const std::unordered_set<uint32_t> sources = RequireAddresses(env, info[0].As<Napi::Array>(), usage);
  const UniqueFd socket = OpenTracking(env);
  std::vector<Flow> found;
  const int err = ReadTable(socket.get(), [&](const Tuple& original, const Tuple&, EntryName name) {
    if (sources.contains(original.source)) found.push_back({original, std::move(name)});
  });
  if (err != 0) throw ErrnoError(env, err, "ctnetlink(IPCTNL_MSG_CT_GET)");
  Napi::Array flows = Napi::Array::New(env, found.size());
  for (size_t i = 0; i < found.size(); ++i) {
    const auto& [original, name] = found[i];
    Napi::Object flow = Napi::Object::New(env);
    flow["source"] = Napi::Number::New(env, ntohl(original.source));
    flow["destination"] = Napi::Number::New(env, ntohl(original.destination));
    flow["protocol"] = Napi::Number::New(env, original.protocol);
    flow["port"] = Napi::Number::New(env, ntohs(original.destination_port));
    flow["name"] = Napi::Buffer<char>::Copy(env, name.data(), name.size());
    flows[static_cast<uint32_t>(i)] = flow;
  }
  return flows;
}

Napi::Value FlowsDelete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "flowsDelete(names: Buffer[])";
  if (info.Length() != 1 || !info[0].IsArray()) throw UsageError(env, usage);
  const Napi::Array buffers = info[0].As<Napi::Array>();
  std::vector<EntryName> names;
  for (uint32_t i = 0; i < buffers.Length(); ++i) {
    const Napi::Value value = buffers.Get(i);
    if (!value.IsBuffer()) throw UsageError(env, usage);
    const auto buffer = value.As<Napi::Buffer<char>>();
    names.emplace_back(buffer.Data(), buffer.Data() + buffer.Length());
  }
  const UniqueFd socket = OpenTracking(env);
  Delete(env, socket.get(), names);
  return env.Undefined();
}

Napi::Value FlowsForget(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Wanted wanted = RequireWanted(info, "flowsForget(udpPorts: number[], guests: string[])");
  const UniqueFd socket = OpenTracking(env);
  std::vector<EntryName> found;
  const int err = ReadTable(socket.get(), [&](const Tuple& original, const Tuple& reply, EntryName name) {
    if (IsWanted(wanted, original, reply)) found.push_back(std::move(name));
  });
  if (err != 0) throw ErrnoError(env, err, "ctnetlink(IPCTNL_MSG_CT_GET)");
  Delete(env, socket.get(), found);
  return Napi::Number::New(env, static_cast<double>(found.size()));
}

}  // namespace volant
