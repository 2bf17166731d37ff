// addon: launches a process, in a time that does not depend on the size of this one; and pidfds.
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "sandbox.h"
#include "tap.h"
#include "unique_fd.h"

namespace volant {

namespace {

/** The descriptor number of the tap in the new process. */
constexpr int kTapDescriptor = 3;

/** The descriptor number of the socket that clients of the new process connect to. */
constexpr int kControlDescriptor = 4;

/** Clients that may wait until the process accepts them. */
constexpr int kControlBacklog = 4;

/** What the child does. It is memory of the parent. The child only writes `failure` and `cgroup_errno`. */
struct ChildPlan {
  // nullptr: the child ends after all other steps.
  const char* file;
  char* const* argv;
  char* const* envp;
  const char* cwd;
  // nullptr: its output is discarded.
  const char* log_path;
  // nullptr: no cgroup.
  const char* cgroup_path;
  // nullptr: none.
  const Tap* tap;
  // nullptr: none.
  const sockaddr_un* control;
  // nullptr: the process has the rights of the daemon.
  Sandbox* sandbox;
  // Whether the kernel may give the process huge pages.
  bool huge_pages = true;
  int cgroup_errno = 0;
  ChildFailure failure = {};
};

[[noreturn]] void End() { ::_exit(127); }

[[noreturn]] void Fail(ChildPlan* plan, const char* step, const char* subject) {
  plan->failure = {step, subject, errno};
  End();
}

/** Opens the file as this descriptor. All lower descriptors are open already. */
void OpenAs(int fd, const char* path, int flags, ChildPlan* plan) {
  const int opened = ::open(path, flags | O_CLOEXEC, 0600);
  if (opened < 0 || ::dup2(opened, fd) < 0) Fail(plan, "open(stdio)", path);
  if (opened != fd) ::close(opened);
}

/** Joins the cgroup. A failure is only reported, because a VM can run without one. */
void JoinCgroup(ChildPlan* plan) {
  const int fd = ::open(plan->cgroup_path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || ::write(fd, "0", 1) < 0) plan->cgroup_errno = errno;
  if (fd >= 0) ::close(fd);
}

/** The process has the descriptor as this number. */
void KeepAs(int number, int fd, const char* subject, ChildPlan* plan) {
  // Its own number would stay close-on-exec, which a duplicate is not.
  if (fd == number) ::fcntl(fd, F_SETFD, 0);
  else if (::dup2(fd, number) < 0) Fail(plan, "dup2", subject);
}

/** Makes the tap as root and in its network namespace. The process itself will be in another one, without rights. */
void OpenTap(ChildPlan* plan) {
  const int fd = plan->tap->Open(&plan->failure);
  if (fd < 0) End();
  KeepAs(kTapDescriptor, fd, "tap", plan);
}

/** A client can connect as soon as the process is started, however long that takes to answer. */
void ListenForControl(ChildPlan* plan) {
  const char* path = plan->control->sun_path;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) Fail(plan, "socket", path);
  // The mode is set before the name exists, so that no other user can connect in between.
  if (::fchmod(fd, 0600) < 0) Fail(plan, "fchmod", path);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(plan->control), sizeof(*plan->control)) < 0) Fail(plan, "bind", path);
  if (::listen(fd, kControlBacklog) < 0) Fail(plan, "listen", path);
  KeepAs(kControlDescriptor, fd, path, plan);
}

/**
 * Runs in the child, on its own stack but in the parent's memory, while the parent's thread waits. Makes async-signal-safe
 * calls only and changes nothing in the parent's memory except *plan.
 */
int RunChild(void* argument) {
  auto* plan = static_cast<ChildPlan*>(argument);
  Sandbox* const sandbox = plan->sandbox;
  // Up to here the child shares the parent's table of descriptors. From here on it has a table with stdio only. The daemon's
  // descriptors (store, sockets, locks) stay with the daemon, and a descriptor that another thread closes now is really closed.
  if (::syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_UNSHARE) < 0) Fail(plan, "close_range", "");
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) != 0) continue;
    if (action.sa_handler == SIG_DFL) continue;
    // A signal handler of the parent would change the parent's data.
    action.sa_handler = SIG_DFL;
    action.sa_flags = 0;
    ::sigaction(signal, &action, nullptr);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // In a session of its own the process gets no signals that are sent to the daemon's terminal or process group.
  if (::setsid() < 0) Fail(plan, "setsid", "");
  if (plan->cgroup_path != nullptr) JoinCgroup(plan);
  OpenAs(0, "/dev/null", O_RDONLY, plan);
  if (plan->log_path == nullptr) OpenAs(1, "/dev/null", O_WRONLY, plan);
  else OpenAs(1, plan->log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK, plan);
  if (::dup2(1, 2) < 0) Fail(plan, "dup2", "stderr");
  if (plan->tap != nullptr) OpenTap(plan);
  if (plan->control != nullptr) ListenForControl(plan);
  if (sandbox == nullptr) {
    if (::chdir(plan->cwd) < 0) Fail(plan, "chdir", plan->cwd);
  } else {
    if (plan->log_path != nullptr && ::fchown(1, sandbox->uid(), sandbox->uid()) < 0) Fail(plan, "fchown", plan->log_path);
    if (!sandbox->Enter(plan->cwd, &plan->failure)) End();
  }
  if (plan->file == nullptr) ::_exit(0);
  // It belongs to the memory, which is the parent's until exec and has to be reset there. A failure costs memory only.
  if (!plan->huge_pages) ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  ::execve(plan->file, plan->argv, plan->envp);
  Fail(plan, "execve", plan->file);
}

