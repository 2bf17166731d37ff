// addon: errors and argument checks that all exports use.
#include "errno_error.h"

#include <net/if.h>
#include <string.h>

#include <cerrno>

namespace volant {

Napi::Error ErrnoError(Napi::Env env, int err, std::string_view syscall, std::string_view subject) {
  const char* name = ::strerrorname_np(err);
  const char* description = ::strerrordesc_np(err);
  const std::string code = name != nullptr ? name : "UNKNOWN";
  std::string message = code + ": " + (description != nullptr ? description : "unknown error") +
                        ", " + std::string(syscall);
  if (!subject.empty()) message += " '" + std::string(subject) + "'";
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("errno", Napi::Number::New(env, -err));
  error.Set("code", Napi::String::New(env, code));
  error.Set("syscall", Napi::String::New(env, std::string(syscall)));
  if (!subject.empty()) error.Set("path", Napi::String::New(env, std::string(subject)));
  return error;
}

Napi::TypeError UsageError(Napi::Env env, std::string_view usage) {
  return Napi::TypeError::New(env, "Usage: " + std::string(usage));
}

std::string RequireString(const Napi::Object& options, const char* name, std::string_view usage) {
  const Napi::Value value = options.Get(name);
  if (!value.IsString()) throw UsageError(options.Env(), usage);
  const std::string text = value.As<Napi::String>();
  if (text.find('\0') != std::string::npos) throw UsageError(options.Env(), usage);
  return text;
}

std::string RequireLinkName(const Napi::Value& value, std::string_view usage) {
  if (!value.IsString()) throw UsageError(value.Env(), usage);
  const std::string name = value.As<Napi::String>();
  if (name.empty() || name.size() >= IFNAMSIZ || name.find('\0') != std::string::npos) {
    throw ErrnoError(value.Env(), EINVAL, "interface name", name);
  }
  return name;
}

}  // namespace volant
