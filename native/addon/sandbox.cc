// addon: builds the root of a sandbox and drops privileges. All that the child calls is async-signal-safe and a plain system
// call: glibc's wrappers of setuid and similar calls signal all threads of a process, and until exec the child shares the
// daemon's memory. (namespaces(7), capabilities(7))
#include "sandbox.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include "errno_error.h"

namespace volant {

namespace {

constexpr std::string_view kUsage =
    "sandbox: { uid, capabilities: number[], hostNetwork, readOnly: string[], readWrite: string[], devices: string[], "
    "tasksMax, filesMax, lockedBytesMax }";

/** Devices that any program may need and that do no harm. */
constexpr const char* kHarmlessDevices[] = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"};

/** In the sandbox user 0 has no special rights, and a change of user does not change capabilities. Both are permanent. */
constexpr unsigned long kSecureBits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                                      SECBIT_NO_SETUID_FIXUP_LOCKED | SECBIT_KEEP_CAPS_LOCKED;

bool Failed(ChildFailure* failure, const char* step, const char* subject = "") {
  *failure = {step, subject, errno};
  return false;
}

std::vector<std::string> PathsOf(Napi::Env env, const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsArray()) throw UsageError(env, kUsage);
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<std::string> paths;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsString()) throw UsageError(env, kUsage);
    std::string path = item.As<Napi::String>();
    if (path.empty() || path[0] != '/' || path.find('\0') != std::string::npos) throw UsageError(env, kUsage);
    paths.push_back(std::move(path));
  }
  return paths;
}

uint64_t NumberOf(Napi::Env env, const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  if (!value.IsNumber()) throw UsageError(env, kUsage);
  const int64_t number = value.As<Napi::Number>().Int64Value();
  if (number < 0) throw UsageError(env, kUsage);
  return static_cast<uint64_t>(number);
}

uint64_t MaskOf(Napi::Env env, const Napi::Value& value) {
  if (!value.IsArray()) throw UsageError(env, kUsage);
  const Napi::Array array = value.As<Napi::Array>();
  uint64_t mask = 0;
  for (uint32_t i = 0; i < array.Length(); ++i) {
    const Napi::Value item = array.Get(i);
    if (!item.IsNumber() || item.As<Napi::Number>().Uint32Value() > CAP_LAST_CAP) throw UsageError(env, kUsage);
    mask |= uint64_t{1} << item.As<Napi::Number>().Uint32Value();
  }
  return mask;
}

/** Sets a limit, but never above the daemon's own, because raising that takes a privilege that not every host gives. */
bool LimitTo(int resource, const char* name, uint64_t most, ChildFailure* failure) {
  rlimit now{};
  if (::getrlimit(resource, &now) < 0) return Failed(failure, "getrlimit", name);
  const rlim_t value = std::min<rlim_t>(now.rlim_max, most);
  const rlimit wanted{value, value};
  return ::setrlimit(resource, &wanted) == 0 || Failed(failure, "setrlimit", name);
}

/**
 * Gives this thread, and so what it launches, an empty session keyring to which nobody can add a key. Keys that the daemon
 * was started with stay with the daemon. It is done once for each thread, because a keyring for each launch costs a fifth of
 * the sandbox's time. A kernel without keys needs none. (keyctl(2))
 */
bool LeaveSessionKeyring() {
  if (::syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, nullptr) < 0) return false;
  return ::syscall(SYS_keyctl, KEYCTL_SETPERM, KEY_SPEC_SESSION_KEYRING, 0) == 0;
}

}  // namespace

Sandbox::Sandbox(Napi::Env env, const Napi::Object& options)
    : uid_(static_cast<uid_t>(NumberOf(env, options, "uid"))),
      capabilities_(MaskOf(env, options.Get("capabilities"))),
      host_network_(options.Get("hostNetwork").ToBoolean()),
      tasks_max_(NumberOf(env, options, "tasksMax")),
      files_max_(NumberOf(env, options, "filesMax")),
      locked_bytes_max_(NumberOf(env, options, "lockedBytesMax")) {
  if (uid_ == 0) throw UsageError(env, kUsage);
  static thread_local const bool has_left = LeaveSessionKeyring();
  static_cast<void>(has_left);
  ChildFailure failure;
  template_ = TemplateOfViews(&failure);
  if (template_ == nullptr) throw ErrnoError(env, failure.err, std::string("sandbox: ") + failure.step, failure.subject);
  const std::string descriptors = "/proc/" + std::to_string(::getpid()) + "/fd/";
  mount_namespace_ = descriptors + std::to_string(template_->mount);
  network_namespace_ = descriptors + std::to_string(template_->network);
  ipc_namespace_ = descriptors + std::to_string(template_->ipc);
  directories_ = template_->directories;
  files_ = template_->files;
  for (const std::string& path : template_->mounts) {
    moved_from_.push_back(path);
    moved_to_.push_back(kViewRoot + path);
  }
  for (const char* path : kHarmlessDevices) AddDevice(env, path, false);
  for (const std::string& path : PathsOf(env, options, "devices")) AddDevice(env, path, true);
  for (const std::string& path : PathsOf(env, options, "readOnly")) AddBinding(env, path, false);
  for (const std::string& path : PathsOf(env, options, "readWrite")) AddBinding(env, path, true);
}

