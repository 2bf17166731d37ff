// addon: helpers for interfaces that taps and bridges use: the control socket, requests and flags.
#pragma once

#include <napi.h>
#include <net/if.h>

#include <string>

#include "unique_fd.h"

namespace volant {

/** A socket for SIOC* requests, for which the kernel accepts any kind of socket. */
UniqueFd OpenControlSocket(Napi::Env env);

/** A zeroed request that names an interface. */
ifreq RequestFor(const std::string& name);

/** Sets IFF_UP. Throws on failure. */
void BringUp(Napi::Env env, int control, const std::string& name);

}  // namespace volant
