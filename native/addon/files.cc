// addon: files as an image has them: extended attributes, device nodes and FIFOs, for which Node has no functions. Symbolic
// links at the end of a path are not followed.
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>
#include <sys/xattr.h>

#include <cerrno>
#include <string>

#include "errno_error.h"
#include "exports.h"

namespace volant {

Napi::Value XattrSet(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 3 || !info[0].IsBuffer() || !info[1].IsString() || !info[2].IsBuffer()) {
    throw UsageError(env, "xattrSet(path: Buffer, name: string, value: Buffer)");
  }
  const auto given = info[0].As<Napi::Buffer<char>>();
  const std::string path(given.Data(), given.Length());
  const std::string name = info[1].As<Napi::String>().Utf8Value();
  const auto value = info[2].As<Napi::Buffer<char>>();
  // SAFETY: all three outlive the call; value has as many bytes as it says.
  if (::lsetxattr(path.c_str(), name.c_str(), value.Data(), value.Length(), 0) < 0) {
    throw ErrnoError(env, errno, "lsetxattr", path);
  }
  return env.Undefined();
}

Napi::Value NodeMake(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  if (info.Length() != 4 || !info[0].IsBuffer() || !info[1].IsNumber() || !info[2].IsNumber() ||
      !info[3].IsNumber()) {
    throw UsageError(env, "nodeMake(path: Buffer, mode: number, major: number, minor: number)");
  }
  const auto given = info[0].As<Napi::Buffer<char>>();
  const std::string path(given.Data(), given.Length());
  const mode_t mode = info[1].As<Napi::Number>().Uint32Value();
  const dev_t device = makedev(info[2].As<Napi::Number>().Uint32Value(), info[3].As<Napi::Number>().Uint32Value());
  // SAFETY: path outlives the call.
  if (::mknod(path.c_str(), mode, device) < 0) throw ErrnoError(env, errno, "mknod", path);
  return env.Undefined();
}

}  // namespace volant
