// addon: interfaces in general: their names and flags.
#include "link.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "errno_error.h"
#include "exports.h"

namespace volant {

UniqueFd OpenControlSocket(Napi::Env env) {
  UniqueFd control(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!control) throw ErrnoError(env, errno, "socket");
  return control;
}

ifreq RequestFor(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), std::min(name.size(), sizeof(request.ifr_name) - 1));
  return request;
}

void BringUp(Napi::Env env, int control, const std::string& name) {
  ifreq request = RequestFor(name);
  // SAFETY: control is an open socket of the caller; request is a zeroed ifreq with a terminated name.
  if (::ioctl(control, SIOCGIFFLAGS, &request) < 0) {
    throw ErrnoError(env, errno, "ioctl(SIOCGIFFLAGS)", name);
  }
  if ((request.ifr_flags & IFF_UP) != 0) return;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(control, SIOCSIFFLAGS, &request) < 0) {
    throw ErrnoError(env, errno, "ioctl(SIOCSIFFLAGS)", name);
  }
}

Napi::Value LinkNames(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  // /sys/class/net would show the network namespace in which it was mounted.
  struct if_nameindex* list = ::if_nameindex();
  if (list == nullptr) throw ErrnoError(env, errno, "if_nameindex");
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = 0;
  for (const struct if_nameindex* entry = list; entry->if_index != 0; ++entry) {
    names.Set(count++, entry->if_name);
  }
  ::if_freenameindex(list);
  return names;
}

}  // namespace volant
