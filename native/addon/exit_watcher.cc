// addon: one thread that waits for the exits of processes, through their pidfds, and for changes of the network, and reports
// them to the JavaScript thread that started it. It belongs to that thread's instance of the addon.
#include <napi.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "network_changes.h"
#include "unique_fd.h"

namespace volant {

namespace {

/** Changes of the network within this time are reported together, because each new tap causes several messages. */
constexpr std::chrono::milliseconds kChangesPause{50};

/** How a process ended. code and signal are both -1 if it is not known. */
struct Exit {
  double token;
  int code;
  int signal;
  // Closed on the JavaScript thread after the exit was reported. Until then a signal that is sent there must not reach another
  // process with this descriptor number.
  UniqueFd pidfd;
};

/**
 * From <linux/pidfd.h> of Linux 6.15, which older headers lack. Since then the kernel keeps the exit status for holders of a
 * pidfd, even if the process is not their child.
 */
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroupid;
  uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  int32_t exit_code;
  uint32_t coredump_mask;
  uint32_t reserved;
};
constexpr uint64_t kPidfdInfoExit = 1ULL << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

void SetStatus(Exit& exit, int status) {
  if (WIFEXITED(status)) exit.code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) exit.signal = WTERMSIG(status);
}

Exit Reap(int pidfd, double token) {
  Exit exit{token, -1, -1, UniqueFd()};
  siginfo_t status{};
  if (::waitid(static_cast<idtype_t>(3) /* P_PIDFD */, static_cast<id_t>(pidfd), &status, WEXITED) == 0) {
    if (status.si_code == CLD_EXITED) exit.code = status.si_status;
    else exit.signal = status.si_status;
    return exit;
  }
  // The process is not our child, because an earlier daemon launched it.
  PidfdInfo details{};
  details.mask = kPidfdInfoExit;
  // SAFETY: pidfd is open and owned by the watcher; details is zeroed and as large as the request says.
  if (::ioctl(pidfd, kPidfdGetInfo, &details) == 0 && (details.mask & kPidfdInfoExit) != 0) {
    SetStatus(exit, details.exit_code);
  }
  return exit;
}

class ExitWatcher {
 public:
  ExitWatcher(Napi::Env env, Napi::Function callback)
      : epoll_(::epoll_create1(EPOLL_CLOEXEC)), stop_(::eventfd(0, EFD_CLOEXEC)) {
    if (!epoll_) throw ErrnoError(env, errno, "epoll_create1");
    if (!stop_) throw ErrnoError(env, errno, "eventfd");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = stop_.get();
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) < 0) {
      throw ErrnoError(env, errno, "epoll_ctl");
    }
    deliver_ = Napi::ThreadSafeFunction::New(env, callback, "exitWatch", 0, 1);
    // The watcher does not keep the program alive.
    deliver_.Unref(env);
    thread_ = std::thread([this] { Run(); });
  }

  ~ExitWatcher() {
    const uint64_t one = 1;
    if (::write(stop_.get(), &one, sizeof(one)) == sizeof(one)) thread_.join();
    else thread_.detach();
    deliver_.Release();
    if (report_) report_.Release();
  }

  ExitWatcher(const ExitWatcher&) = delete;
  ExitWatcher& operator=(const ExitWatcher&) = delete;

  void Add(Napi::Env env, int pidfd, double token) {
    std::lock_guard<std::mutex> lock(mutex_);
    watched_.emplace(pidfd, Watched{UniqueFd(pidfd), token});
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = pidfd;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, pidfd, &event) < 0) {
      const int err = errno;
      watched_.erase(pidfd);
      throw ErrnoError(env, err, "epoll_ctl");
    }
  }

  /** Called once for a watcher. Throws if the kernel refuses. Processes are watched anyway. */
  void WatchNetwork(Napi::Env env, Napi::Function callback) {
    if (report_) throw UsageError(env, "networkWatchStart() once until exitWatchStop()");
    UniqueFd route = OpenRouteChanges();
    if (!route) throw ErrnoError(env, errno, "socket(NETLINK_ROUTE)");
    UniqueFd tables = OpenTableChanges();
    if (!tables) throw ErrnoError(env, errno, "socket(NETLINK_NETFILTER)");
    std::lock_guard<std::mutex> lock(mutex_);
    report_ = Napi::ThreadSafeFunction::New(env, callback, "networkWatch", 0, 1);
    report_.Unref(env);
    route_ = std::move(route);
    tables_ = std::move(tables);
    for (const int fd : {route_.get(), tables_.get()}) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLONESHOT;
      event.data.fd = fd;
      if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) < 0) throw ErrnoError(env, errno, "epoll_ctl");
    }
  }

 private:
  struct Watched {
    UniqueFd fd;
    double token;
  };

  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point kNever = Clock::time_point::max();

  void Run() {
    Clock::time_point changes_due = kNever;
    for (;;) {
      epoll_event events[64];
      const int count = ::epoll_wait(epoll_.get(), events, 64, MillisecondsUntil(changes_due));
      if (count < 0 && errno != EINTR) return;
      for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == stop_.get()) return;
        if (!IsNotifier(fd)) Take(fd);
        else if (changes_due == kNever) changes_due = Clock::now() + kChangesPause;
      }
      if (Clock::now() >= changes_due) {
        changes_due = kNever;
        TakeChanges();
      }
    }
  }

  /** The timeout for epoll_wait, rounded up. -1: none. */
  static int MillisecondsUntil(Clock::time_point due) {
    if (due == kNever) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(due - Clock::now()).count();
    return left > 0 ? static_cast<int>(left) : 0;
  }

  bool IsNotifier(int fd) {
    std::lock_guard<std::mutex> lock(mutex_);
    return fd == route_.get() || fd == tables_.get();
  }

  /** Reports all changes so far, and waits for more. */
  void TakeChanges() {
    using Changes = std::vector<NetworkChange>;
    // The sockets were set before the first changes came, and stay. The JavaScript thread must not wait for the reading.
    auto changes = std::make_unique<Changes>(ReadRouteChanges(route_.get()));
    const Changes of_tables = ReadTableChanges(tables_.get());
    changes->insert(changes->end(), of_tables.begin(), of_tables.end());
    for (const int fd : {route_.get(), tables_.get()}) {
      epoll_event event{};
      event.events = EPOLLIN | EPOLLONESHOT;
      event.data.fd = fd;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
    }
    if (changes->empty()) return;
    Changes* handed = changes.release();
    const napi_status status =
        report_.NonBlockingCall(handed, [](Napi::Env env, Napi::Function callback, Changes* handed_over) {
          const std::unique_ptr<Changes> owned(handed_over);
          if (env == nullptr) return;
          Napi::Array list = Napi::Array::New(env, owned->size());
          for (uint32_t i = 0; i < owned->size(); ++i) {
            Napi::Object change = Napi::Object::New(env);
            change.Set("kind", std::string((*owned)[i].kind));
            change.Set("name", (*owned)[i].name);
            list.Set(i, change);
          }
          callback.Call({list});
        });
    if (status != napi_ok) delete handed;
  }

  void Take(int pidfd) {
    auto exit = std::make_unique<Exit>(Exit{0, -1, -1, UniqueFd()});
    {
      std::lock_guard<std::mutex> lock(mutex_);
      const auto found = watched_.find(pidfd);
      if (found == watched_.end()) return;
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, pidfd, nullptr);
      *exit = Reap(pidfd, found->second.token);
      exit->pidfd = std::move(found->second.fd);
      watched_.erase(found);
    }
    Exit* handed = exit.release();
    const napi_status status = deliver_.NonBlockingCall(
        handed, [](Napi::Env env, Napi::Function callback, Exit* ended) {
          const std::unique_ptr<Exit> owned(ended);
          if (env == nullptr) return;
          const char* name = owned->signal > 0 ? ::sigabbrev_np(owned->signal) : nullptr;
          callback.Call({Napi::Number::New(env, owned->token),
                         owned->code >= 0 ? Napi::Value(Napi::Number::New(env, owned->code)) : env.Null(),
                         name != nullptr ? Napi::Value(Napi::String::New(env, std::string("SIG") + name))
                                         : env.Null()});
        });
    if (status != napi_ok) delete handed;
  }

  UniqueFd epoll_;
  UniqueFd stop_;
  std::mutex mutex_;
  std::map<int, Watched> watched_;
  UniqueFd route_;
  UniqueFd tables_;
  Napi::ThreadSafeFunction deliver_;
  Napi::ThreadSafeFunction report_;
  std::thread thread_;
};

