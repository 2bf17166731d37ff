// guest: the user that a workload runs as, by the files of its own system.
#ifndef VOLANT_GUEST_USER_H
#define VOLANT_GUEST_USER_H

#include <stddef.h>
#include <sys/types.h>

#define USER_GROUPS_MAX 64
#define USER_HOME_BYTES 256

struct user {
  uid_t uid;
  gid_t gid;
  gid_t groups[USER_GROUPS_MAX];
  size_t group_count;
  char home[USER_HOME_BYTES];  // empty: not known
};

// Finds "user" or "user:group", each a name or a number; an empty text is root. A number need not be in /etc/passwd. Returns
// NULL, or what is wrong.
const char *user_find(const char *text, struct user *user);

#endif
