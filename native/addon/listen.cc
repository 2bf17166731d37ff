// addon: sockets that listen, of a server that accepts all connections that wait before it does anything else: how many may
// wait, and how such a server is made to stop for a moment.
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "errno_error.h"
#include "exports.h"
#include "unique_fd.h"

namespace volant {

namespace {

bool Listens(int fd) {
  int answer = 0;
  socklen_t length = sizeof(answer);
  return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &answer, &length) == 0 && answer != 0;
}

int RequireFd(const Napi::CallbackInfo& info, size_t index, const char* usage) {
  if (info.Length() <= index || !info[index].IsNumber()) throw UsageError(info.Env(), usage);
  return info[index].As<Napi::Number>().Int32Value();
}

int RequireListening(const Napi::CallbackInfo& info, const char* usage) {
  const int fd = RequireFd(info, 0, usage);
  if (!Listens(fd)) throw ErrnoError(info.Env(), EINVAL, "getsockopt(SO_ACCEPTCONN)");
  return fd;
}

}  // namespace

Napi::Value ListeningSockets(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc/self/fd"), ::closedir);
  if (directory == nullptr) throw ErrnoError(env, errno, "opendir", "/proc/self/fd");
  Napi::Array found = Napi::Array::New(env);
  uint32_t count = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    char* end = nullptr;
    const long fd = std::strtol(entry->d_name, &end, 10);
    if (end == entry->d_name || !Listens(static_cast<int>(fd))) continue;
    found.Set(count++, Napi::Number::New(env, static_cast<double>(fd)));
  }
  return found;
}

Napi::Value ListenBacklog(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr const char* kUsage = "listenBacklog(fd: number, most: number)";
  const int fd = RequireListening(info, kUsage);
  // The kernel takes this of a socket that listens already as its new bound.
  if (::listen(fd, RequireFd(info, 1, kUsage)) < 0) throw ErrnoError(env, errno, "listen");
  return env.Undefined();
}

Napi::Value ListenHandles(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const int fd = RequireListening(info, "listenHandles(fd: number)");
  UniqueFd deaf(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!deaf) throw ErrnoError(env, errno, "socket");
  UniqueFd kept(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!kept) throw ErrnoError(env, errno, "fcntl(F_DUPFD_CLOEXEC)");
  Napi::Object handles = Napi::Object::New(env);
  handles.Set("kept", Napi::Number::New(env, kept.release()));
  handles.Set("deaf", Napi::Number::New(env, deaf.release()));
  return handles;
}

Napi::Value FdReplace(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  constexpr const char* kUsage = "fdReplace(fd: number, by: number)";
  // Needs no free descriptor, so it works at the limit of them, too.
  if (::dup3(RequireFd(info, 1, kUsage), RequireFd(info, 0, kUsage), O_CLOEXEC) < 0) throw ErrnoError(env, errno, "dup3");
  return env.Undefined();
}

}  // namespace volant
