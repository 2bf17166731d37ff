// addon: how a failed system call becomes a JavaScript error, in the shape of Node's own.
#pragma once

#include <napi.h>

#include <string>
#include <string_view>

namespace volant {

/** {message, code: "EBUSY", errno: -16, syscall, path?}. Take errno before anything else can change it. */
Napi::Error ErrnoError(Napi::Env env, int err, std::string_view syscall,
                       std::string_view subject = {});

/** A TypeError that says how the function is meant to be called. */
Napi::TypeError UsageError(Napi::Env env, std::string_view usage);

/** A member of an options object that must be a string. */
std::string RequireString(const Napi::Object& options, const char* name, std::string_view usage);

/** An interface name: 1 to 15 bytes, as the kernel takes it. */
std::string RequireLinkName(const Napi::Value& value, std::string_view usage);

}  // namespace volant