/** One for each instance of the addon, so one for each JavaScript thread. */
struct InstanceData {
  std::unique_ptr<ExitWatcher> watcher;
};

InstanceData& DataOf(Napi::Env env) {
  auto* data = env.GetInstanceData<InstanceData>();
  if (data == nullptr) {
    data = new InstanceData();
    env.SetInstanceData(data);
    // A cleanup hook runs while the thread-safe function can still be released. The destructor of the instance data would be too
    // late.
    env.AddCleanupHook([](InstanceData* instance) { instance->watcher.reset(); }, data);
  }
  return *data;
}

}  // namespace

Napi::Value ExitWatchStart(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsFunction()) {
    throw UsageError(env, "exitWatchStart(callback: (token, code, signal) => void)");
  }
  InstanceData& data = DataOf(env);
  if (data.watcher != nullptr) throw UsageError(env, "exitWatchStart() once until exitWatchStop()");
  data.watcher = std::make_unique<ExitWatcher>(env, info[0].As<Napi::Function>());
  return env.Undefined();
}

Napi::Value ExitWatchAdd(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsNumber() || !info[1].IsNumber()) {
    throw UsageError(env, "exitWatchAdd(pidfd: number, token: number)");
  }
  InstanceData& data = DataOf(env);
  if (data.watcher == nullptr) throw UsageError(env, "exitWatchStart() before exitWatchAdd()");
  data.watcher->Add(env, info[0].As<Napi::Number>().Int32Value(),
                    info[1].As<Napi::Number>().DoubleValue());
  return env.Undefined();
}

Napi::Value NetworkWatchStart(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsFunction()) {
    throw UsageError(env, "networkWatchStart(callback: (changes) => void)");
  }
  InstanceData& data = DataOf(env);
  if (data.watcher == nullptr) throw UsageError(env, "exitWatchStart() before networkWatchStart()");
  data.watcher->WatchNetwork(env, info[0].As<Napi::Function>());
  return env.Undefined();
}

Napi::Value ExitWatchStop(const Napi::CallbackInfo& info) {
  DataOf(info.Env()).watcher.reset();
  return info.Env().Undefined();
}

}  // namespace volant
