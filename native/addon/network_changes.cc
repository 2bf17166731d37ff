// addon: reads the kernel's notifications about links, addresses and tables of nftables that are lost.
#include "network_changes.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <unordered_map>

namespace volant {

namespace {

/** The link is up and a port of a bridge. This cancels earlier changes of the link and is not reported itself. */
constexpr std::string_view kInOrder = "in order";

constexpr size_t kReceiveBytes = 64 * 1024;
/** The size of the receive buffer. It has room for many changes at once, for example when many VMs are deleted. */
constexpr int kSocketBytes = 4 * 1024 * 1024;

UniqueFd Open(int protocol, unsigned group_a, unsigned group_b) {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!socket) return socket;
  // A failure is ignored: a smaller buffer may lose notifications, but the loss is noticed.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes, sizeof(kSocketBytes));
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)) < 0) return UniqueFd();
  for (const unsigned group : {group_a, group_b}) {
    if (group == 0) continue;
    if (::setsockopt(socket.get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
      return UniqueFd();
    }
  }
  return socket;
}

/** Calls `take(header, changes)` for each message in the buffer. */
template <typename Take>
std::vector<NetworkChange> ReadAll(int socket, Take take) {
  std::vector<NetworkChange> changes;
  std::vector<char> buffer(kReceiveBytes);
  for (;;) {
    const ssize_t length = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (errno == ENOBUFS) {
        // It is not known what was lost, so everything has to be read again.
        changes.push_back({"missed", ""});
        continue;
      }
      return changes;
    }
    auto rest = static_cast<unsigned>(length);
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) take(header, changes);
  }
}

void TakeLink(const nlmsghdr* header, std::vector<NetworkChange>& changes) {
  const auto* message = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  std::string name;
  bool is_port = false;
  int size = static_cast<int>(IFLA_PAYLOAD(header));
  for (const rtattr* part = IFLA_RTA(message); RTA_OK(part, size); part = RTA_NEXT(part, size)) {
    if (part->rta_type == IFLA_IFNAME) name = static_cast<const char*>(RTA_DATA(part));
    if (part->rta_type == IFLA_MASTER) is_port = true;
  }
  if (name.empty()) return;
  // For the family AF_BRIDGE a port has left its bridge. Otherwise the link is gone.
  if (header->nlmsg_type == RTM_DELLINK) {
    changes.push_back({message->ifi_family == AF_BRIDGE ? "loose" : "gone", std::move(name)});
  } else if ((message->ifi_flags & IFF_UP) == 0) {
    changes.push_back({"down", std::move(name)});
  } else {
    changes.push_back({is_port ? kInOrder : "loose", std::move(name)});
  }
}

/** The last change of each link counts. A link that is being made is down and no port for a moment, which is no loss. */
std::vector<NetworkChange> LastOfEachLink(const std::vector<NetworkChange>& all) {
  const auto is_of_link = [](const NetworkChange& change) {
    return change.kind != "missed" && change.kind != "address";
  };
  std::unordered_map<std::string_view, const NetworkChange*> last;
  for (const NetworkChange& change : all) {
    if (is_of_link(change)) last[change.name] = &change;
  }
  std::vector<NetworkChange> reported;
  for (const NetworkChange& change : all) {
    const bool is_over = is_of_link(change) && last[change.name] != &change;
    if (!is_over && change.kind != kInOrder) reported.push_back(change);
  }
  return reported;
}

void TakeAddress(const nlmsghdr* header, std::vector<NetworkChange>& changes) {
  const auto* message = static_cast<const ifaddrmsg*>(NLMSG_DATA(header));
  char name[IF_NAMESIZE];
  if (::if_indextoname(message->ifa_index, name) != nullptr) changes.push_back({"address", name});
}

void TakeRoute(const nlmsghdr* header, std::vector<NetworkChange>& changes) {
  const uint16_t type = header->nlmsg_type;
  const bool is_link = type == RTM_DELLINK || type == RTM_NEWLINK;
  if (is_link && header->nlmsg_len >= NLMSG_LENGTH(sizeof(ifinfomsg))) TakeLink(header, changes);
  if (type == RTM_DELADDR && header->nlmsg_len >= NLMSG_LENGTH(sizeof(ifaddrmsg))) {
    TakeAddress(header, changes);
  }
}

/** Messages about tables, chains and rules have the table's name in the same attribute. */
void TakeTable(const nlmsghdr* header, std::vector<NetworkChange>& changes) {
  static_assert(NFTA_TABLE_NAME == 1 && NFTA_CHAIN_TABLE == 1 && NFTA_RULE_TABLE == 1);
  if (NFNL_SUBSYS_ID(header->nlmsg_type) != NFNL_SUBSYS_NFTABLES) return;
  const int type = NFNL_MSG_TYPE(header->nlmsg_type);
  if (type != NFT_MSG_DELTABLE && type != NFT_MSG_DELCHAIN && type != NFT_MSG_DELRULE) return;
  if (header->nlmsg_len < NLMSG_LENGTH(sizeof(nfgenmsg))) return;
  const auto* message = static_cast<const char*>(NLMSG_DATA(header));
  int size = static_cast<int>(header->nlmsg_len - NLMSG_LENGTH(sizeof(nfgenmsg)));
  // rtattr and nlattr have the same layout.
  const auto* part = reinterpret_cast<const rtattr*>(message + NLMSG_ALIGN(sizeof(nfgenmsg)));
  for (; RTA_OK(part, size); part = RTA_NEXT(part, size)) {
    if (part->rta_type != NFTA_TABLE_NAME) continue;
    const std::string_view kind = type == NFT_MSG_DELTABLE ? "table" : "rule";
    changes.push_back({kind, static_cast<const char*>(RTA_DATA(part))});
    return;
  }
}

}  // namespace

UniqueFd OpenRouteChanges() { return Open(NETLINK_ROUTE, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR); }

UniqueFd OpenTableChanges() { return Open(NETLINK_NETFILTER, NFNLGRP_NFTABLES, 0); }

std::vector<NetworkChange> ReadRouteChanges(int socket) {
  return LastOfEachLink(ReadAll(socket, TakeRoute));
}

std::vector<NetworkChange> ReadTableChanges(int socket) { return ReadAll(socket, TakeTable); }

}  // namespace volant
