// addon: what the kernel tells by itself of links, addresses and tables of nftables that are lost: each as a
// short line. What comes into being is not told.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "unique_fd.h"

namespace volant {

/** How an interface was lost, or what else: the names that JavaScript sees (native.ts). */
struct NetworkChange {
  std::string_view kind;
  std::string name;
};

/** Sockets that hear of links and addresses, and of nftables. Invalid with errno set where the kernel refuses. */
UniqueFd OpenRouteNews();
UniqueFd OpenTableNews();

/** All that has come on such a socket; of each link the last only, and nothing where it is in order by then. Never waits. */
std::vector<NetworkChange> ReadRouteNews(int socket);
std::vector<NetworkChange> ReadTableNews(int socket);

}  // namespace volant
