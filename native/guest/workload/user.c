// guest: finds users and groups in /etc/passwd and /etc/group (passwd(5), group(5)), as programs that start containers do: a
// user's own groups count if no group is named. There is no name service: libc's would need files that an image may lack.
#include "workload/user.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/manifest_limits.h"

#define FIELDS_MAX 7
#define ID_MAX 4294967294UL

// Longer lines are truncated: a group may have more members than anyone needs.
static char line[16384];

// Cuts a line at its colons. Returns the number of fields.
static size_t split(char *text, char *fields[FIELDS_MAX]) {
  size_t count = 0;
  text[strcspn(text, "\n")] = '\0';
  for (char *at = text; at != NULL && count < FIELDS_MAX; count++) {
    fields[count] = at;
    at = strchr(at, ':');
    if (at != NULL) *at++ = '\0';
  }
  return count;
}

static bool take_id(const char *text, unsigned long *id) {
  char *end;
  if (text[0] < '0' || text[0] > '9') return false;
  *id = strtoul(text, &end, 10);
  return *end == '\0' && *id <= ID_MAX;
}

// The first line whose name, or else whose number in the third field, is `wanted`. Names come first, since one may look like a
// number.
static bool find_line(const char *path, const char *wanted, size_t needed, char *fields[FIELDS_MAX]) {
  unsigned long id, wanted_id;
  bool is_number = take_id(wanted, &wanted_id);
  for (int pass = 0; pass < (is_number ? 2 : 1); pass++) {
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    while (fgets(line, sizeof line, file) != NULL) {
      if (split(line, fields) < needed) continue;
      bool is_it = pass == 0 ? strcmp(fields[0], wanted) == 0 : take_id(fields[2], &id) && id == wanted_id;
      if (!is_it) continue;
      fclose(file);
      return true;
    }
    fclose(file);
  }
  return false;
}

static bool is_member(char *members, const char *name) {
  char *rest = members;
  for (char *member = strsep(&rest, ","); member != NULL; member = strsep(&rest, ",")) {
    if (strcmp(member, name) == 0) return true;
  }
  return false;
}

static void take_groups(struct user *user, const char *name) {
  char *fields[FIELDS_MAX];
  unsigned long id;
  FILE *file = fopen("/etc/group", "re");
  if (file == NULL) return;
  while (fgets(line, sizeof line, file) != NULL && user->group_count < USER_GROUPS_MAX) {
    if (split(line, fields) < 4 || !take_id(fields[2], &id) || id == user->gid) continue;
    if (is_member(fields[3], name)) user->groups[user->group_count++] = (gid_t)id;
  }
  fclose(file);
}

const char *user_find(const char *text, struct user *user) {
  char name[USER_BYTES_MAX + 1], account[USER_BYTES_MAX + 1] = "";
  char *fields[FIELDS_MAX];
  unsigned long id;
  *user = (struct user){.uid = 0};
  if (strlen(text) > USER_BYTES_MAX) return "the user has too long a name";
  snprintf(name, sizeof name, "%s", text);
  char *group = strchr(name, ':');
  if (group != NULL) *group++ = '\0';
  const char *wanted = name[0] == '\0' ? "0" : name;
  if (find_line("/etc/passwd", wanted, 6, fields)) {
    snprintf(account, sizeof account, "%s", fields[0]);
    snprintf(user->home, sizeof user->home, "%s", fields[5]);
    if (!take_id(fields[2], &id)) return "its line in /etc/passwd has no number";
    user->uid = (uid_t)id;
    if (take_id(fields[3], &id)) user->gid = (gid_t)id;
  } else if (take_id(wanted, &id)) {
    user->uid = (uid_t)id;
  } else {
    return "there is no such user in /etc/passwd";
  }
  if (group == NULL || group[0] == '\0') {
    if (account[0] != '\0') take_groups(user, account);
    return NULL;
  }
  if (find_line("/etc/group", group, 3, fields) && take_id(fields[2], &id)) user->gid = (gid_t)id;
  else if (take_id(group, &id)) user->gid = (gid_t)id;
  else return "there is no such group in /etc/group";
  return NULL;
}
