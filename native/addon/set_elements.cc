// addon: adds elements to sets of nftables, and removes them, in one transaction. The program nft would do the same; starting it
// takes a hundred times as long. (Documentation/netlink/specs/nftables.yaml of the kernel)
#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "errno_error.h"
#include "exports.h"

namespace volant {

namespace {

constexpr std::string_view kUsage =
    "setElementsChange(table: string, changes: { verb: 'add' | 'delete', set: string, keys: Buffer[] }[])";
/** The length of a list has 16 bits. */
constexpr size_t kKeysPerMessage = 256;
constexpr size_t kKeyBytesMax = 64;
constexpr size_t kReceiveBytes = 64 * 1024;
/** Room for the changes of many guests. */
constexpr int kSocketBytes = 4 * 1024 * 1024;

/** The messages of one transaction. */
class Transaction {
 public:
  Transaction() { Mark(NFNL_MSG_BATCH_BEGIN); }

  /** Adds the keys to the set, or deletes them. A key that is there is added without an error. */
  void Change(bool adds, const std::string& table, const std::string& set, const std::vector<std::string_view>& keys) {
    for (size_t first = 0; first < keys.size(); first += kKeysPerMessage) {
      const size_t end = std::min(first + kKeysPerMessage, keys.size());
      const int type = adds ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM;
      const size_t message = Begin(static_cast<uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
                                   static_cast<uint16_t>(NLM_F_ACK | (adds ? NLM_F_CREATE : 0)), NFPROTO_BRIDGE, 0);
      Text(NFTA_SET_ELEM_LIST_TABLE, table);
      Text(NFTA_SET_ELEM_LIST_SET, set);
      const size_t list = Open(NFTA_SET_ELEM_LIST_ELEMENTS);
      for (size_t i = first; i < end; ++i) {
        const size_t element = Open(NFTA_LIST_ELEM);
        const size_t key = Open(NFTA_SET_ELEM_KEY);
        Attribute(NFTA_DATA_VALUE, keys[i]);
        Close(key);
        Close(element);
      }
      Close(list);
      End(message);
      ++changes_;
    }
  }

  /** Returns 0, or the errno of the first change that the kernel refused; nothing has changed then. */
  int Commit(int socket) {
    Mark(NFNL_MSG_BATCH_END);
    if (::send(socket, bytes_.data(), bytes_.size(), 0) < 0) return errno;
    // The kernel has answered before send returns.
    std::vector<char> buffer(kReceiveBytes);
    size_t confirmed = 0;
    int refused = 0;
    for (;;) {
      const ssize_t length = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (length < 0 && errno == EINTR) continue;
      if (length < 0) break;
      auto rest = static_cast<unsigned>(length);
      const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
      for (; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
        if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(nlmsgerr))) continue;
        const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
        if (error == 0) ++confirmed;
        else if (refused == 0) refused = error;
      }
    }
    // A change is confirmed even where a later one was refused.
    if (refused != 0) return refused;
    return confirmed == changes_ ? 0 : EPROTO;
  }

 private:
  void Mark(uint16_t type) { End(Begin(type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES)); }

  size_t Begin(uint16_t type, uint16_t flags, uint8_t family, uint16_t resource) {
    const size_t at = bytes_.size();
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header.nlmsg_seq = ++sequence_;
    nfgenmsg general{};
    general.nfgen_family = family;
    general.version = NFNETLINK_V0;
    general.res_id = htons(resource);
    Append(&header, sizeof(header));
    Append(&general, sizeof(general));
    return at;
  }

  void End(size_t message) {
    const auto length = static_cast<uint32_t>(bytes_.size() - message);
    std::copy_n(reinterpret_cast<const char*>(&length), sizeof(length), bytes_.begin() + static_cast<ptrdiff_t>(message));
  }

  size_t Open(uint16_t type) {
    const size_t at = bytes_.size();
    const nlattr header{NLA_HDRLEN, static_cast<uint16_t>(type | NLA_F_NESTED)};
    Append(&header, sizeof(header));
    return at;
  }

  void Close(size_t attribute) {
    const auto length = static_cast<uint16_t>(bytes_.size() - attribute);
    std::copy_n(reinterpret_cast<const char*>(&length), sizeof(length), bytes_.begin() + static_cast<ptrdiff_t>(attribute));
  }

  void Text(uint16_t type, const std::string& text) { Attribute(type, std::string_view(text.c_str(), text.size() + 1)); }

  void Attribute(uint16_t type, std::string_view value) {
    const nlattr header{static_cast<uint16_t>(NLA_HDRLEN + value.size()), type};
    Append(&header, sizeof(header));
    Append(value.data(), value.size());
    bytes_.resize(NLA_ALIGN(bytes_.size()));
  }

  void Append(const void* data, size_t size) {
    const auto* from = static_cast<const char*>(data);
    bytes_.insert(bytes_.end(), from, from + size);
  }

  std::vector<char> bytes_;
  uint32_t sequence_ = 0;
  size_t changes_ = 0;
};

/**
 * The socket of all transactions, which stays open: the close of one waits for a grace period of the kernel if elements were
 * deleted before. It is invalid, with errno, where the kernel refuses it.
 */
int TransactionSocket() {
  static int socket = -1;
  if (socket >= 0) return socket;
  socket = ::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (socket < 0) return socket;
  // A failure is ignored: what does not fit is refused by the kernel.
  ::setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBytes, sizeof(kSocketBytes));
  return socket;
}

/** One transaction at a time has the socket. */
std::mutex transaction_mutex;

/** The keys point into the buffers, which the caller's arguments keep alive. */
std::vector<std::string_view> KeysOf(Napi::Env env, const Napi::Value& value) {
  if (!value.IsArray()) throw UsageError(env, kUsage);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string_view> keys;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsTypedArray() || item.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
      throw UsageError(env, kUsage);
    }
    const Napi::Uint8Array bytes = item.As<Napi::Uint8Array>();
    if (bytes.ByteLength() > kKeyBytesMax) throw UsageError(env, kUsage);
    keys.emplace_back(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  }
  return keys;
}

}  // namespace

Napi::Value SetElementsChange(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsString() || !info[1].IsArray()) throw UsageError(env, kUsage);
  const std::string table = info[0].As<Napi::String>();
  const Napi::Array changes = info[1].As<Napi::Array>();
  Transaction transaction;
  for (uint32_t i = 0; i < changes.Length(); ++i) {
    const Napi::Value item = changes.Get(i);
    if (!item.IsObject()) throw UsageError(env, kUsage);
    const Napi::Object change = item.As<Napi::Object>();
    const std::string verb = RequireString(change, "verb", kUsage);
    if (verb != "add" && verb != "delete") throw UsageError(env, kUsage);
    transaction.Change(verb == "add", table, RequireString(change, "set", kUsage), KeysOf(env, change.Get("keys")));
  }
  std::lock_guard<std::mutex> lock(transaction_mutex);
  const int socket = TransactionSocket();
  if (socket < 0) throw ErrnoError(env, errno, "socket(NETLINK_NETFILTER)");
  const int err = transaction.Commit(socket);
  if (err != 0) throw ErrnoError(env, err, "nftables(NFT_MSG_NEWSETELEM)", table);
  return env.Undefined();
}

}  // namespace volant
