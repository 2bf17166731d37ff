// addon: deletes many taps at once. The kernel announces a deletion when nobody can reach the interface any more, and holds
// the thread that asked for it until all users of its memory are gone, which takes several times as long. So a thread of its
// own asks.
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "netlink.h"
#include "unique_fd.h"

namespace volant {

namespace {

/**
 * Groups for interfaces that are deleted together. Each call takes a new number, so that two threads never use the same
 * group. The kernel's default is 0, and administrators use small numbers.
 */
std::atomic<uint32_t> next_group{0x766f0000};

constexpr size_t kReceiveBytes = 64 * 1024;
/** Other changes of the network are announced on the same socket. */
constexpr int kSocketBytes = 4 * 1024 * 1024;

struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr attribute;
  uint32_t group;
};
static_assert(sizeof(LinkRequest) == NLMSG_LENGTH(sizeof(ifinfomsg)) + RTA_LENGTH(sizeof(uint32_t)));

/** Sends one rtnetlink request with a group attribute. Returns 0 or an errno. */
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

/**
 * Counts deletions that the kernel has not finished. It lives as long as the process, because their threads may outlive a
 * caller.
 */
class Unfinished {
 public:
  void Begin() {
    std::lock_guard<std::mutex> lock(mutex_);
    ++count_;
  }
  void End() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (--count_ == 0) none_.notify_all();
  }
  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    none_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable none_;
  int count_ = 0;
};

Unfinished& TheUnfinished() {
  static auto* const unfinished = new Unfinished();
  return *unfinished;
}

/** One deletion, which its thread and its caller share. */
struct Deletion {
  UniqueFd route;
  uint32_t group = 0;
  // An eventfd, written when the kernel has finished.
  UniqueFd finished;
  int err = 0;
};

void Finish(const std::shared_ptr<Deletion>& deletion) {
  deletion->err = SendLinkRequest(deletion->route.get(), RTM_DELLINK, 0, deletion->group);
  const uint64_t one = 1;
  // It cannot fail: the counter has room.
  static_cast<void>(!::write(deletion->finished.get(), &one, sizeof(one)));
  TheUnfinished().End();
}

void Begin(const std::shared_ptr<Deletion>& deletion) {
  TheUnfinished().Begin();
  try {
    std::thread([deletion] { Finish(deletion); }).detach();
  } catch (const std::system_error&) {
    // There is no thread to be had: the caller waits for all of it.
    Finish(deletion);
  }
}

/** Announcements of interfaces that are gone. An invalid descriptor: the caller has to wait until the kernel has finished. */
UniqueFd OpenAnnouncements() {
  UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!socket) return socket;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kSocketBytes, sizeof(kSocketBytes));
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  own.nl_groups = RTMGRP_LINK;
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&own), sizeof(own)) < 0) return UniqueFd();
  return socket;
}

/** Takes the interfaces that were announced out of the set. Returns false if announcements were lost. */
bool TakeAnnounced(int socket, std::set<int>& indexes, std::vector<char>& buffer) {
  for (;;) {
    const ssize_t length = ::recv(socket, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (length < 0) return errno == EAGAIN || errno == EINTR;
    auto rest = static_cast<unsigned>(length);
    const auto* header = reinterpret_cast<const nlmsghdr*>(buffer.data());
    for (; NLMSG_OK(header, rest); header = NLMSG_NEXT(header, rest)) {
      if (header->nlmsg_type != RTM_DELLINK || header->nlmsg_len < NLMSG_LENGTH(sizeof(ifinfomsg))) continue;
      const auto* message = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
      // For the family AF_BRIDGE a port has left its bridge.
      if (message->ifi_family == AF_UNSPEC) indexes.erase(message->ifi_index);
    }
  }
}

/** Returns when all are gone, or when the kernel has finished. */
void WaitUntilGone(UniqueFd announcements, const Deletion& deletion, std::set<int> indexes) {
  pollfd watched[2] = {{deletion.finished.get(), POLLIN, 0}, {announcements.get(), POLLIN, 0}};
  std::vector<char> buffer(kReceiveBytes);
  while (!indexes.empty()) {
    if (::poll(watched, 2, -1) < 0) {
      if (errno == EINTR) continue;
      TheUnfinished().Wait();
      return;
    }
    if ((watched[0].revents & POLLIN) != 0) return;
    if (watched[1].fd >= 0 && watched[1].revents != 0 && !TakeAnnounced(watched[1].fd, indexes, buffer)) watched[1].fd = -1;
  }
}

}  // namespace

Napi::Value TapsDelete(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "tapsDelete(names: string[])";
  if (info.Length() != 1 || !info[0].IsArray()) throw UsageError(env, usage);
  const Napi::Array given = info[0].As<Napi::Array>();
  auto deletion = std::make_shared<Deletion>();
  deletion->route = UniqueFd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!deletion->route) throw ErrnoError(env, errno, "socket(AF_NETLINK)");
  deletion->group = next_group.fetch_add(1);
  std::vector<std::string> names;
  std::set<int> indexes;
  for (uint32_t i = 0; i < given.Length(); ++i) {
    names.push_back(RequireLinkName(given.Get(i), usage));
    const auto index = static_cast<int>(::if_nametoindex(names.back().c_str()));
    if (index == 0) continue;
    const int err = SendLinkRequest(deletion->route.get(), RTM_SETLINK, index, deletion->group);
    if (err == ENODEV) continue;
    if (err != 0) throw ErrnoError(env, err, "rtnetlink(IFLA_GROUP)", names.back());
    indexes.insert(index);
  }
  if (!indexes.empty()) {
    deletion->finished = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!deletion->finished) throw ErrnoError(env, errno, "eventfd");
    UniqueFd announcements = OpenAnnouncements();
    // Each deletion waits for a grace period of the kernel. A group waits once.
    Begin(deletion);
    WaitUntilGone(std::move(announcements), *deletion, std::move(indexes));
    uint64_t finished;
    const bool is_finished = ::read(deletion->finished.get(), &finished, sizeof(finished)) > 0;
    if (is_finished && deletion->err != 0 && deletion->err != ENODEV) {
      throw ErrnoError(env, deletion->err, "rtnetlink(RTM_DELLINK)");
    }
  }
  for (const std::string& name : names) {
    if (::if_nametoindex(name.c_str()) != 0) throw ErrnoError(env, EBUSY, "rtnetlink(RTM_DELLINK)", name);
  }
  return env.Undefined();
}

Napi::Value TapsSettle(const Napi::CallbackInfo& info) {
  TheUnfinished().Wait();
  return info.Env().Undefined();
}

}  // namespace volant
