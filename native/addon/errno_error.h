// addon: JavaScript errors for failed system calls, with the members of Node's own errors.
#pragma once

#include <napi.h>

#include <string>
#include <string_view>

namespace volant {

/** An error with message, code ("EBUSY"), errno (-16), syscall, and possibly path. Call it before errno can change. */
Napi::Error ErrnoError(Napi::Env env, int err, std::string_view syscall,
                       std::string_view subject = {});

/** A TypeError that says how to call the function. */
Napi::TypeError UsageError(Napi::Env env, std::string_view usage);

/** A member of an options object. Throws a TypeError if it is no string. */
std::string RequireString(const Napi::Object& options, const char* name, std::string_view usage);

/** An interface name of 1 to 15 bytes. Throws a TypeError for any other value. */
std::string RequireLinkName(const Napi::Value& value, std::string_view usage);

}  // namespace volant
