// addon: facts about the host that only native code can measure, the lock of a home directory, and the immediate end of the
// process.
#include <fcntl.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>

#include "errno_error.h"
#include "exports.h"
#include "unique_fd.h"

namespace volant {

namespace {

struct ClockPair {
  unsigned long long tsc;
  double seconds;
};

/** Reads counter and clock 200 times and returns the pair with the smallest gap. A preempted try has a large gap. */
ClockPair ReadPair() {
  ClockPair best{};
  unsigned long long narrowest = std::numeric_limits<unsigned long long>::max();
  for (int i = 0; i < 200; ++i) {
    timespec now{};
    const unsigned long long before = __rdtsc();
    ::clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    const unsigned long long after = __rdtsc();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    best.tsc = before + (after - before) / 2;
    best.seconds = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
  }
  return best;
}

}  // namespace

Napi::Value TscKhz(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsNumber()) throw UsageError(env, "tscKhz(durationMs: number)");
  const int duration_ms = info[0].As<Napi::Number>().Int32Value();
  if (duration_ms < 1 || duration_ms > 1000) throw UsageError(env, "tscKhz(durationMs: 1 to 1000)");
  const ClockPair first = ReadPair();
  const timespec pause{duration_ms / 1000, (duration_ms % 1000) * 1'000'000L};
  ::nanosleep(&pause, nullptr);
  const ClockPair second = ReadPair();
  const double khz =
      static_cast<double>(second.tsc - first.tsc) / (second.seconds - first.seconds) / 1000.0;
  return Napi::Number::New(env, static_cast<int64_t>(khz + 0.5));
}

Napi::Value LockFile(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].IsString() ? info[0].As<Napi::String>().Utf8Value() : "";
  if (info.Length() != 1 || path.empty() || path.find('\0') != std::string::npos) {
    throw UsageError(env, "lockFile(path: string)");
  }
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file) throw ErrnoError(env, errno, "open", path);
  Napi::Object result = Napi::Object::New(env);
  if (::flock(file.get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) throw ErrnoError(env, errno, "flock", path);
    char text[32] = {};
    const ssize_t length = ::pread(file.get(), text, sizeof(text) - 1, 0);
    const long holder = length > 0 ? std::strtol(text, nullptr, 10) : 0;
    result.Set("heldBy", holder > 0 ? Napi::Number::New(env, holder) : env.Null());
    return result;
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(file.get(), 0) < 0 || ::pwrite(file.get(), pid.data(), pid.size(), 0) < 0) {
    throw ErrnoError(env, errno, "write", path);
  }
  // The lock exists as long as this descriptor: until closeFd or the end of the process.
  result.Set("fd", Napi::Number::New(env, file.release()));
  return result;
}

Napi::Value EndProcess(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsNumber()) throw UsageError(env, "endProcess(status: number)");
  ::_exit(info[0].As<Napi::Number>().Int32Value());
}

}  // namespace volant