/** A stack for the child, with a guard page below it. It is unmapped at the end of the scope. */
class ChildStack {
 public:
  ChildStack()
      : base_(::mmap(nullptr, kSize + kGuard, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {
    if (base_ != MAP_FAILED) ::mprotect(base_, kGuard, PROT_NONE);
  }
  ~ChildStack() {
    if (base_ != MAP_FAILED) ::munmap(base_, kSize + kGuard);
  }
  ChildStack(const ChildStack&) = delete;
  ChildStack& operator=(const ChildStack&) = delete;
  [[nodiscard]] bool valid() const { return base_ != MAP_FAILED; }
  [[nodiscard]] void* top() const { return static_cast<char*>(base_) + kSize + kGuard; }

 private:
  static constexpr size_t kSize = 64 * 1024;
  static constexpr size_t kGuard = 4096;
  void* base_;
};

/** Blocks all signals on this thread until the end of the scope. */
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_{};
};

std::vector<std::string> StringsOf(const Napi::Value& value, std::string_view usage) {
  if (!value.IsArray()) throw UsageError(value.Env(), usage);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> strings;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsString()) throw UsageError(value.Env(), usage);
    strings.push_back(item.As<Napi::String>());
  }
  return strings;
}

std::vector<char*> PointersTo(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

sockaddr_un AddressOf(Napi::Env env, const std::string& path) {
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) throw ErrnoError(env, ENAMETOOLONG, "bind", path);
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

/** Field 22 of /proc/<pid>/stat, or -1 if it cannot be read. The name in field 2 may have any characters. */
double StartTimeTicks(pid_t pid) {
  char path[64];
  std::snprintf(path, sizeof(path), "/proc/%d/stat", pid);
  UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return -1;
  char text[1024];
  const ssize_t length = ::read(file.get(), text, sizeof(text) - 1);
  if (length <= 0) return -1;
  text[length] = '\0';
  const char* cursor = ::strrchr(text, ')');
  if (cursor == nullptr) return -1;
  // Field 3 follows the name, and field 22 follows 20 spaces.
  for (int spaces = 0; spaces < 20; ++spaces) {
    cursor = ::strchr(cursor + 1, ' ');
    if (cursor == nullptr) return -1;
  }
  return std::strtod(cursor + 1, nullptr);
}

/** Returns when the child has called exec or ended. Throws an error that names the step that failed. */
pid_t Start(Napi::Env env, ChildPlan* plan, UniqueFd* owned_pidfd) {
  ChildStack stack;
  if (!stack.valid()) throw ErrnoError(env, ENOMEM, "mmap");

  static const int dumpable = ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
  int pidfd = -1;
  pid_t pid;
  int clone_errno;
  {
    BlockedSignals blocked;
    // SAFETY: with CLONE_VFORK this thread sleeps until the child has called exec or ended, so stack and plan outlive their
    // use in the child. CLONE_VM makes the cost independent of the size of this process, CLONE_FILES of the number of
    // descriptors.
    pid = ::clone(RunChild, stack.top(), CLONE_VM | CLONE_FILES | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                  plan, &pidfd);
    clone_errno = errno;
  }
  // The change of user has cleared this for all processes that share the memory. It was meant for the child only.
  if (plan->sandbox != nullptr && dumpable == 1) ::prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (!plan->huge_pages) ::prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  if (pid < 0) throw ErrnoError(env, clone_errno, "clone");
  *owned_pidfd = UniqueFd(pidfd);
  if (plan->failure.step != nullptr) {
    ::waitpid(pid, nullptr, 0);
    throw ErrnoError(env, plan->failure.err, plan->failure.step, plan->failure.subject);
  }
  return pid;
}

}  // namespace

