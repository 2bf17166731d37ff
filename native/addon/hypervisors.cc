// addon: recognises hypervisors among the processes of the host. One pass in native code, because a host has thousands of
// processes, and each needs several system calls. Which of them belong to this daemon's home is not known here.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "errno_error.h"
#include "exports.h"
#include "unique_fd.h"

namespace volant {

namespace {

constexpr std::string_view kUsage =
    "hypervisorsFind({runtimeDirectory, pidFileName: string, pidFileOptions: string[], pid: number | null})";

/** The largest command line is bounded by the kernel (execve(2)); this is more. */
constexpr size_t kFileBytesMax = 8 * 1024 * 1024;

/** How a hypervisor is recognised. */
struct Pattern {
  // With a slash at its end.
  std::string runtime_directory;
  std::string pid_file_name;
  std::vector<std::string> pid_file_options;
};

struct Hypervisor {
  pid_t pid;
  long long vm_id;
  unsigned long long start_time_ticks;
};

/** A process that has ended or may not be read is none of ours. Other errors are thrown. */
void ThrowUnlessNotOurs(Napi::Env env, std::string_view syscall, const std::string& path) {
  const int err = errno;
  if (err == ENOENT || err == ESRCH || err == EACCES || err == EPERM) return;
  throw ErrnoError(env, err, syscall, path);
}

/** false: the process is none of ours. */
bool ReadFile(Napi::Env env, const std::string& path, std::string& text) {
  text.clear();
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    ThrowUnlessNotOurs(env, "open", path);
    return false;
  }
  char chunk[4096];
  while (text.size() < kFileBytesMax) {
    const ssize_t length = ::read(fd.get(), chunk, sizeof(chunk));
    if (length < 0) {
      ThrowUnlessNotOurs(env, "read", path);
      return false;
    }
    if (length == 0) break;
    text.append(chunk, static_cast<size_t>(length));
  }
  return true;
}

template <typename Number>
std::optional<Number> NumberIn(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/** The argument after the first of the options; nothing if there is none. */
std::optional<std::string_view> PidFileIn(std::string_view cmdline, const Pattern& pattern) {
  const auto& options = pattern.pid_file_options;
  bool is_next = false;
  while (!cmdline.empty()) {
    const size_t end = std::min(cmdline.find('\0'), cmdline.size());
    const std::string_view argument = cmdline.substr(0, end);
    if (is_next) return argument;
    is_next = std::find(options.begin(), options.end(), argument) != options.end();
    cmdline.remove_prefix(std::min(end + 1, cmdline.size()));
  }
  return std::nullopt;
}

/** The id in `<runtime directory>/<id>/<pid file name>`. */
std::optional<long long> VmIdIn(std::string_view pid_file, const Pattern& pattern) {
  const std::string_view directory = pattern.runtime_directory;
  if (pid_file.substr(0, directory.size()) != directory) return std::nullopt;
  pid_file.remove_prefix(directory.size());
  const size_t slash = pid_file.find('/');
  if (slash == std::string_view::npos || pid_file.substr(slash + 1) != pattern.pid_file_name) {
    return std::nullopt;
  }
  const auto id = NumberIn<long long>(pid_file.substr(0, slash));
  return id.has_value() && *id >= 0 ? id : std::nullopt;
}

/** The fields of /proc/<pid>/stat from field 3 on. The name in field 2 may contain anything. */
std::vector<std::string_view> FieldsOf(std::string_view stat) {
  std::vector<std::string_view> fields;
  const size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return fields;
  stat.remove_prefix(std::min(name_end + 2, stat.size()));
  while (!stat.empty() && stat.front() != '\n') {
    const size_t end = std::min(stat.find_first_of(" \n"), stat.size());
    fields.push_back(stat.substr(0, end));
    stat.remove_prefix(std::min(end + 1, stat.size()));
  }
  return fields;
}

/** Compares inodes, because one path may mean several directories and one directory may have several paths. */
bool WorksIn(Napi::Env env, const std::string& process, const std::string& directory) {
  struct stat there {};
  const std::string cwd = process + "/cwd";
  if (::stat(cwd.c_str(), &there) < 0) {
    ThrowUnlessNotOurs(env, "stat", cwd);
    return false;
  }
  struct stat here {};
  if (::stat(directory.c_str(), &here) == 0) {
    return here.st_dev == there.st_dev && here.st_ino == there.st_ino;
  }
  ThrowUnlessNotOurs(env, "stat", directory);
  // The run directory was removed while the hypervisor works in it.
  return there.st_nlink == 0;
}

/** The hypervisor that this process is, if it is one. */
std::optional<Hypervisor> Recognise(Napi::Env env, pid_t pid, const Pattern& pattern,
                                    std::string& text) {
  const std::string process = "/proc/" + std::to_string(pid);
  if (!ReadFile(env, process + "/cmdline", text)) return std::nullopt;
  const auto pid_file = PidFileIn(text, pattern);
  if (!pid_file) return std::nullopt;
  const auto vm_id = VmIdIn(*pid_file, pattern);
  if (!vm_id) return std::nullopt;
  if (!ReadFile(env, process + "/stat", text)) return std::nullopt;
  const auto fields = FieldsOf(text);
  // Fields 3, 6 and 22 of proc(5): state, session id, start time.
  if (fields.size() < 20 || fields[0] == "Z") return std::nullopt;
  const auto start_time_ticks = NumberIn<unsigned long long>(fields[19]);
  if (NumberIn<pid_t>(fields[3]) != pid || !start_time_ticks) return std::nullopt;
  if (!WorksIn(env, process, pattern.runtime_directory + std::to_string(*vm_id))) {
    return std::nullopt;
  }
  return Hypervisor{pid, *vm_id, *start_time_ticks};
}

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

std::vector<pid_t> Pids(Napi::Env env) {
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir("/proc"));
  if (directory == nullptr) throw ErrnoError(env, errno, "opendir", "/proc");
  const pid_t own = ::getpid();
  std::vector<pid_t> pids;
  while (const dirent* entry = ::readdir(directory.get())) {
    const auto pid = NumberIn<pid_t>(entry->d_name);
    if (pid.has_value() && *pid != own) pids.push_back(*pid);
  }
  return pids;
}

Pattern PatternIn(Napi::Env env, const Napi::Object& options) {
  Pattern pattern{
      .runtime_directory = RequireString(options, "runtimeDirectory", kUsage) + "/",
      .pid_file_name = RequireString(options, "pidFileName", kUsage),
      .pid_file_options = {},
  };
  const Napi::Value names = options.Get("pidFileOptions");
  if (!names.IsArray()) throw UsageError(env, kUsage);
  const auto list = names.As<Napi::Array>();
  for (uint32_t index = 0; index < list.Length(); ++index) {
    const Napi::Value name = list.Get(index);
    if (!name.IsString()) throw UsageError(env, kUsage);
    pattern.pid_file_options.push_back(name.As<Napi::String>().Utf8Value());
  }
  return pattern;
}

}  // namespace

Napi::Value HypervisorsFind(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsObject()) throw UsageError(env, kUsage);
  const auto options = info[0].As<Napi::Object>();
  const Pattern pattern = PatternIn(env, options);
  const Napi::Value only = options.Get("pid");
  if (!only.IsNumber() && !only.IsNull()) throw UsageError(env, kUsage);
  const auto pids = only.IsNull()
                        ? Pids(env)
                        : std::vector<pid_t>{only.As<Napi::Number>().Int32Value()};
  Napi::Array found = Napi::Array::New(env);
  std::string text;
  uint32_t count = 0;
  for (const pid_t pid : pids) {
    const auto hypervisor = Recognise(env, pid, pattern, text);
    if (!hypervisor) continue;
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("pid", Napi::Number::New(env, hypervisor->pid));
    entry.Set("vmId", Napi::Number::New(env, static_cast<double>(hypervisor->vm_id)));
    entry.Set("startTimeTicks",
              Napi::Number::New(env, static_cast<double>(hypervisor->start_time_ticks)));
    found.Set(count++, entry);
  }
  return found;
}

}  // namespace volant
