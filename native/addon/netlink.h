// addon: one netlink request to the kernel, with its answer.
#pragma once

#include <cstddef>

namespace volant {

/**
 * Sends a request that has NLM_F_ACK and waits for the acknowledgement. Returns 0, or the errno of the kernel's answer or of the
 * socket.
 */
int Transact(int socket, const void* request, size_t size);

}  // namespace volant