void Sandbox::AddParents(const std::string& target) {
  const size_t root = std::string_view(kViewRoot).size();
  for (size_t end = target.find('/', root + 1); end != std::string::npos; end = target.find('/', end + 1)) {
    std::string parent = target.substr(0, end);
    if (std::find(directories_.begin(), directories_.end(), parent) == directories_.end()) {
      directories_.push_back(std::move(parent));
    }
  }
}

void Sandbox::AddBinding(Napi::Env env, const std::string& path, bool writable) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) < 0) throw ErrnoError(env, errno, "lstat", path);
  if (!S_ISREG(facts.st_mode) && !S_ISDIR(facts.st_mode)) throw ErrnoError(env, EINVAL, "sandbox: file type", path);
  const std::string target = kViewRoot + path;
  AddParents(target);
  if (S_ISDIR(facts.st_mode)) directories_.push_back(target);
  else files_.push_back(target);
  bindings_.push_back({path, target, writable, -1});
}

void Sandbox::AddDevice(Napi::Env env, const std::string& path, bool owned) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) < 0) throw ErrnoError(env, errno, "lstat", path);
  if (!S_ISCHR(facts.st_mode)) throw ErrnoError(env, EINVAL, "sandbox: file type", path);
  const std::string target = kViewRoot + path;
  AddParents(target);
  nodes_.push_back({target, static_cast<mode_t>(S_IFCHR | (owned ? 0600 : 0666)), facts.st_rdev, owned});
}

bool Sandbox::Enter(const char* directory, ChildFailure* failure) {
  return Limit(failure) && CopyMounts(failure) && EnterNamespaces(failure) && EnterView(directory, failure) &&
         BecomeUser(failure);
}

bool Sandbox::Limit(ChildFailure* failure) const {
  if (!LimitTo(RLIMIT_CORE, "core", 0, failure) || !LimitTo(RLIMIT_NPROC, "nproc", tasks_max_, failure) ||
      !LimitTo(RLIMIT_NOFILE, "nofile", files_max_, failure)) {
    return false;
  }
  if (locked_bytes_max_ == 0) return true;
  const rlimit wanted{locked_bytes_max_, locked_bytes_max_};
  return ::setrlimit(RLIMIT_MEMLOCK, &wanted) == 0 || Failed(failure, "setrlimit", "memlock");
}

/** Opens the files that the view will have. Inside the view the child does not see them any more. */
bool Sandbox::CopyMounts(ChildFailure* failure) {
  for (Binding& binding : bindings_) {
    const char* source = binding.source.c_str();
    // A link that was put there in the meantime is not followed.
    const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    binding.tree = static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, source, flags));
    if (binding.tree < 0) return Failed(failure, "open_tree", source);
    mount_attr attributes{};
    attributes.attr_set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (binding.writable ? MOUNT_ATTR_NOEXEC : MOUNT_ATTR_RDONLY);
    attributes.propagation = MS_PRIVATE;
    if (::syscall(SYS_mount_setattr, binding.tree, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0) {
      return Failed(failure, "mount_setattr", source);
    }
  }
  return true;
}