Napi::Value Launch(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage =
      "launch({ file, argv: string[], env: string[], cwd, logPath, cgroupProcsPath: string | null, tap: object | null, "
      "controlPath: string | null, sandbox: object | null, hugePages?: boolean })";
  if (info.Length() != 1 || !info[0].IsObject()) throw UsageError(env, usage);
  const Napi::Object options = info[0].As<Napi::Object>();
  const std::string file = RequireString(options, "file", usage);
  const std::string cwd = RequireString(options, "cwd", usage);
  const std::string log_path = RequireString(options, "logPath", usage);
  std::vector<std::string> argv = StringsOf(options.Get("argv"), usage);
  std::vector<std::string> environment = StringsOf(options.Get("env"), usage);
  const Napi::Value cgroup = options.Get("cgroupProcsPath");

  const std::string cgroup_path = cgroup.IsString() ? cgroup.As<Napi::String>().Utf8Value() : "";
  std::vector<char*> argv_pointers = PointersTo(argv);
  std::vector<char*> env_pointers = PointersTo(environment);
  const Napi::Value given_tap = options.Get("tap");
  const Napi::Value sandboxed = options.Get("sandbox");
  std::optional<Tap> tap;
  if (given_tap.IsObject()) tap.emplace(given_tap.As<Napi::Object>());
  std::optional<Sandbox> sandbox;
  if (sandboxed.IsObject()) sandbox.emplace(env, sandboxed.As<Napi::Object>());
  const Napi::Value control_path = options.Get("controlPath");
  std::optional<sockaddr_un> control;
  if (control_path.IsString()) control = AddressOf(env, control_path.As<Napi::String>());
  ChildPlan plan{file.c_str(),
                 argv_pointers.data(),
                 env_pointers.data(),
                 cwd.c_str(),
                 log_path.c_str(),
                 cgroup_path.empty() ? nullptr : cgroup_path.c_str(),
                 tap ? &*tap : nullptr,
                 control ? &*control : nullptr,
                 sandbox ? &*sandbox : nullptr};
  const Napi::Value huge_pages = options.Get("hugePages");
  if (huge_pages.IsBoolean()) plan.huge_pages = huge_pages.As<Napi::Boolean>().Value();
  UniqueFd pidfd;
  const pid_t pid = Start(env, &plan, &pidfd);
  Napi::Object result = Napi::Object::New(env);
  result.Set("pid", Napi::Number::New(env, pid));
  result.Set("startTimeTicks", Napi::Number::New(env, StartTimeTicks(pid)));
  result.Set("cgroupErrno", Napi::Number::New(env, plan.cgroup_errno));
  result.Set("pidfd", Napi::Number::New(env, pidfd.release()));
  return result;
}

Napi::Value SandboxTry(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr std::string_view usage = "sandboxTry({ cwd, sandbox: object })";
  if (info.Length() != 1 || !info[0].IsObject()) throw UsageError(env, usage);
  const Napi::Object options = info[0].As<Napi::Object>();
  const std::string cwd = RequireString(options, "cwd", usage);
  const Napi::Value sandboxed = options.Get("sandbox");
  if (!sandboxed.IsObject()) throw UsageError(env, usage);
  Sandbox sandbox(env, sandboxed.As<Napi::Object>());
  ChildPlan plan{nullptr, nullptr, nullptr, cwd.c_str(), nullptr, nullptr, nullptr, nullptr, &sandbox};
  UniqueFd pidfd;
  ::waitpid(Start(env, &plan, &pidfd), nullptr, 0);
  return env.Undefined();
}

Napi::Value PidfdOpen(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsNumber()) throw UsageError(env, "pidfdOpen(pid: number)");
  const pid_t pid = info[0].As<Napi::Number>().Int32Value();
  // The kernel makes pidfds close-on-exec.
  const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (fd < 0) throw ErrnoError(env, errno, "pidfd_open", std::to_string(pid));
  return Napi::Number::New(env, fd);
}

Napi::Value PidfdSignal(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 2 || !info[0].IsNumber() || !info[1].IsNumber()) {
    throw UsageError(env, "pidfdSignal(pidfd: number, signal: number)");
  }
  const int fd = info[0].As<Napi::Number>().Int32Value();
  const int signal = info[1].As<Napi::Number>().Int32Value();
  if (::syscall(SYS_pidfd_send_signal, fd, signal, nullptr, 0) < 0) {
    throw ErrnoError(env, errno, "pidfd_send_signal");
  }
  return env.Undefined();
}

Napi::Value CloseFd(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsNumber()) throw UsageError(env, "closeFd(fd: number)");
  if (::close(info[0].As<Napi::Number>().Int32Value()) < 0) throw ErrnoError(env, errno, "close");
  return env.Undefined();
}

}  // namespace volant
