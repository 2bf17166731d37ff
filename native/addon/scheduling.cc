// addon: whether the kernel runs a thread before all ordinary ones, and how much it has run.
#include <sched.h>
#include <time.h>

#include <cerrno>

#include "errno_error.h"
#include "exports.h"

namespace volant {

Napi::Value ThreadRealTime(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 1 || !info[0].IsBoolean()) throw UsageError(env, "threadRealTime(isRealTime)");
  const bool is_real_time = info[0].As<Napi::Boolean>().Value();
  // The lowest priority of the class. What this thread starts is ordinary.
  sched_param parameters = {};
  parameters.sched_priority = is_real_time ? ::sched_get_priority_min(SCHED_RR) : 0;
  const int policy = is_real_time ? SCHED_RR | SCHED_RESET_ON_FORK : SCHED_OTHER;
  // 0 is the calling thread here, not the process (sched_setscheduler(2), "C library/kernel differences").
  if (::sched_setscheduler(0, policy, &parameters) < 0) throw ErrnoError(env, errno, "sched_setscheduler");
  return env.Undefined();
}

Napi::Value ThreadCpuMs(const Napi::CallbackInfo& info) {
  timespec used = {};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) < 0) throw ErrnoError(info.Env(), errno, "clock_gettime");
  return Napi::Number::New(info.Env(), static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6);
}

}  // namespace volant