/** Opens all namespaces before it enters the first one, because there is no /proc inside. */
bool Sandbox::EnterNamespaces(ChildFailure* failure) const {
  const int mounts = ::open(mount_namespace_.c_str(), O_RDONLY | O_CLOEXEC);
  if (mounts < 0) return Failed(failure, "open", "mount namespace");
  const int network = ::open(network_namespace_.c_str(), O_RDONLY | O_CLOEXEC);
  if (network < 0) return Failed(failure, "open", "network namespace");
  const int ipc = ::open(ipc_namespace_.c_str(), O_RDONLY | O_CLOEXEC);
  if (ipc < 0) return Failed(failure, "open", "IPC namespace");
  if (!host_network_ && ::setns(network, CLONE_NEWNET) < 0) return Failed(failure, "setns", "network namespace");
  if (::setns(ipc, CLONE_NEWIPC) < 0) return Failed(failure, "setns", "IPC namespace");
  if (::setns(mounts, CLONE_NEWNS) < 0) return Failed(failure, "setns", "mount namespace");
  // The namespace is a copy, so other sandboxes do not see what is mounted from here on.
  return ::unshare(CLONE_NEWNS) == 0 || Failed(failure, "unshare", "mount namespace");
}

bool Sandbox::EnterView(const char* directory, ChildFailure* failure) const {
  ::umask(0);
  if (::syscall(SYS_mount, "volant", kViewRoot, "ramfs", MS_NOSUID | MS_NOEXEC, "mode=0755") < 0) {
    return Failed(failure, "mount", kViewRoot);
  }
  if (!Furnish(failure)) return false;
  ::umask(077);
  if (::chroot(kViewRoot) < 0) return Failed(failure, "chroot", kViewRoot);
  if (::chdir("/") < 0) return Failed(failure, "chdir", "/");
  const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC;
  if (::syscall(SYS_mount, nullptr, "/", nullptr, flags, nullptr) < 0) return Failed(failure, "mount", "/");
  return ::chdir(directory) == 0 || Failed(failure, "chdir", directory);
}

bool Sandbox::Furnish(ChildFailure* failure) const {
  for (const std::string& path : directories_) {
    // A path below a directory of programs exists already.
    if (::mkdir(path.c_str(), 0755) < 0 && errno != EEXIST) return Failed(failure, "mkdir", path.c_str());
  }
  for (const std::string& path : files_) {
    if (::mknod(path.c_str(), S_IFREG | 0444, 0) < 0 && errno != EEXIST) return Failed(failure, "mknod", path.c_str());
  }
  for (const ViewTemplate::Link& link : template_->links) {
    if (::symlink(link.target.c_str(), link.path.c_str()) < 0) return Failed(failure, "symlink", link.path.c_str());
  }
  for (const Node& node : nodes_) {
    if (::mknod(node.path.c_str(), node.mode, node.device) < 0) return Failed(failure, "mknod", node.path.c_str());
    if (node.owned && ::chown(node.path.c_str(), uid_, uid_) < 0) return Failed(failure, "chown", node.path.c_str());
  }
  for (size_t i = 0; i < moved_from_.size(); ++i) {
    if (::syscall(SYS_move_mount, AT_FDCWD, moved_from_[i].c_str(), AT_FDCWD, moved_to_[i].c_str(), 0) < 0) {
      return Failed(failure, "move_mount", moved_from_[i].c_str());
    }
  }
  for (const Binding& binding : bindings_) {
    if (::syscall(SYS_move_mount, binding.tree, "", AT_FDCWD, binding.target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) < 0) {
      return Failed(failure, "move_mount", binding.source.c_str());
    }
  }
  return true;
}

bool Sandbox::BecomeUser(ChildFailure* failure) const {
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if ((capabilities_ >> capability & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0) continue;
    // This is the first capability that the kernel does not know.
    if (errno == EINVAL) break;
    return Failed(failure, "prctl", "PR_CAPBSET_DROP");
  }
  if (::prctl(PR_SET_SECUREBITS, kSecureBits, 0, 0, 0) < 0) return Failed(failure, "prctl", "PR_SET_SECUREBITS");
  if (::syscall(SYS_setgroups, 0, nullptr) < 0) return Failed(failure, "setgroups");
  if (::syscall(SYS_setresgid, uid_, uid_, uid_) < 0) return Failed(failure, "setresgid");
  if (::syscall(SYS_setresuid, uid_, uid_, uid_) < 0) return Failed(failure, "setresuid");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int half = 0; half < 2; ++half) {
    const auto mask = static_cast<uint32_t>(capabilities_ >> (32 * half));
    data[half] = {mask, mask, mask};
  }
  if (::syscall(SYS_capset, &header, data) < 0) return Failed(failure, "capset");
  for (unsigned long capability = 0; capability < 64; ++capability) {
    if ((capabilities_ >> capability & 1) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) < 0) {
      return Failed(failure, "prctl", "PR_CAP_AMBIENT_RAISE");
    }
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) return Failed(failure, "prctl", "PR_SET_NO_NEW_PRIVS");
  return true;
}

}  // namespace volant
